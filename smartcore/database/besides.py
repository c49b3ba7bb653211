"""The databases next to the models of an experiment, as its driver sees them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from smartcore.launch import notes, report
from smartcore.launch.child import describe
from smartcore.launch.death import DIRECTORY, read_death, told_deaths
from smartcore.launch.run import MODEL, Run
from smartcore.log import get_logger
from smartcore.spec import Tag

if TYPE_CHECKING:
    from smartcore.launch.death import Death
    from smartcore.registry import Registry
    from smartcore.summary import DatabaseRow

    from .deathwatch import DeathWatch

log = get_logger(__name__)


class Besides:
    """Tells of those that die before their model, which goes on.

    :param experiment: its directory
    :param runs: the newest run of each name
    """

    def __init__(self, experiment: Path, runs: Mapping[str, Run]) -> None:
        self._experiment, self._directory = experiment, experiment / notes.DIRECTORY
        self._runs = runs
        self._models: dict[Tag, str] = {}
        self._watch: DeathWatch | None = None
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def add(self, models: Mapping[Tag, str]) -> None:
        """Look after these as well.

        :param models: their names, by the launch that each was made for
        """
        if not models:
            return
        from .deathwatch import DeathWatch

        self.stop()
        with suppress(OSError):  # they run by now, and need not end because the disk is full
            (self._directory / DIRECTORY).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._models = {
            **{tag: name for tag, name in self._models.items() if self._runs[name].active},
            **models,
        }
        names = list(self._models.values())
        self._watch = DeathWatch(
            "deaths beside models",
            self._directory,
            self._models,
            lambda: any(self._runs[name].active for name in names),
            self._heard,
        )
        self._watch.start()
        for name in names:
            if not self._runs[name].active:  # when it ended, nobody knew that it has a database
                self.ended(self._runs[name])

    def adopt(self) -> None:
        """Look after the models of earlier drivers that run, if they have databases."""
        if not self._directory.is_dir():
            return
        from .colocated import current_notes

        runs = [run for run in self._runs.values() if run.kind == MODEL and run.active]
        models = {run.step.tag: run.name for run in runs}
        # Attempts after the first have the notes of that.
        for name, told in current_notes(self._experiment, {run.name: run for run in runs}).items():
            models[Tag(told[0]["launch"])] = name
        self.add(models)

    def rows(self, registry: Registry) -> list[DatabaseRow]:
        """What each of them does that runs."""
        from smartcore.summary import DatabaseRow

        from .colocated import PATIENCE, read_colocated
        from .figures import between

        return [
            DatabaseRow(one.live.identifier, one.state_of(figures.name).value, figures)
            for one in read_colocated(self._experiment, self._runs.values())
            for figures in between(one.ask(registry, PATIENCE))
        ]

    def _heard(self, file: str, death: Death) -> None:
        self._tell(file, death, self._runs[self._models[Tag(death["tag"])]])

    def ended(self, run: Run) -> None:
        """Tell what is left to tell: a model may end because its database did."""
        own = [tag for tag, name in self._models.items() if name == run.name]
        for file in sorted(told_deaths(str(self._directory), own)) if own else ():
            death = read_death(str(self._directory), file)
            if death is not None:
                self._tell(file, death, run)

    def _tell(self, file: str, death: Death, run: Run) -> None:
        with self._lock:
            if file in self._told:
                return
            self._told.add(file)
        if not run.stopping:
            log.error(
                "%s on %s %s, and the model %s went on without it: its data are gone%s",
                death["name"],
                death["node"],
                describe(death["returncode"]),
                run.name,
                report.ending(Path(death["output"])),
            )

    def stop(self) -> None:
        """Look no more."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
