"""How an experiment stands, in one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smartcore.config import Config
from smartcore.error import SmartcoreError
from smartcore.launch.run import Run
from smartcore.launch.story import Driver, standing
from smartcore.observe import Observer
from smartcore.registry import Registry
from smartcore.spec import State

from .places import Place, Process

_WAITING = frozenset({State.NEW, State.QUEUED})


@dataclass(frozen=True, slots=True)
class Overview:
    """One experiment.

    :param place: where it is
    :param launcher: as its newest driver named it; empty if that is not known
    :param driver: its newest driver, None if not known
    :param keeper: its living keeper on this host, None if it has none
    :param queued: launches that wait
    :param running: launches that run
    :param ended: launches that ended well, were stopped or were replaced
    :param failed: launches that failed or are lost
    :param stale: of those queued or running, how many nobody confirmed
    :param active: launches that wait or run, as far as its journals tell
    :param problem: why something is not known
    """

    place: Place
    launcher: str = ""
    driver: Driver | None = None
    keeper: int | None = None
    queued: int = 0
    running: int = 0
    ended: int = 0
    failed: int = 0
    stale: int = 0
    active: tuple[Run, ...] = ()
    problem: str = ""

    @property
    def living(self) -> bool:
        """True if something of it runs or waits, or somebody drives it."""
        driven = self.driver is not None and self.driver.living
        return bool(driven or self.queued or self.running or self.place.keepers)


def look(
    place: Place, processes: Sequence[Process], registry: Registry, config: Config
) -> Overview:
    """Ask about what has not ended, and count."""
    driver, story = place.driver, place.story
    keeper = place.keepers[-1].pid if place.keepers else None
    if story is None:
        # Its journals are gone or cannot be read; what its keepers started is there to be seen.
        pids = {one.pid for one in place.keepers}
        running = sum(process.parent in pids for process in processes)
        problem = place.problem or "its directory or its journal was removed"
        return Overview(place, "", driver, keeper, running=running, problem=problem)
    problem = ""
    with Observer(place.path, registry, config) as observer:
        try:
            runs = observer.refresh()
        except SmartcoreError as error:  # its plugin is not here: the journal still tells
            problem = str(error)
            runs = standing(observer.story.runs)
        states = [run.status.state for run in runs]
        stale = sum(observer.is_stale(run) for run in runs)
    failed = sum(run.failed and not run.replaced for run in runs)
    queued = sum(state in _WAITING for state in states)
    ended = sum(state.is_terminal for state in states) - failed
    running = len(states) - failed - queued - ended
    return Overview(
        place,
        story.launcher,
        driver,
        keeper,
        queued=queued,
        running=running,
        ended=ended,
        failed=failed,
        stale=stale,
        active=tuple(run for run in runs if run.active),
        problem=problem,
    )
