"""A launcher that does not answer: told to people once, then rarely, and when it answers again."""

from __future__ import annotations

import time

from smartcore.log import get_logger

log = get_logger(__name__)

FIRST_REMINDER = 60.0


class Silence:
    """Counts questions without answer, and tells of them in time intervals that double.

    :param name: who is asked
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._since: float | None = None
        self._count = 0
        self._reminder = 0.0

    def failed(self, error: Exception) -> None:
        """A question was not answered."""
        now, words = time.monotonic(), str(error) or type(error).__name__
        self._count += 1
        if self._since is None:
            self._since, self._reminder = now, FIRST_REMINDER
            log.warning(
                "%s did not answer, asking again; the states shown are the last ones known: %s",
                self._name,
                words,
            )
        elif now - self._since >= self._reminder:
            self._reminder *= 2
            log.error(
                "%s has not answered for %d s (%d times); the states shown are as old as that: %s",
                self._name,
                now - self._since,
                self._count,
                words,
            )

    def answered(self) -> None:
        """A question was answered."""
        if self._since is not None:
            log.info("%s answers again after %d s", self._name, time.monotonic() - self._since)
        self._since, self._count = None, 0
