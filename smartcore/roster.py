"""The runs of an experiment by name: those of this driver, and what earlier drivers left."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from smartcore.database import Orchestrator
from smartcore.database.live import is_step_of
from smartcore.databases import Databases
from smartcore.error import InputError, InputTypeError
from smartcore.launch import check
from smartcore.launch.check import Startable, databases_of, models_of, names_of
from smartcore.launch.earlier import Earlier
from smartcore.launch.run import MODEL, SHARD, Run
from smartcore.launch.story import Story
from smartcore.registry import Registry
from smartcore.spec import State, Step


class Roster:
    """Knows the runs of one experiment.

    :param path: the experiment's directory
    :param databases: those of the experiment
    :ivar runs: the newest run of each name
    :ivar history: all runs, in the order in which they were launched
    :ivar earlier: what earlier drivers launched, whether it is followed or not
    """

    def __init__(self, path: Path, databases: Databases) -> None:
        self.runs: dict[str, Run] = {}
        self.history: list[Run] = []
        self.earlier = Earlier(path)
        self._databases = databases

    def add(self, runs: Sequence[Run]) -> None:
        """Take up the newest runs of their names."""
        for run in runs:
            self.runs[run.name] = run
        self.history += runs

    def adopt(self, story: Story) -> None:
        """Take up all that earlier drivers launched, which is followed from now on."""
        self.earlier.adopt(story)
        self.history[:] = story.runs
        self.runs.clear()
        self.runs |= {run.name: run for run in story.runs}

    def new_run(self, step: Step, kind: str, *, limited: bool = True) -> Run:
        """The next run of a step; it is not launched yet."""
        known = [*self.earlier.of(step.name)]
        if step.name in self.runs:
            known.append(self.runs[step.name])
        return Run(step, kind, 1 + max((run.run_id for run in known), default=-1), limited)

    def newest(self, name: str) -> Run | None:
        """The newest run of a name, also of an earlier driver; None if there is none."""
        if name in self.runs:
            return self.runs[name]
        earlier = self.earlier.of(name)
        return earlier[-1] if earlier else None

    def replaced(self, database: Orchestrator) -> list[Run]:
        """Ended runs of a database that serves by steps of other names: an earlier life of it was
        one step, or had more shards.
        """
        present = {*self._databases.step_names(database)}
        others = {*self.earlier.story.databases, *self._databases.started} - {database.name}
        newest = {run.name: run for run in [*self.earlier.story.runs, *self.history]}
        return [
            run
            for name, run in newest.items()
            if run.kind == SHARD
            and name not in present | others
            and is_step_of(database.name, name)
            and not (run.active or run.replaced)
        ]

    def active(self) -> list[Run]:
        """Everything that is queued or running."""
        return [run for run in self.history if run.active]

    def active_models(self) -> list[Run]:
        """All models that are queued or running."""
        return [run for run in self.active() if run.kind == MODEL]

    # -- what users give ------------------------------------------------------------------------

    def names(self, given: Sequence[object]) -> list[str]:
        """Names of the runs of what a user gave: members and shards have their own.

        A text is the name of a model, or the identifier of a database.
        """
        names: list[str] = []
        for item in given:
            if isinstance(item, str):
                names += self._named(item)
            else:
                names += self.names_of(check.startable([item]))
        return names

    def _named(self, name: str) -> list[str]:
        if name in self._databases.started:
            return self._databases.step_names(self._databases.started[name])
        if name in self.runs or name not in self.earlier.story.databases:
            return [name]
        # Of a database that an earlier driver started and that cannot be asked.
        shard = re.compile(rf"{re.escape(name)}_\d+")
        return [each for each in self.runs if shard.fullmatch(each)] or [name]

    def database(self, what: object, registry: Registry) -> Orchestrator:
        """The database that a user gave, or named: it was started here, or by an earlier driver.

        :raises InputError: there is none of that name
        """
        if isinstance(what, Orchestrator):
            return what
        if not isinstance(what, str):
            raise InputTypeError(
                f"{what!r} is a {type(what).__name__}, and restart is for databases; start models"
                " again with start()"
            )
        started, checkpoints = self._databases.started, self.earlier.story.databases
        if what in started:
            return started[what]
        if what not in checkpoints:
            known = ", ".join({**started, **checkpoints}) or "none"
            raise InputError(f"no database {what!r} was started in this experiment; known: {known}")
        from smartcore.database.checkpoint import describe

        database, _, _ = describe(checkpoints[what], registry)
        return database

    def names_of(self, entities: Iterable[Startable]) -> list[str]:
        """Names of the runs of these entities."""
        steps_of = self._databases.step_names
        return [name for entity in entities for name in names_of(entity, steps_of)]

    def runs_of(self, entities: Iterable[Startable]) -> list[Run]:
        """The newest runs of these entities, in order; those never started have none."""
        return [self.runs[name] for name in self.names_of(entities) if name in self.runs]

    def started(self, given: Sequence[object]) -> list[Run]:
        """The newest runs of what a user gave, and older ones of theirs that go on.

        :raises InputError: one of them was never started here
        """
        names = self.names(given)
        for name in names:
            if name not in self.runs:
                raise InputError(f"{name!r} was never started in this experiment; start it first")
        return [run for name in names for run in self._going(name)]

    def _going(self, name: str) -> list[Run]:
        # Earlier versions let several runs of one name live at the same time.
        newest = self.runs[name]
        older = self.earlier.of(name) if self.earlier.adopted else ()
        return [*(run for run in older if run.active and run is not newest), newest]

    def outstanding(self, entities: Sequence[Startable]) -> list[Startable]:
        """Those of these entities that neither run nor have completed, also with an earlier driver:
        a run of its that completed is taken up.
        """
        for model in models_of(entities):
            newest = None if model.name in self.runs else self.newest(model.name)
            if newest is not None and newest.status.state is State.COMPLETED:
                self.add([newest])
        models = [model for model in models_of(entities) if not self._fine(model.name)]
        databases = [
            database
            for database in databases_of(entities)
            if not all(self._fine(name) for name in self._databases.step_names(database))
        ]
        return [*databases, *models]

    def _fine(self, name: str) -> bool:
        run = self.runs.get(name)
        return run is not None and (run.active or run.status.state is State.COMPLETED)
