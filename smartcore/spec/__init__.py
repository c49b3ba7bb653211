"""Everything a plugin may import: hooks, contracts, the data they exchange, and the bases of
settings.

This is the lowest layer of smartcore but for :mod:`smartcore.error`. The range in which a plugin
requires the distribution ``smartcore`` is the statement of which version of this package it was
written for.
"""

from .colocation import Colocation, ColocationRequest, Ready, Sidecar
from .database import Credentials, DatabaseBackend, Server, ShardAddress, ShardPlan
from .hooks import (
    LauncherRegistrar,
    RunCommandRegistrar,
    TargetRegistrar,
    hookimpl,
)
from .ids import JobId, Tag
from .launcher import (
    Attaches,
    Closes,
    Detection,
    Detector,
    EventSink,
    Launcher,
    LauncherContext,
    LauncherFactory,
    Limits,
    Processes,
    Score,
    Watches,
)
from .run import Completed, run_command
from .run_commands import Facts, Launch, RunCommand
from .site import Check, CheckResult, Site, Verdict
from .state import ABSENT, TERMINAL_STATES, Absent, Answer, Cause, Source, State, Status
from .work import Command, File, Job, Placement, Resources, Started, Step, Work

__all__ = [
    "ABSENT",
    "Absent",
    "Answer",
    "Attaches",
    "Cause",
    "Check",
    "CheckResult",
    "Closes",
    "Colocation",
    "ColocationRequest",
    "Command",
    "Completed",
    "Credentials",
    "DatabaseBackend",
    "Detection",
    "Detector",
    "EventSink",
    "Facts",
    "File",
    "Job",
    "JobId",
    "Launch",
    "Launcher",
    "LauncherContext",
    "LauncherFactory",
    "LauncherRegistrar",
    "Limits",
    "Placement",
    "Processes",
    "Ready",
    "Resources",
    "RunCommand",
    "RunCommandRegistrar",
    "Score",
    "Server",
    "ShardAddress",
    "ShardPlan",
    "Sidecar",
    "Site",
    "Source",
    "Started",
    "State",
    "Status",
    "Step",
    "TERMINAL_STATES",
    "Tag",
    "TargetRegistrar",
    "Verdict",
    "Watches",
    "Work",
    "hookimpl",
    "run_command",
]
