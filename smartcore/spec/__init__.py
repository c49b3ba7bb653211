"""Everything a plugin may import: hooks, contracts, the data they exchange, and the bases of
settings.

This is the lowest layer of smartcore but for :mod:`smartcore.error`. The range in which a plugin
requires the distribution ``smartcore`` is the statement of which version of this package it was
written for.
"""

from .batch_settings import BatchSettings
from .colocation import Colocation, ColocationRequest, Inspection, Sidecar
from .container import Container, Singularity
from .database import (
    Certificate,
    Credentials,
    DatabaseBackend,
    Ready,
    Saved,
    Server,
    ShardAddress,
    ShardPlan,
    ShardStatistics,
)
from .hooks import (
    LauncherRegistrar,
    RunCommandRegistrar,
    TargetRegistrar,
    hookimpl,
)
from .ids import JobId, Tag
from .launcher import (
    Attaches,
    BatchService,
    Closes,
    Detection,
    Detector,
    EventSink,
    Finds,
    Launcher,
    LauncherContext,
    LauncherFactory,
    Limits,
    NativeIds,
    Places,
    Processes,
    Score,
    Watches,
    WatchesSome,
)
from .run import Completed, run_command
from .run_commands import Facts, Launch, LocalRank, RunCommand
from .run_settings import RunSettings, SettingsBase
from .scheduler import (
    CommandLineScheduler,
    Invocation,
    JobRecord,
    NativeId,
    Outcome,
    Rates,
    Refusal,
    Refused,
    Submission,
    SubmitAnswer,
    Unavailable,
    Variables,
)
from .site import Check, CheckResult, Site, Verdict
from .state import ABSENT, TERMINAL_STATES, Absent, Answer, Cause, Source, State, Status
from .values import format_walltime, parse_walltime
from .work import Command, File, Job, Node, Placement, Resources, Started, Step, Work

__all__ = [
    "ABSENT",
    "Absent",
    "Answer",
    "Attaches",
    "BatchService",
    "BatchSettings",
    "Cause",
    "Certificate",
    "Check",
    "CheckResult",
    "Closes",
    "Colocation",
    "ColocationRequest",
    "Command",
    "CommandLineScheduler",
    "Completed",
    "Container",
    "Credentials",
    "DatabaseBackend",
    "Detection",
    "Detector",
    "EventSink",
    "Facts",
    "File",
    "Finds",
    "Inspection",
    "Invocation",
    "Job",
    "JobId",
    "JobRecord",
    "Launch",
    "Launcher",
    "LauncherContext",
    "LauncherFactory",
    "LauncherRegistrar",
    "Limits",
    "LocalRank",
    "NativeId",
    "NativeIds",
    "Node",
    "Outcome",
    "Placement",
    "Places",
    "Processes",
    "Rates",
    "Ready",
    "Refusal",
    "Refused",
    "Resources",
    "RunCommand",
    "RunCommandRegistrar",
    "RunSettings",
    "Saved",
    "Score",
    "Server",
    "SettingsBase",
    "ShardAddress",
    "ShardPlan",
    "ShardStatistics",
    "Sidecar",
    "Singularity",
    "Site",
    "Source",
    "Started",
    "State",
    "Status",
    "Step",
    "Submission",
    "SubmitAnswer",
    "TERMINAL_STATES",
    "Tag",
    "TargetRegistrar",
    "Unavailable",
    "Variables",
    "Verdict",
    "Watches",
    "WatchesSome",
    "Work",
    "format_walltime",
    "hookimpl",
    "parse_walltime",
    "run_command",
]
