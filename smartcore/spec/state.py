"""What is known about a job, and on whose word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final

from .ids import JobId


class State(Enum):
    """Where a job is in its life. Terminal states need positive evidence; absence from a queue is
    none.
    """

    NEW = "New"
    QUEUED = "Queued"
    RUNNING = "Running"
    PAUSED = "Paused"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    TIMEOUT = "Timeout"
    LOST = "Lost"
    UNKNOWN = "Unknown"

    @property
    def is_terminal(self) -> bool:
        """True when the job has ended and no later state can follow."""
        return self in TERMINAL_STATES


TERMINAL_STATES: Final = frozenset(
    {State.COMPLETED, State.FAILED, State.CANCELLED, State.TIMEOUT, State.LOST}
)


class Cause(Enum):
    """Why a job ended other than by returning 0."""

    EXIT_CODE = "exit code"
    SIGNAL = "signal"
    OUT_OF_MEMORY = "out of memory"
    NODE_FAILURE = "node failure"
    PREEMPTED = "preempted"
    TIME_LIMIT = "time limit"
    START_FAILURE = "start failure"
    STOPPED = "stopped by the user"
    UNSEEN = "ended unseen"


class Source(Enum):
    """Whose word a status is."""

    LAUNCHER = "launcher"
    PROCESS = "process"
    RECORD = "exit record"
    SCHEDULER = "scheduler"
    ACCOUNTING = "accounting"


def now() -> datetime:
    """The time of day, aware of its zone: the default of every ``seen`` below."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Status:
    """What one source said about one job at one time.

    :param state: where the job is
    :param returncode: as ``subprocess`` counts: the exit code, ``-n`` for death by signal n, None
        if unknown. What a program in between reports (a shell's ``128 + n``) is its exit code,
        unless it tells that its child died
    :param cause: why it ended, where that is known and not success
    :param reason: the source's own words, for people
    :param source: whose word this is
    :param seen: when it was observed
    :param host: where the job ran, if known
    :param elapsed: how long it ran, if the source knows
    """

    state: State
    returncode: int | None = None
    cause: Cause | None = None
    reason: str = ""
    source: Source = Source.LAUNCHER
    seen: datetime = field(default_factory=now)
    host: str = ""
    elapsed: timedelta | None = None

    @property
    def is_terminal(self) -> bool:
        """True when the job has ended."""
        return self.state.is_terminal


class Absent(Enum):
    """The answer "I do not know this job": an answer, not a state of the job."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
Answer = Status | Absent
Answers = Mapping[JobId, Answer]
