"""Looks for servers on nodes that died, while the launcher may not know yet."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from smartcore.launch.death import read_death, told_deaths

from .looking import Looker

if TYPE_CHECKING:
    from smartcore.launch.death import Death

# Seconds. A death is told at the second look that finds it: within two intervals, in which most
# launchers have told of it themselves, and it is known again what is free.
INTERVAL = 0.25
_PATIENCE = 5.0


class DeathWatch:
    """Looks after servers whose deaths are told in one directory: lists it now and then, however
    many they are, from a thread of its own, as long as one of them runs.

    :param name: of the thread
    :param tags: of the steps that they are parts of
    :param running: True while one of them runs
    :param tell: told of each that died, once, with the name of the file that says so
    :param interval: seconds between two looks
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        tags: Collection[str],
        running: Callable[[], bool],
        tell: Callable[[str, Death], None],
        interval: float = INTERVAL,
    ) -> None:
        self._directory, self._tags = str(directory), frozenset(tags)
        self._running, self._tell, self._interval = running, tell, interval
        self._seen: set[str] = set()
        self._told: set[str] = set()
        self._looker = Looker(name, self._run, _PATIENCE)

    def start(self) -> None:
        """Begin to look."""
        self._looker.start()

    def stop(self) -> None:
        """Look no more; return when nothing is told any more."""
        self._looker.stop()

    def _run(self) -> None:
        # Nothing tells of a file that another host writes.
        while self._running() and not self._looker.pause(self._interval):
            self._look()

    def _look(self) -> None:
        due = self._seen - self._told
        self._seen = told_deaths(self._directory, self._tags)
        self._told |= due
        for file in sorted(due):
            death = read_death(self._directory, file)
            if death is not None:
                self._tell(file, death)
