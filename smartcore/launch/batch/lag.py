"""How long an exit record may be on its way through the file system."""

from __future__ import annotations

from dataclasses import dataclass

# What was seen so far may be exceeded; the attributes of a directory are kept by NFS clients for
# up to a minute (nfs(5), acdirmax).
FACTOR = 3.0
MOST = 90.0
# So many records in time make it likely that others come in time, too.
ENOUGH = 20
SHORTEST = 2.0


@dataclass(slots=True)
class RecordLag:
    """How long to wait for the record of a step whose scheduler says that it has ended.

    It begins with what the site is expected to need. Once records have been seen, it is three times
    the longest delay among them: longer where records are late, shorter where they never are.

    :param expected: seconds, before anything was seen
    """

    expected: float
    longest: float = 0.0
    count: int = 0

    def seen(self, delay: float) -> None:
        """A record came.

        :param delay: seconds after it was first known that the step had ended
        """
        self.count += 1
        self.longest = max(self.longest, delay)

    @property
    def grace(self) -> float:
        """Seconds to wait from now on."""
        least = SHORTEST if self.count >= ENOUGH else self.expected
        return max(min(FACTOR * self.longest, MOST), min(least, self.expected))
