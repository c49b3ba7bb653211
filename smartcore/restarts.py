"""Databases whose shards have ended: what is told of them, and how they are brought back."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from smartcore.config import Config
from smartcore.database import LiveDatabase, Orchestrator
from smartcore.database.orchestrator import CHECKPOINT_FILE
from smartcore.databases import Databases
from smartcore.error import DatabaseError, PathNotFoundError, UnsupportedError
from smartcore.launch import report
from smartcore.launch.journal import stopped_by_shell
from smartcore.launch.process import verdict
from smartcore.launch.run import Run
from smartcore.launch.step import StepBuilder
from smartcore.log import get_logger
from smartcore.registry import Registry
from smartcore.shards import Book, ShardRunner
from smartcore.spec import DatabaseBackend, Saved, ShardPlan, Source, State, Status

# Imported where they are used: `from smartcore import Experiment` stays quick.
if TYPE_CHECKING:
    from datetime import datetime

    from smartcore.launch.death import Death

log = get_logger(__name__)

# Who does not answer in that time is not waited for.
QUICKLY = timedelta(seconds=1)
# How long it may take to write its data: many gigabytes, to a slow disk.
SAVING = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Unsaved:
    """A shard with data that are not on disk yet.

    :param saved: what is
    """

    backend: DatabaseBackend
    shard: ShardPlan
    saved: Saved | None


def _take_up(live: LiveDatabase) -> str:
    file = str(live.auth_file.with_name(CHECKPOINT_FILE))
    return f"when it serves again, reconnect_orchestrator({file!r}) takes it up"


class Restarts:
    """Brings back databases of one experiment.

    :param path: its directory
    """

    def __init__(
        self,
        path: Path,
        databases: Databases,
        book: Book,
        registry: Registry,
        config: Config,
        builder: StepBuilder,
    ) -> None:
        self._path, self._databases, self._book = path, databases, book
        self._registry, self._config, self._builder = registry, config, builder
        self._told: set[tuple[str, str]] = set()
        databases.on_death = self._foretell

    def told_elsewhere(self, run: Run) -> str:
        """What is told of shards of another experiment's database that say that they wrote all
        their data and ended, as they do when they are told to; empty if that is not so.

        :param run: their step
        """
        from smartcore.database.kept import kept_all

        for live in self._databases.live:
            shards = [shard for shard in live.shards if live.step_of(shard.index).name == run.name]
            if shards and live.identifier in self._databases.followed:
                backend = self._registry.database(live.backend)
                if all(kept_all(backend, shard) for shard in shards):
                    return (
                        f"{run.name} was told to end, not from here: the experiment that started it"
                        f" ends or restarts it, and all its data are kept; {_take_up(live)}"
                    )
        return ""

    def tell_end(self, run: Run) -> None:
        """Log that shards ended by themselves; of several that one command started, only what was
        not told before.

        :param run: their step
        """
        from smartcore.launch.death import read_death, told_deaths

        directory = str(run.step.cwd)
        files = sorted(told_deaths(directory, {run.step.tag}))
        told = [read_death(directory, file) for file in files]
        deaths = [
            death
            for death in told
            if death is not None and death["name"] != run.name and self._is_news(run, death)
        ]
        if any(_key(death) in self._told for death in deaths):
            for death in deaths:
                self._tell_part(run, death)
            return
        what = report.failure(run, output=True)
        # It may say only that some task was killed.
        for death in deaths:
            if _named(death) not in what:
                what += f"\n    {_shown(death)}"
        log.error("%s", self._obituary(run, run.status, what))

    def _foretell(self, run: Run, death: Death) -> None:
        self._book.engine.forestall(run, partial(self._end_foretold, run, death))

    def _end_foretold(self, run: Run, death: Death) -> Status | None:
        if death["name"] == run.name:
            return _status(death) if death["returncode"] else None
        # One of several that one command started: their step ends when the command does.
        if run.name in self._databases.shards and self._is_news(run, death):
            self._tell_part(run, death)
        return None

    def _is_news(self, run: Run, death: Death) -> bool:
        # Servers that are told to end do so with code 0, before their launcher tells.
        if death["returncode"]:
            return True
        own = [live for live in self._databases.live if run.step in live.steps]
        followed = any(live.identifier in self._databases.followed for live in own)
        return not (followed or stopped_by_shell(self._path, run))

    def _tell_part(self, run: Run, death: Death) -> None:
        if _key(death) not in self._told:
            self._told.add(_key(death))
            log.error("%s", self._obituary(run, _status(death), _shown(death)))

    def _obituary(self, run: Run, status: Status, what: str) -> str:
        # What ended and why, what it said last, what becomes of its data, and the next step.
        from smartcore.database.kept import kept_all, loss

        told = [what]
        if perhaps_out_of_memory(status):
            told.append("if nobody killed it, its host ran out of memory: set_max_memory(...)")
        for live in self._databases.live:
            shards = [shard for shard in live.shards if live.step_of(shard.index).name == run.name]
            backend = self._registry.database(live.backend)
            for shard in shards:
                saved, whole = backend.saved(shard), kept_all(backend, shard)
                told.append(f"{shard.name}: {loss(saved, status.seen, whole=whole)}")
            if shards and live.placing.batch:
                told.append(f"it is a batch job: stop {live.identifier!r} and start it again")
            elif shards and live.identifier in self._databases.followed:
                told.append(
                    f"the experiment that started it can bring it back: restart(); {_take_up(live)}"
                )
            elif shards:
                told.append(f"Experiment.restart({live.identifier!r}) brings it back")
        return "\n    ".join(told)

    def unsaved(self, runs: Sequence[Run]) -> list[Unsaved]:
        """What shards that are to end have to write before, of those that write checkpoints.

        :param runs: their steps
        """
        names = {run.name for run in runs}
        found: list[Unsaved] = []
        for database in self._databases:
            live = database.live
            if live is None:
                continue
            backend = self._registry.database(live.backend)
            shards = [shard for shard in live.shards if live.step_of(shard.index).name in names]
            kept = [backend.saved(shard) for shard in shards]
            if "save" not in database.options and not any(kept):
                continue
            answers = backend.statistics(shards, QUICKLY)
            found += [
                Unsaved(backend, shard, before)
                for shard, before, one in zip(shards, kept, answers, strict=True)
                # Those that append to a directory have written everything already.
                if one.saves and one.unsaved and not (one.data and one.data.is_dir())
            ]
        return found

    def tell_unsaved(self, before: Sequence[Unsaved]) -> None:
        """Warn of shards that have ended without writing what they had to write."""
        from smartcore.database.kept import loss
        from smartcore.spec.state import now

        for one in before:
            saved = one.backend.saved(one.shard)
            if saved == one.saved:
                log.warning(
                    "%s has ended and could not write its checkpoint, see the end of %s: %s",
                    one.shard.name,
                    one.shard.directory / f"{one.shard.name}.out",
                    loss(saved, now()),
                )

    def restart(self, database: Orchestrator) -> None:
        """Bring back what of it has ended, or does not answer. If nothing has, let it save all its
        data and end, and start it again.

        :raises DatabaseError: it never ran, is another experiment's, or does not come to serve
        :raises UnsupportedError: it is a batch job
        """
        live = self._last(database)
        backend = self._registry.database(live.backend)
        self._databases.restarting = {live.step_of(shard.index).name for shard in live.shards}
        try:
            self._restart(database, live, backend)
        finally:
            self._databases.restarting = set()

    def _restart(
        self, database: Orchestrator, live: LiveDatabase, backend: DatabaseBackend
    ) -> None:
        from smartcore.database.restart import restart_shards, tell_restarted

        ended, problem = self._end_what_must(live, backend)
        back = [shard for shard in live.shards if shard.name in ended]
        self._databases.restarting = {live.step_of(shard.index).name for shard in back}
        kept = {shard.name: backend.saved(shard) for shard in live.shards}
        replaced = {name: run for name in ended if (run := self._run_of(live, name)) is not None}
        ground = self._databases.ground(database, together=False) if live.nodes else None
        runner = ShardRunner(
            self._book, database, self._builder, ground, list(dict.fromkeys(replaced.values()))
        )
        made = restart_shards(
            live,
            list(ended),
            runner,
            backend,
            Path(database.checkpoint_file),
            needs={name: run.step.resources for name, run in replaced.items()},
            ground=ground,
            timeout=timedelta(seconds=self._config.number("database.start_timeout")),
        )
        database.bind(made, backend)
        self._databases.take(database)
        tell_restarted(made, backend, ended, kept)
        if problem is not None:
            raise problem

    def _run_of(self, live: LiveDatabase, name: str) -> Run | None:
        (shard,) = [shard for shard in live.shards if shard.name == name]
        return self._book.newest(live.step_of(shard.index).name)

    def _last(self, database: Orchestrator) -> LiveDatabase:
        from smartcore.database.checkpoint import read_checkpoint

        identifier = database.db_identifier
        if identifier in self._databases.followed:
            raise DatabaseError(
                f"the database {identifier!r} belongs to the experiment that started it, and is"
                f" restarted from there: Experiment.attach(path).restart({identifier!r})"
            )
        known = database.live
        if identifier in self._databases:
            known = self._databases[identifier].live
        try:
            live = known or read_checkpoint(Path(database.checkpoint_file))
        except PathNotFoundError:
            raise DatabaseError(
                f"the database {identifier!r} was never started; start it"
            ) from None
        if (live.identifier, len(live.shards)) != (identifier, database.num_shards):
            raise DatabaseError(
                f"{database.checkpoint_file} tells of {live.identifier!r} with"
                f" {len(live.shards)} shards, and {identifier!r} is described with"
                f" {database.num_shards}; start it anew"
            )
        if database.batch:
            raise UnsupportedError(
                f"the database {identifier!r} runs as a batch job, which gives its nodes back when"
                " it ends; stop it and start it again, it reads the checkpoints that it has"
            )
        return live

    def _end_what_must(
        self, live: LiveDatabase, backend: DatabaseBackend
    ) -> tuple[dict[str, datetime | None], DatabaseError | None]:
        """What is to be started again, each with the time of its end, or None if it saved all
        first; and what kept others from that.
        """
        from smartcore.database.kept import kept_all
        from smartcore.spec.state import now

        runs = {shard.name: self._run_of(live, shard.name) for shard in live.shards}
        going = {name: run for name, run in runs.items() if run is not None and run.active}
        shards = [shard for shard in live.shards if shard.name in going]
        # One that saves, or runs a long command, is silent for a while, and not to be ended.
        patience = timedelta(seconds=self._config.number("database.answer_timeout"))
        answers = backend.statistics(shards, patience) if shards else ()
        mute = [one.name for one in answers if not one.answered]
        if live.nodes and len(mute) == len(going):
            mute = []  # this host may not reach theirs
        if not mute and len(going) == len(runs):
            return self._save_and_end(live, going, backend)
        if mute:
            log.warning("%s: no answer; ending what is left of it", ", ".join(mute))
            self._book.engine.stop(list(dict.fromkeys(going[name] for name in mute)))
        ended = {name: run for name, run in runs.items() if run is None or not run.active}
        whole = {shard.name for shard in live.shards if kept_all(backend, shard)}
        return {
            name: None if name in whole else now() if run is None else run.status.seen
            for name, run in ended.items()
        }, None

    def _save_and_end(
        self, live: LiveDatabase, going: Mapping[str, Run], backend: DatabaseBackend
    ) -> tuple[dict[str, datetime | None], DatabaseError | None]:
        ended: dict[str, datetime | None] = {}
        problem = None
        for shard in live.shards:
            try:
                backend.shutdown([shard], SAVING)
            except DatabaseError as error:
                if not ended:
                    raise
                problem = error
                break
            ended[shard.name] = None
        self._book.engine.wait(list(dict.fromkeys(going[name] for name in ended)), SAVING)
        return ended, problem


def _key(death: Death) -> tuple[str, str]:
    return death["tag"], death["name"]


def _status(death: Death) -> Status:
    ended = verdict(death["returncode"], stopping=False, host=death["node"])
    return replace(ended, source=Source.RECORD)


def _named(death: Death) -> str:
    from smartcore.launch.child import describe

    return f"{death['name']} on {death['node']} {describe(death['returncode'])}"


def _shown(death: Death) -> str:
    return _named(death) + report.ending(Path(death["output"]))


def perhaps_out_of_memory(status: Status) -> bool:
    """True of a death by SIGKILL that nobody is known to have asked for."""
    killed = status.returncode in {-signal.SIGKILL, 128 + signal.SIGKILL}
    return killed and status.state is not State.CANCELLED
