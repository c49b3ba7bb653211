"""The running part of an experiment: what was launched, on which launcher, and how it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from smartcore.adoption import Adoption
from smartcore.config import Config
from smartcore.database import Orchestrator
from smartcore.database.besides import Besides
from smartcore.databases import Databases
from smartcore.entity import Model
from smartcore.error import (
    LauncherError,
    StepFailedError,
)
from smartcore.launch import check, index, report
from smartcore.launch.bundle import bundles
from smartcore.launch.check import Startable, databases_of, models_of, shard_names
from smartcore.launch.consequences import attempt_after, concerned_by
from smartcore.launch.engine import Engine
from smartcore.launch.farewell import some, warn_at_exit
from smartcore.launch.journal import Journal, stopped_by_shell
from smartcore.launch.policy import DEFAULT, OnFailure, Policy
from smartcore.launch.process import ensure_directory
from smartcore.launch.run import MODEL, Run
from smartcore.launch.step import StepBuilder
from smartcore.log import get_logger
from smartcore.machinery import Machinery
from smartcore.news import News
from smartcore.registry import Registry
from smartcore.restarts import Restarts
from smartcore.roster import Roster
from smartcore.spec import (
    JobId,
    Launcher,
    State,
    Status,
    Step,
)
from smartcore.steps import Steps
from smartcore.stops import Stops

# Imported where they are used: `from smartcore import Experiment` stays quick.
if TYPE_CHECKING:
    from smartcore.progress import Progress
    from smartcore.summary import DatabaseRow

log = get_logger(__name__)


class Session:
    """Keeps the runs of one experiment and the engine that drives them.

    :param launcher: the launcher's resolved name
    :param max_running: how many models may run at once; None or 0 leaves it to the launcher
    """

    def __init__(
        self,
        name: str,
        path: Path,
        launcher: str,
        registry: Registry,
        config: Config,
        max_running: int | None,
    ) -> None:
        self.name = name
        self.path = path
        self.launcher = launcher
        self.registry = registry
        self.config = config
        self._max_running = max_running or config.integer("max_running") or None
        self._machinery = Machinery(name, path, launcher, registry, config, self._make_engine)
        builder = StepBuilder(registry)
        self.databases = Databases(path, registry, config, builder, self)
        self.roster = Roster(path, self.databases)
        self.restarts = Restarts(path, self.databases, self, registry, config, builder)
        self.steps = Steps(
            path, registry, config, builder, self.databases, self.roster, lambda: self.engine
        )
        self._journal: Journal | None = None
        self.besides = Besides(path, self.roster.runs)
        self.news = News(
            name,
            path,
            registry,
            self.databases,
            self.restarts,
            self.besides,
            lambda: self.journal,
        )
        self.stops = Stops(self._machinery, self.roster, self.databases, self.restarts)
        self.adoption = Adoption(
            self._machinery,
            self.roster,
            self.databases,
            self.besides,
            self.news,
            lambda: self.journal,
        )
        self._noted: set[str] = set()

    @property
    def engine(self) -> Engine:
        """The engine, made when first needed."""
        return self._machinery.engine

    def _make_engine(self, launcher: Launcher) -> Engine:
        return Engine(
            launcher,
            max_running=self._max_running,
            before_start=self.news.handed,
            on_start=self.news.began,
            on_end=self._ended,
            again=self._again,
        )

    @property
    def runs(self) -> Mapping[str, Run]:
        """The newest run of each name."""
        return self.roster.runs

    @property
    def history(self) -> Sequence[Run]:
        """All runs, in the order in which they were launched."""
        return self.roster.history

    def warm_up(self, entities: Sequence[Startable]) -> None:
        """Make ready what a start of these will need, so that it need not wait."""
        self._machinery.warm_up()
        if databases_of(entities):
            from smartcore.database import start_database  # noqa: F401 -- takes a while

    @property
    def journal(self) -> Journal:
        """The journal, opened when first needed.

        :raises InputError: another living process drives this experiment
        """
        if self._journal is None:
            self._journal = Journal(self.path)
            self._journal.opened(self.name, self.launcher, adopts=self.roster.earlier.adopted)
            index.note(self.config, self.path, self.name)
        return self._journal

    # -- start ----------------------------------------------------------------------------------

    def start(
        self,
        entities: Sequence[Startable],
        *,
        block: bool,
        kill_on_interrupt: bool,
        raise_on_failure: bool,
        skip_completed: bool = False,
        policy: Policy = DEFAULT,
    ) -> None:
        """Check all, then launch databases and models; with ``block`` wait for the models.

        :param skip_completed: leave out what has completed or is running
        :param policy: what a failure leads to
        """
        given = models_of(entities)
        outstanding = self._checked(entities, skip_completed)
        names = [entity.name for entity in outstanding]
        self.registry.emit("smartcore_before_start", experiment=self.name, names=names)
        # Modules are loaded before anything runs: Python takes a Ctrl-C that hits the making of a
        # class for unhandled, and would die of it at its very end.
        display = self._display(len(given)) if block else None
        with self.stops.launching(stops=kill_on_interrupt):
            for database in databases_of(outstanding):
                # First: a driver that is killed meanwhile leaves shards that can be taken up.
                self.journal.database(database.db_identifier, database.checkpoint_file)
                self.databases.start(database)
                self._replace(database)
            self._start_models(models_of(outstanding), entities, policy)
            runs = [self.runs[model.name] for model in given]
            if block:
                with self.stops.awaiting(runs if kill_on_interrupt else ()):
                    self._show(runs, display)
        failed = [run.latest for run in runs if run.latest.failed]
        if block and raise_on_failure and failed:
            raise StepFailedError("\n".join(map(self.news.failure, failed)))

    def _checked(self, entities: Sequence[Startable], skip_completed: bool) -> Sequence[Startable]:
        """Those to start, when nothing speaks against it."""
        self.databases.forget_ended(self.runs)
        self.adoption.recall(self.roster.names_of(entities))
        if skip_completed:
            entities = self.roster.outstanding(entities)
        self.roster.earlier.refuse(self.roster.names_of(entities))
        check.before_start(
            entities,
            runs=self.runs,
            live=self.databases.identifiers,
            registry=self.registry,
            launcher=self.launcher,
            on_nodes=self.databases.on_nodes,
            steps_of=self.databases.step_names,
        )
        databases = databases_of(entities)
        if here := [each for each in databases if not self.databases.on_nodes(each)]:
            self.warm_up(here)  # beside what follows, which takes as long
        for database in databases:
            self.databases.check(database)
        self.steps.check(models_of(entities))
        _ = self.journal  # a second driver is refused before anything is launched
        return entities

    def restart(self, what: object) -> Orchestrator:
        """Bring back what of a database has ended; see :meth:`Restarts.restart`."""
        database = self.roster.database(what, self.registry)
        names = list(dict.fromkeys([*self.roster.names_of([database]), *shard_names(database)]))
        self.adoption.refuse(names)
        journal = self.journal
        with self.stops.launching():
            self.restarts.restart(database)
        journal.database(database.db_identifier, database.checkpoint_file)
        self._replace(database)
        return database

    def _replace(self, database: Orchestrator) -> None:
        runs = self.roster.replaced(database)
        for run in runs:
            run.replaced = True
        self.journal.replaced(runs)

    def _start_models(
        self, models: Sequence[Model], entities: Sequence[Startable], policy: Policy
    ) -> None:
        for model in models:
            ensure_directory(Path(model.path))
        runs = []
        for step, place in self.steps.build(models):
            runs.append(self.new_run(step, MODEL))
            runs[-1].place = place
        jobs = bundles(entities, {run.name: run.step for run in runs})
        for run in runs:
            run.policy, run.group, run.bundle = policy, runs, jobs.get(run.name)
        self.launch(runs)
        beside = {model.name for model in models if model.colocation is not None}
        self.besides.add({run.step.tag: run.name for run in runs if run.name in beside})

    def _again(self, run: Run, status: Status) -> Run | None:
        # Called before anybody can see that it has ended.
        again = attempt_after(run, status)
        if again is None or (status.state is State.LOST and stopped_by_shell(self.path, run)):
            return None
        report.set_aside(run)
        try:
            self.journal.launch([again])
        except LauncherError as error:
            log.error("%s is not run again: %s", run.name, error)
            return None
        self.roster.add([again])
        return again

    def _spread(self, run: Run) -> None:
        concerned = concerned_by(run)
        if concerned:
            on_failure, names = run.policy.on_failure, some([other.name for other in concerned])
            stops = on_failure is OnFailure.STOP
            what = "stopping" if stops else "not starting"
            log.warning(
                "%s failed, and on_failure is %s: %s %s", run.name, on_failure.value, what, names
            )
            for other in concerned:
                other.why = f"{run.name} failed, and on_failure is {on_failure.value}"
            self.engine.cancel(concerned, started=stops)

    def new_run(self, step: Step, kind: str, *, limited: bool = True) -> Run:
        """The next run of a step; it is not launched yet."""
        return self.roster.new_run(step, kind, limited=limited)

    def launch(self, runs: Sequence[Run]) -> None:
        """Write these down, then hand them to the engine."""
        self.journal.launch(runs)  # first: what cannot be written down is not launched
        self.roster.add(runs)
        warn_at_exit(self)
        self._note_nodes(runs)
        self.engine.submit(runs)

    def newest(self, name: str) -> Run | None:
        """The newest run of a name, also of an earlier driver; None if there is none."""
        return self.roster.newest(name)

    def _note_nodes(self, runs: Sequence[Run]) -> None:
        wanted = {run.step.resources.allocation for run in runs if run.bundle is None}
        for allocation in sorted(wanted - self._noted):
            self._noted.add(allocation)
            nodes = self.engine.nodes(allocation)
            if nodes:
                self.journal.nodes(allocation, nodes)

    # -- afterwards -----------------------------------------------------------------------------

    def wait(
        self,
        runs: Sequence[Run],
        timeout: timedelta | None = None,
        *,
        tick: Callable[[], None] | None = None,
        interval: float = 0.1,
    ) -> None:
        """Return when these have ended; see :meth:`Engine.wait`."""
        if runs:
            self.engine.wait(runs, timeout, tick=tick, interval=interval)

    def _display(self, total: int) -> Progress | None:
        from smartcore.progress import make_progress

        return make_progress(self.config.text("progress"), total)

    def _show(self, runs: Sequence[Run], progress: Progress | None) -> None:
        if progress is None:
            self.wait(runs)
            return
        from smartcore.progress import snapshot

        with progress:
            self.wait(runs, tick=lambda: progress.update(*snapshot(runs)))

    def follow(self, database: Orchestrator, jobs: Mapping[str, str]) -> None:
        """Take up a database that another process started; see :meth:`Databases.follow`."""
        book = self.journal  # a second driver is refused
        self.databases.forget_ended(self.runs)
        self.databases.follow(database, jobs, self.roster.add)
        book.uses(database.db_identifier, database.checkpoint_file)

    def _ended(self, run: Run) -> None:
        self.news.ended(run)
        self._spread(run)

    def native_ids(self) -> Mapping[JobId, str]:
        """What the workload manager calls everything that was launched, at the price of few
        questions; those that it does not know any more, or that have no such name, are left out.
        """
        ids = [run.job for run in self.history if run.job is not None]
        return self.engine.native_ids(ids) if ids else {}

    def database_rows(self) -> list[DatabaseRow]:
        """What each shard of its databases does, and each that is next to a model."""
        return self.databases.rows() + self.besides.rows(self.registry)

    def active(self) -> list[Run]:
        """Everything that is queued or running."""
        return self.roster.active()

    def give_up(self) -> None:
        """End what a start still waits for; see :meth:`Stops.give_up`."""
        self.stops.give_up()

    def hear_out(self) -> None:
        """Return when users' functions were called for all ends so far."""
        self.news.hear_out()

    def close(self) -> None:
        """Give threads back; what runs goes on."""
        self.databases.close()
        self.besides.stop()
        self._machinery.close()
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self.news.hear_out()
