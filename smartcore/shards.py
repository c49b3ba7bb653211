"""The shards of a database as runs of an experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from smartcore.database import Orchestrator
from smartcore.launch import report
from smartcore.launch.engine import Engine
from smartcore.launch.run import SHARD, Run
from smartcore.launch.step import StepBuilder
from smartcore.spec import State, Step

# Imported where they are used: `from smartcore import Experiment` stays quick.
if TYPE_CHECKING:
    from smartcore.database.nodes import Ground


class Book(Protocol):
    """Where the runs of shards are kept: the session."""

    @property
    def engine(self) -> Engine:
        """What drives them."""

    @property
    def runs(self) -> Mapping[str, Run]:
        """The newest run of each name."""

    def new_run(self, step: Step, kind: str, *, limited: bool = True) -> Run:
        """The next run of a step; it is not launched yet."""

    def launch(self, runs: Sequence[Run]) -> None:
        """Write these down, then hand them to the engine."""

    def newest(self, name: str) -> Run | None:
        """The newest run of a name, also of an earlier driver; None if there is none."""


class ShardRunner:
    """Runs the shards of one database, as the runner of :mod:`smartcore.database`.

    :param replaced: earlier runs, whose output is kept
    """

    def __init__(
        self,
        book: Book,
        database: Orchestrator,
        builder: StepBuilder,
        ground: Ground | None,
        replaced: Sequence[Run] = (),
    ) -> None:
        self._book, self._database = book, database
        self._builder, self._ground = builder, ground
        self._replaced = replaced
        self._runs: list[Run] = []

    def start(self, steps: Sequence[Step]) -> None:
        if held := [run for run in self._replaced if run.held]:
            self._book.engine.stop(held)
        for run in self._replaced:
            report.set_aside(run)
        self._runs = [self._book.new_run(step, SHARD, limited=False) for step in steps]
        if self._database.batch:
            from smartcore.database.ground import batch_job

            job = batch_job(self._database, self._builder, steps)
            for run in self._runs:
                run.bundle = job
        elif self._ground is not None:
            for run in self._runs:
                run.place = partial(self._ground.placed, run.step)
        self._book.launch(self._runs)

    def waits(self) -> bool:
        return any(
            run.active and (run.job is None or run.status.state is State.QUEUED)
            for run in self._runs
        )

    def jobs(self) -> Mapping[str, str]:
        return {run.name: run.job for run in self._runs if run.job is not None}

    def failure(self) -> str:
        run = next((run for run in self._runs if not run.active), None)
        if run is None:
            return ""
        if self._database.batch and run.job is None:
            from smartcore.database.ground import nodes_asked

            return f"{report.failure(run)}; {nodes_asked(self._database)}"
        return report.failure(run)

    def stop(self) -> None:
        self._book.engine.stop([run for run in self._runs if run.active])
