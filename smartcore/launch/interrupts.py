"""Ctrl-C while something is being waited for: the first one is the user's, the second one forces.

Signal handlers are the user's. The one that is set here calls the user's own, and only while a call
of the user blocks; none is set off the main thread, where Python has none, nor where the user's
program leaves Ctrl-C to the system or ignores it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from smartcore.log import get_logger

log = get_logger(__name__)


class Interrupts:
    """A context in which a Ctrl-C that comes during a stop does not end it half-way, which would
    leave processes behind, but makes it quick.

    :param force: ends at once what is being stopped; called from a thread of its own
    :param stops: what is done at a Ctrl-C in here is a stop, which further ones must not end
    """

    def __init__(self, force: Callable[[], None], *, stops: bool = True) -> None:
        self._force = force
        self._stops = stops
        self._stopping = False
        self._before: Callable[[int, FrameType | None], object] | None = None

    def __enter__(self) -> Self:
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(before):
            self._before = before
            signal.signal(signal.SIGINT, self._heard)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def stopping(self) -> None:
        """From now on, something is being stopped."""
        self._stopping = True

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._stopping:
            log.warning("Ctrl-C again: killing at once what has not ended yet")
            # Not here: a handler interrupts any line, also one that holds a lock.
            threading.Thread(target=self._force, name="smartcore-force", daemon=True).start()
            return
        assert self._before is not None
        try:
            self._before(number, frame)
        except BaseException:
            # From here on, before anybody could press it again.
            self._stopping = self._stops
            raise
