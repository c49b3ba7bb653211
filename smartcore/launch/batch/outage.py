"""Tells the user that a scheduler does not answer: when that begins, now and then, and its end."""

from __future__ import annotations

from dataclasses import dataclass

from smartcore.amounts import span
from smartcore.log import get_logger

log = get_logger(__name__)

# Seconds from one message to the next: doubled from the first to the last.
FIRST = 60.0
LAST = 3600.0


@dataclass(slots=True)
class Outage:
    """Questions to one scheduler that were not answered.

    :param name: of the scheduler
    :param count: how many in a row
    :param since: when the first of them was asked, in seconds of a monotonic clock
    """

    name: str
    count: int = 0
    since: float = 0.0
    _told: bool = False
    _next: float = float("-inf")
    _pause: float = FIRST

    def failed(self, reason: str, now: float, age: float | None) -> None:
        """A question was not answered.

        :param age: seconds since the last answer; None if there was none
        """
        if not self.count:
            self.since, self._told = now, False
        self.count += 1
        if now < self._next:
            log.debug("%s does not answer: %s", self.name, reason)
            return
        known = "nothing is known yet" if age is None else f"what is known is {span(age)} old"
        often = "" if self.count == 1 else f" ({self.count} times in {span(now - self.since)})"
        log.warning(
            "%s does not answer%s: %s; %s, and it is asked again", self.name, often, reason, known
        )
        self._told, self._next = True, now + self._pause
        self._pause = min(2 * self._pause, LAST)

    def answered(self, now: float) -> None:
        """A question was answered."""
        if not self.count:
            return
        if self._told:
            took = span(now - self.since)
            log.info("%s answers again, after %d failures in %s", self.name, self.count, took)
        # One that fails every other time is not told of every time.
        self.count, self._pause, self._next = 0, FIRST, min(self._next, now + FIRST)
