"""The databases of a running experiment: started, taken up again, let go of when they end."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from smartcore.config import Config
from smartcore.database import LiveDatabase, Orchestrator
from smartcore.error import (
    DatabaseError,
    DatabaseIdConflictError,
    SmartcoreError,
)
from smartcore.launch.check import shard_names
from smartcore.launch.process import ensure_directory
from smartcore.launch.run import SHARD, Run
from smartcore.launch.step import StepBuilder
from smartcore.log import get_logger
from smartcore.registry import Registry
from smartcore.shards import Book, ShardRunner
from smartcore.spec import JobId, Places, Step

# Imported where they are used: `from smartcore import Experiment` stays quick.
if TYPE_CHECKING:
    from smartcore.database.deathwatch import DeathWatch
    from smartcore.database.nodes import Ground
    from smartcore.database.sampler import Sampler
    from smartcore.launch.death import Death
    from smartcore.summary import DatabaseRow

log = get_logger(__name__)


class Databases:
    """The databases of one experiment that run, by identifier.

    :param path: the experiment's directory
    :ivar started: all that served at some time, by identifier
    :ivar followed: identifiers of those that another experiment started
    :ivar restarting: names of steps that are being started again
    :ivar on_death: called, from a thread of its own, with the run that a shard which died on its
        node is, or is a part of; its launcher may not have told of it yet
    """

    def __init__(
        self, path: Path, registry: Registry, config: Config, builder: StepBuilder, book: Book
    ) -> None:
        self._path, self._registry, self._config = path, registry, config
        self._builder, self._book = builder, book
        self._running: dict[str, Orchestrator] = {}
        self._samplers: dict[str, Sampler] = {}
        self._watches: dict[str, DeathWatch] = {}
        self._identifiers: dict[str, str] = {}
        self.on_death: Callable[[Run, Death], None] = lambda run, death: None
        self.started: dict[str, Orchestrator] = {}
        self.followed: set[str] = set()
        self.restarting: set[str] = set()

    def __iter__(self) -> Iterator[Orchestrator]:
        return iter(list(self._running.values()))  # used from several threads

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._running

    def __getitem__(self, identifier: str) -> Orchestrator:
        return self._running[identifier]

    @property
    def identifiers(self) -> list[str]:
        """What they are called."""
        return list(self._running)

    @property
    def live(self) -> list[LiveDatabase]:
        """What is known of each."""
        return [database.live for database in self if database.live is not None]

    @property
    def shards(self) -> set[str]:
        """Names of the steps of all that serve, or should."""
        return {name for database in self for name in self.step_names(database)} - self.restarting

    def forget_ended(self, runs: Mapping[str, Run]) -> None:
        """Let go of those of which no shard runs any more.

        :param runs: the newest run of each name
        """
        for identifier, database in list(self._running.items()):
            if not any(runs[name].active for name in self.step_names(database)):
                database.unbind()
                del self._running[identifier]
                database.telemetry.on_change = None
                self._sample(database)

    def end(self, names: Collection[str], timeout: timedelta) -> bool:
        """Ask shards on this host to end, in their own language; True if they do.

        :param names: of shards
        """
        wanted = set(names)
        for database in self:
            live = database.live
            if live is None or live.nodes:
                continue
            shards = [shard for shard in live.shards if shard.name in wanted]
            backend = self._registry.database(live.backend)
            if shards and backend.end(shards, timeout):
                wanted -= {shard.name for shard in shards}
        return not wanted

    # -- where they run -------------------------------------------------------------------------

    def on_nodes(self, database: Orchestrator) -> bool:
        """True if its shards do not run on this host."""
        if database.run_command in {"", "auto"} and not database.batch:
            return bool(database.run_command) and self._places()
        return True

    def _places(self) -> bool:
        return isinstance(self._book.engine.launcher, Places)

    def step_names(self, database: Orchestrator) -> list[str]:
        """Names of the steps that run it: those of its shards, or its own if it is one step."""
        if database.live is not None:
            return [step.name for step in database.live.steps]
        return [database.name] if self._together(database) else shard_names(database)

    def placed_steps(self, databases: Sequence[Orchestrator]) -> list[str]:
        """Names of the steps of those that are not started yet, and need places on nodes."""
        return [
            name
            for database in databases
            if database.live is None and not database.batch and self.on_nodes(database)
            for name in self.step_names(database)
        ]

    def _together(self, database: Orchestrator) -> bool:
        return database.single_cmd and database.num_shards > 1 and self.on_nodes(database)

    def ground(self, database: Orchestrator, *, together: bool | None = None) -> Ground:
        """Where its shards would run now, if not on this host.

        :param together: started by one command; None if it is to be so
        :raises InputError: hosts were asked for that cannot be had
        """
        from smartcore.database.ground import make_ground

        free = self._book.engine.nodes(str(database.alloc or ""), free=True)
        return make_ground(
            database,
            self._builder,
            self._path,
            free,
            here=not (self._places() or database.batch),
            together=self._together(database) if together is None else together,
        )

    def planned_shards(self, database: Orchestrator) -> list[Step]:
        """The steps that a start would run, without secrets."""
        backend = self._registry.database(database.backend)
        if self.on_nodes(database):
            from smartcore.database.nodes import planned_on_nodes

            return planned_on_nodes(database, backend, self.ground(database), os.environ)
        from smartcore.database.plan import planned_shards

        return planned_shards(database, backend)

    # -- life -----------------------------------------------------------------------------------

    def check(self, database: Orchestrator) -> None:
        """Refuse hosts that cannot be had, and settings that the server does not know.

        :raises InputError: naming the host or the setting
        :raises DatabaseError: no server program was found
        """
        from smartcore.database.plan import server_options

        if self.on_nodes(database):
            self.ground(database)
        elif database.run_args:
            names, name = ", ".join(database.run_args), database.name
            log.warning("run arguments of %r without a run command have no effect: %s", name, names)
        backend = self._registry.database(database.backend)
        backend.check(backend.find(os.environ), server_options(database, backend))

    def start(self, database: Orchestrator) -> None:
        """Start it, and return when it serves.

        :raises DatabaseError: it does not come to serve; nothing of it is left
        """
        from smartcore.database import start_database

        ground = self.ground(database) if self.on_nodes(database) else None
        if ground is not None:
            self._warn_if_alone(database)
        ensure_directory(Path(database.path))
        start_database(
            database,
            ShardRunner(self._book, database, self._builder, ground),
            self._registry.database(database.backend),
            environment=os.environ,
            allow_unauthenticated=self._config.flag("database.allow_unauthenticated"),
            ground=ground,
            timeout=timedelta(seconds=self._config.number("database.start_timeout")),
        )
        self.followed.discard(database.db_identifier)
        self.take(database)

    def _warn_if_alone(self, database: Orchestrator) -> None:
        from smartcore.database.nodes import interfaces
        from smartcore.database.ports import LOOPBACK_INTERFACE

        others = database.batch or len(self._book.engine.nodes(str(database.alloc or ""))) > 1
        # Clients use the first.
        if others and interfaces(database)[:1] == [LOOPBACK_INTERFACE]:
            log.warning(
                "the database %r listens at the loopback interface of its node, where programs on"
                " other nodes do not reach it; leave interface=%r out, or name the network between"
                " the nodes",
                database.db_identifier,
                LOOPBACK_INTERFACE,
            )

    def follow(
        self, database: Orchestrator, jobs: Mapping[str, str], keep: Callable[[Sequence[Run]], None]
    ) -> None:
        """Take up a database that another process started.

        :param jobs: the launcher's id of each of its steps, by name
        :param keep: told of the shards' runs
        :raises DatabaseError: one of them has ended
        """
        if database.db_identifier in self and database.db_identifier not in self.followed:
            raise DatabaseIdConflictError(
                f"this experiment has the running database {database.db_identifier!r} already; use"
                " it, or reconnect from an experiment of its own"
            )
        live = database.live
        steps = live.steps if live is not None else ()
        runs = [
            Run(step, SHARD, limited=False, job=JobId(jobs[step.name]))
            for step in steps
            if step.name in jobs and not self._follows(step)
        ]
        self._book.engine.attach(runs)
        keep(runs)
        ended = [run.name for run in runs if not run.active]
        if ended:
            raise DatabaseError(
                f"the database {database.db_identifier!r} is not running any more:"
                f" {', '.join(ended)} ended; start it anew"
            )
        self.take(database)
        self.followed.add(database.db_identifier)

    def _follows(self, step: Step) -> bool:
        run = self._book.runs.get(step.name)
        return run is not None and run.active and run.step.tag == step.tag

    def adopt(self, identifier: str, checkpoint: str) -> None:
        """Take up what an earlier driver of this experiment started; its runs are known already."""
        from smartcore.database import reconnect

        try:
            database, _ = reconnect(checkpoint, self._registry)
        except SmartcoreError as error:
            log.warning("the database %r cannot be used: %s", identifier, error)
        else:
            self.take(database)

    def take(self, database: Orchestrator) -> None:
        """Note that it serves."""
        self.started[database.db_identifier] = database
        identifier = database.db_identifier
        self._running[identifier] = database
        names = self.step_names(database)
        self._identifiers |= dict.fromkeys(names, identifier)
        if database.live is not None and database.live.nodes:
            database.believe(lambda: all(self._book.runs[name].active for name in names))
            self._watch(database.live, names)
        if identifier in self._samplers:  # it ended with all shards, and some are new
            self._samplers.pop(identifier).stop()
        database.telemetry.on_change = partial(self._sample, database)
        self._sample(database)

    def _watch(self, live: LiveDatabase, names: Sequence[str]) -> None:
        from smartcore.database.deathwatch import DeathWatch

        if live.identifier in self._watches:  # some of its shards are new
            self._watches.pop(live.identifier).stop()
        watch = DeathWatch(
            f"{live.identifier} deaths",
            live.shards[0].directory,
            {step.tag for step in live.steps},
            lambda: any(self._book.runs[name].active for name in names),
            self._died,
        )
        self._watches[live.identifier] = watch
        watch.start()

    def _died(self, _file: str, death: Death) -> None:
        for run in list(self._book.runs.values()):
            if run.step.tag == death["tag"]:
                self.on_death(run, death)

    # -- numbers --------------------------------------------------------------------------------

    def rows(self) -> list[DatabaseRow]:
        """What each shard does; of a database that has ended, its steps with nothing."""
        from smartcore.database.figures import Figures, between
        from smartcore.summary import DatabaseRow

        rows = []
        running: set[str] = set()
        for live in self.live:
            running |= {step.name for step in live.steps}
            answers = self._running[live.identifier].statistics()
            told = {one.name: one for one in between(answers)}
            for shard in live.shards:
                run = self._book.runs[live.step_of(shard.index).name]
                one = told[shard.name] if run.active and shard.name in told else Figures(shard.name)
                rows.append(DatabaseRow(live.identifier, run.status.state.value, one))
        for run in self._book.runs.values():
            if run.kind == SHARD and run.name not in running and not run.replaced:
                identifier = self._identifiers.get(run.name, run.name.rpartition("_")[0])
                rows.append(DatabaseRow(identifier, run.status.state.value, Figures(run.name)))
        return rows

    def _sample(self, database: Orchestrator) -> None:
        # Samples are taken of what runs and is switched on.
        identifier = database.db_identifier
        wanted = database.telemetry.is_enabled and self._running.get(identifier) is database
        if not wanted and identifier in self._samplers:
            self._samplers.pop(identifier).stop()
        elif wanted and identifier not in self._samplers:
            from smartcore.database.sampler import Sampler

            names = self.step_names(database)
            interval = self._config.number("database.telemetry_interval")
            self._samplers[identifier] = Sampler(
                self._path,
                identifier,
                database.statistics,
                lambda: any(self._book.runs[name].active for name in names),
                interval,
            )
            self._samplers[identifier].start()

    def close(self) -> None:
        """Take no more samples, and look after nothing; what runs goes on."""
        while self._watches:
            self._watches.popitem()[1].stop()
        while self._samplers:
            self._samplers.popitem()[1].stop()
