"""The launcher for processes of this host: the core's process service, and how much fits here."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Mapping, Sequence

from smartcore.spec import (
    Answer,
    Detection,
    EventSink,
    Job,
    JobId,
    Launcher,
    LauncherContext,
    Score,
    Started,
    Step,
    Work,
)

# Models that wait for one another (a producer and its consumer) must be able to run together, so
# the limit is no tight fit: it only keeps a large ensemble from smothering the host.
MODELS_PER_CORE = 8
FEWEST = 32


class LocalLauncher(Launcher):
    """Runs every step as a process of this host."""

    def __init__(self, context: LauncherContext, /) -> None:
        self._processes = context.processes

    @property
    def max_running(self) -> int:
        return max(FEWEST, MODELS_PER_CORE * usable_cores())

    def start(self, work: Sequence[Work], /) -> Sequence[Started]:
        steps = [item for item in work if isinstance(item, Step)]
        answers = iter(self._processes.start(steps) if steps else ())
        return [next(answers) if isinstance(item, Step) else _refusal(item) for item in work]

    def status(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        return self._processes.status(ids)

    def stop(self, ids: Collection[JobId], /) -> None:
        self._processes.stop(ids)

    def watch(self, sink: EventSink, /) -> None:
        self._processes.watch(sink)

    def attach(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        return self._processes.attach(ids)

    def close(self) -> None:
        self._processes.close()


def _refusal(job: Job) -> Started:
    # Its nodes, its walltime and the lines before its steps mean nothing here.
    return Started(
        error=f"{job.name}: processes of this host are no batch job; leave out its batch settings"
        " or choose another launcher"
    )


def usable_cores() -> int:
    """Cores that this process may use, which a batch system or `taskset` may have narrowed."""
    return len(os.sched_getaffinity(0))


def detect(environment: Mapping[str, str], /) -> Detection:
    """Always usable on Linux, and never better than any workload manager."""
    if not hasattr(os, "pidfd_open"):
        return Detection(Score.UNUSABLE, f"{platform.system()} has no pidfd_open")
    cores = usable_cores()
    return Detection(Score.FALLBACK, f"this host, {cores} core{'s' * (cores != 1)}")
