"""The contract of command-line schedulers: a plugin's pure functions, driven by a fake cluster."""

from __future__ import annotations

from .base import SchedulerCases
from .ends import JobEndsCases
from .following import FollowingCases
from .pure import PureCases
from .submitting import SubmittingCases


class SchedulerContract(PureCases, SubmittingCases, FollowingCases, JobEndsCases):
    """What a ``CommandLineScheduler`` promises. A plugin's tests subclass this, and state
    ``scheduler`` and ``refused``.

    The plugin is driven through the core's launcher against a cluster that goes wrong on demand;
    with ``--live``, as far as that is possible, against the real one.
    """


__all__ = ["SchedulerCases", "SchedulerContract"]
