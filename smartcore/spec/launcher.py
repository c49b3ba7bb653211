"""The launcher contract: what starts, answers for and stops jobs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from smartcore.error import LauncherUnsupportedFeature

from .ids import JobId
from .state import Answer, Status
from .work import Node, Started, Step, Work

if TYPE_CHECKING:
    from .scheduler import CommandLineScheduler

EventSink = Callable[[JobId, Status], None]
"""Takes a status the moment it is known. Thread-safe, returns at once, never raises."""


class Launcher(ABC):
    """Starts, answers for and stops jobs on one kind of machine.

    All methods are called from one thread of the core. They may block, but only for a bounded time:
    no command without a timeout. Collections are given whole, so that one request can serve them
    all. An id is all the state that a caller keeps: another process, with a launcher of its own,
    can ask about a job or stop it.
    """

    @abstractmethod
    def start(self, work: Sequence[Work], /) -> Sequence[Started]:
        """Start every piece of ``work``.

        Guarantees: the answer has one item for each, in order; a job that did start is never
        without its id, even if a later one failed. Does not guarantee that a started job is running
        already.

        :raises LauncherError: only if nothing was started at all, for a reason that is none of
            the work's
        """

    @abstractmethod
    def status(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        """Answer for every id: its status, or ``ABSENT`` if the scheduler does not know it.

        A launcher never turns absence into an end; the core does, after a grace period, and calls
        it lost.

        :raises LauncherError: the question could not be asked; this changes no job's state
        """

    @abstractmethod
    def stop(self, ids: Collection[JobId], /) -> None:
        """End the jobs: ask politely, wait a while, then insist. Ids that have ended or are unknown
        are no error.

        :raises LauncherError: naming those that are known to live on
        """


@runtime_checkable
class Watches(Protocol):
    """A launcher that tells of changes by itself, so that the core need not ask."""

    def watch(self, sink: EventSink, /) -> None:
        """Call ``sink`` for every change from now on, from any thread."""


@runtime_checkable
class WatchesSome(Watches, Protocol):
    """A launcher that tells of changes of some of its jobs only; the core asks about the others."""

    def watches(self, job: JobId, /) -> bool:
        """True if the sink hears of this job's end."""


@runtime_checkable
class Attaches(Protocol):
    """A launcher that can follow jobs which another process started."""

    def attach(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        """Follow these from now on; the answer is what is known at once."""


@runtime_checkable
class Finds(Protocol):
    """A launcher that can look up what a driver started that was killed before it heard of it."""

    def find(self, work: Sequence[Work], /) -> Sequence[Started]:
        """What ``start`` would have answered: by its tag, the id of each that was started; nothing
        is. Of the steps, only names and tags are known.

        :raises LauncherError: the question could not be asked
        """


@runtime_checkable
class Limits(Protocol):
    """A launcher without a queue of its own, so that the core must hold work back."""

    @property
    def max_running(self) -> int:
        """How many models may run at the same time."""


@runtime_checkable
class Places(Protocol):
    """A launcher that runs steps in an allocation, whose cores the core shares out among them."""

    def nodes(self, allocation: str, /) -> Sequence[Node]:
        """What an allocation grants; empty if there is none, or nothing is known.

        :param allocation: its id; empty for the one that the driver is in
        :raises LauncherError: the question could not be asked
        """


@runtime_checkable
class Closes(Protocol):
    """A launcher that holds something (threads, sockets) to be given back."""

    def close(self) -> None:
        """Give back; running jobs go on. Safe to call twice."""


@runtime_checkable
class NativeIds(Protocol):
    """A launcher whose jobs have another name in the workload manager than their id."""

    def native_ids(self, ids: Collection[JobId], /) -> Mapping[JobId, str]:
        """What the workload manager's own commands call these, at the price of few questions for
        all; those that have no such name, or whose name is not known, are left out.

        :raises LauncherError: the question could not be asked
        """


@runtime_checkable
class Outlasts(Protocol):
    """A launcher of processes within something that ends all of them, such as an allocation, and
    that is seen from other hosts, too.

    A process can be asked about on its own host only, and that is perhaps out of reach by then.
    """

    def outlasted(self, ids: Collection[JobId], /) -> Mapping[JobId, str]:
        """Those of these, started from other hosts, that cannot run any more, each with the reason,
        such as ``its allocation 4711 has ended``; nothing is said of the others.

        :raises LauncherError: the question could not be asked
        """


class Processes(Protocol):
    """The core's service that runs processes of this host; given to launchers, not implemented by
    them.

    The same guarantees as :class:`Launcher`; every process gets a session of its own and
    ``/dev/null`` as standard input, and its end is an event.
    """

    grace: timedelta
    """How long a process that is stopped has between TERM and KILL."""

    def start(self, steps: Sequence[Step], /) -> Sequence[Started]:
        """Spawn every step, in order."""

    def status(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        """Answer for processes of this host, also for those that another process started."""

    def stop(self, ids: Collection[JobId], /) -> None:
        """TERM to each whole session, KILL to what is left after the grace period."""

    def watch(self, sink: EventSink, /) -> None:
        """Tell ``sink`` of every end."""

    def attach(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        """Follow processes that another process started; the answer is what is known at once.

        Exit codes are known as for processes of one's own, also of ends that nobody here saw; that
        of a process whose keeper was killed is lost.
        """

    def close(self) -> None:
        """Stop watching; what runs goes on."""


class BatchService(Protocol):
    """The core's service for workload managers that are spoken to by commands; given to launchers,
    not implemented by them.
    """

    def __call__(self, scheduler: CommandLineScheduler, /) -> Launcher:
        """A launcher that submits, follows and stops jobs by this scheduler's commands."""


def _no_batch(scheduler: CommandLineScheduler, /) -> Launcher:
    raise LauncherUnsupportedFeature(
        f"{scheduler.name}: this context has no service for batch jobs"
    )


@dataclass(frozen=True, slots=True)
class LauncherContext:
    """What the core gives to a launcher's factory.

    :param experiment: name of the experiment
    :param path: its directory; absolute, may not exist yet
    :param processes: the service that runs processes of this host
    :param environment: variables of the driver, for facts such as an allocation's id
    :param batch: the service for workload managers that are spoken to by commands
    """

    experiment: str
    path: Path
    processes: Processes
    environment: Mapping[str, str] = field(default_factory=dict)
    batch: BatchService = _no_batch


LauncherFactory = Callable[[LauncherContext], Launcher]


class Score(IntEnum):
    """How sure a launcher is that it is the one to use here."""

    UNUSABLE = 0
    FALLBACK = 1
    ON_PATH = 10
    SERVER_ANSWERS = 50
    IN_ALLOCATION = 100


@dataclass(frozen=True, slots=True)
class Detection:
    """A launcher's finding about this host.

    :param score: how sure it is; the highest wins ``launcher="auto"``
    :param evidence: what was looked at and seen, for people
    :param version: the workload manager's version, if asked
    """

    score: int
    evidence: str
    version: str = ""

    @property
    def usable(self) -> bool:
        """True when jobs can be launched from here."""
        return self.score > Score.UNUSABLE


Detector = Callable[[Mapping[str, str]], Detection]
"""Looks at the environment and, briefly, at the host. Bounded: two seconds at most."""
