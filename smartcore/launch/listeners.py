"""Users' functions that hear of ends, called where they may start and stop things themselves."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from smartcore.launch.run import Run
from smartcore.log import get_logger

log = get_logger(__name__)

EndListener = Callable[[Run], None]


class Listeners:
    """Calls functions from a thread of their own, one end after the other."""

    def __init__(self) -> None:
        self._functions: list[EndListener] = []
        self._queue: queue.SimpleQueue[Run | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def add(self, function: EndListener) -> None:
        """Call ``function`` for each end from now on."""
        self._functions.append(function)
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="smartcore-events", daemon=True)
            self._thread.start()

    def tell(self, run: Run) -> None:
        """Have the functions called, soon."""
        if self._thread is not None:
            self._queue.put(run)

    def _loop(self) -> None:
        while (run := self._queue.get()) is not None:
            for function in self._functions:
                try:
                    function(run)
                except Exception:  # a user's function must not end the others' news
                    log.exception("a function given to on_end failed for %s", run.name)

    def close(self) -> None:
        """Return when all calls that are due were made; from one of the functions, at once."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            if thread is not threading.current_thread():
                thread.join()
