"""Looking at something again and again, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Looker:
    """A thread that can be told to end, and does not keep a driver that ends from ending.

    :param name: of the thread
    :param run: what it does; it ends soon after ``pause`` has said so
    :param patience: seconds in which it should end
    """

    def __init__(self, name: str, run: Callable[[], None], patience: float) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=run, name=name, daemon=True)
        self._patience = patience

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def pause(self, seconds: float) -> bool:
        """Wait, or return True at once if it is to end."""
        return self._over.wait(seconds)

    def stop(self) -> None:
        """Let it end; return when it has, or its patience is over."""
        self._over.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(self._patience)
