"""The statuses that drivers compare with, and what stands behind each of them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

from smartcore.spec import Cause, Source, State, Status

__all__ = [
    "TERMINAL_STATUSES",
    "Cause",
    "SmartSimStatus",
    "SmartcoreStatus",
    "Source",
    "State",
    "Status",
    "from_state",
]


class SmartcoreStatus(Enum):
    """What ``Experiment.get_status`` answers: coarser than :class:`State`, and stable."""

    STATUS_RUNNING = "Running"
    STATUS_COMPLETED = "Completed"
    STATUS_CANCELLED = "Cancelled"
    STATUS_FAILED = "Failed"
    STATUS_NEW = "New"
    STATUS_PAUSED = "Paused"
    STATUS_NEVER_STARTED = "NeverStarted"
    STATUS_QUEUED = "Queued"

    def __str__(self) -> str:
        return self.value


TERMINAL_STATUSES: Final = frozenset(
    {
        SmartcoreStatus.STATUS_CANCELLED,
        SmartcoreStatus.STATUS_COMPLETED,
        SmartcoreStatus.STATUS_FAILED,
    }
)

_BY_STATE: Final = {
    State.NEW: SmartcoreStatus.STATUS_NEW,
    State.QUEUED: SmartcoreStatus.STATUS_QUEUED,
    State.RUNNING: SmartcoreStatus.STATUS_RUNNING,
    State.PAUSED: SmartcoreStatus.STATUS_PAUSED,
    State.COMPLETED: SmartcoreStatus.STATUS_COMPLETED,
    State.FAILED: SmartcoreStatus.STATUS_FAILED,
    State.CANCELLED: SmartcoreStatus.STATUS_CANCELLED,
    State.TIMEOUT: SmartcoreStatus.STATUS_FAILED,
    State.LOST: SmartcoreStatus.STATUS_FAILED,
    State.UNKNOWN: SmartcoreStatus.STATUS_NEW,
}


def from_state(state: State, last: State = State.NEW) -> SmartcoreStatus:
    """The status that users see for a state. TIMEOUT and LOST read as failed.

    :param last: the last state that was known; an UNKNOWN ``state`` reads as this one
    """
    return _BY_STATE[last if state is State.UNKNOWN else state]


_FARTHEST_FIRST: Final = (
    State.FAILED,
    State.TIMEOUT,
    State.LOST,
    State.CANCELLED,
    State.PAUSED,
    State.UNKNOWN,
    State.QUEUED,
    State.NEW,
    State.RUNNING,
    State.COMPLETED,
)


def farthest_from_success(statuses: Iterable[Status]) -> Status:
    """One status for several: failed before stopped before waiting before running before done."""
    return min(statuses, key=lambda status: _FARTHEST_FIRST.index(status.state))


SmartSimStatus = SmartcoreStatus
