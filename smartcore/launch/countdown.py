"""Waiting for what another thread does, so that a Ctrl-C is heard meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from smartcore.launch.run import Run

# A Ctrl-C takes effect after this many seconds at the most.
NOTICE_SIGNALS = 0.25


class Countdown:
    """Sets ``done`` when the last of some runs has ended; used from the engine's thread."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self._left = 0

    def watch(self, runs: Sequence[Run]) -> None:
        """Begin to count the ends of these, and of the runs that take their places."""
        active = [run.latest for run in runs if run.latest.active]
        self._left = len(active)
        for run in active:
            run.waiters.append(self._one)
        if not active:
            self.done.set()

    def _one(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.done.set()


def await_event(event: threading.Event, timeout: float | None = None) -> bool:
    """Return when it is set, True, or after ``timeout`` seconds, False."""
    # A signal that comes in the moment before a lock blocks does not interrupt it, and its Python
    # handler runs only after the lock: without an end to each wait, a Ctrl-C could be lost.
    if timeout is not None and timeout <= NOTICE_SIGNALS:
        return event.wait(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    while not event.wait(NOTICE_SIGNALS):
        if deadline is not None and time.monotonic() >= deadline:
            return False
    return True


def await_ticking(
    event: threading.Event, timeout: float | None, tick: Callable[[], None], interval: float
) -> bool:
    """The same; ``tick`` is called about every ``interval`` seconds, and when the event is set."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = interval if deadline is None else min(interval, deadline - time.monotonic())
        ended = await_event(event, max(0.0, left))
        if not ended and deadline is not None and time.monotonic() >= deadline:
            return False
        tick()
        if ended:
            return True
