"""Looking at an experiment, and stopping what it runs, from a process that does not drive it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shlex import quote
from typing import Self

from smartcore.config import Config
from smartcore.config.runtime import runtime_directory
from smartcore.database.live import is_step_of
from smartcore.error import InputError, LauncherError
from smartcore.launch import journal
from smartcore.launch.finding import (
    find_unheard,
    is_elsewhere,
    is_over,
    left_no_record,
    settle_elsewhere,
)
from smartcore.launch.keeping import KeeperProcesses
from smartcore.launch.run import SHARD, Run
from smartcore.launch.story import Driver, heed, standing, unheard
from smartcore.log import get_logger
from smartcore.registry import Registry
from smartcore.spec import (
    Absent,
    Closes,
    CommandLineScheduler,
    JobId,
    Launcher,
    LauncherContext,
    NativeIds,
    Status,
)

log = get_logger(__name__)

# Launchers that ask a scheduler do so now and then, and answer what they heard last.
STALE = timedelta(minutes=3)


class Observer:
    """Reads the journals of an experiment, and asks its launcher about what has not ended.

    Close it, or use it in a ``with`` statement, when it has connected to something.

    :param path: the experiment's directory
    :raises PathNotFoundError: nothing was started there
    :raises ConfigError: its journal cannot be read
    """

    def __init__(self, path: Path, registry: Registry, config: Config) -> None:
        self.path = path.expanduser().absolute()
        self._registry = registry
        self._config = config
        self.story = journal.read(self.path)
        self._launcher: Launcher | None = None
        self._processes: KeeperProcesses | None = None
        self._told: dict[JobId, Status] = {}
        self._confirmed: set[JobId] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the launcher; what runs goes on."""
        launcher, self._launcher = self._launcher, None
        if isinstance(launcher, Closes):
            launcher.close()
        if self._processes is not None:
            self._processes.close()

    @property
    def driver(self) -> Driver | None:
        """The process that drives it now, if any."""
        return next((driver for driver in self.story.drivers if driver.living), None)

    def refresh(self) -> list[Run]:
        """Read the journals again, and ask about what has not ended; the newest run of each name,
        and any older one that goes on.

        A question that fails changes nothing: the last states stay, with their time, and are stale.
        """
        self.story = journal.read(self.path)
        self._confirmed.clear()
        runs = standing(self.story.runs)
        left = [run for run in runs if self._nobody_follows(run)]
        self._find([run for run in left if run.active and run.job is None])
        waiting = [run for run in runs if run.active and run.job is not None]
        for run in waiting:  # an earlier answer is newer than the journal
            run.status = self._told.get(JobId(run.job or ""), run.status)
        # A living driver knows more of their ends.
        self._settle([r for r in waiting if self.is_elsewhere(r) and self._nobody_follows(r)])
        waiting = [run for run in waiting if run.active and not self.is_elsewhere(run)]
        if waiting:
            self._ask(waiting)
        for run in left:
            if run.active and run.job is None:
                run.status = unheard(run, self.story.handed)
        for run in runs:
            heed(run, self.story.stopped)
        return standing(runs)

    def is_elsewhere(self, run: Run) -> bool:
        """True for a process of another host, of which nothing can be known here."""
        return is_elsewhere(run, self.story.hosts)

    def is_stale(self, run: Run) -> bool:
        """True if the run may have ended since its status was seen: nobody confirmed it at the last
        :meth:`refresh`, or with an answer that was old.
        """
        if not run.active or run.job is None:
            return False
        return run.job not in self._confirmed or _age(run) > STALE

    def native_ids(self, runs: Sequence[Run]) -> dict[JobId, str]:
        """What the workload manager's own commands call these; the ids where that is not known."""
        ids = [run.job for run in runs if run.job is not None]
        found: Mapping[JobId, str] = {}
        if ids and isinstance(self.launcher, NativeIds):
            try:
                found = self.launcher.native_ids(ids)
            except LauncherError as error:
                log.warning("%s", error)
        return {job: found.get(job, job) for job in ids}

    def _find(self, runs: Sequence[Run]) -> None:
        # Their driver was killed while it launched them.
        if not runs:
            return
        try:
            find_unheard(runs, self.launcher, self._processes, self.story.handed)
        except LauncherError as error:
            log.warning("what was being launched cannot be found: %s", error)

    def _settle(self, runs: Sequence[Run]) -> None:
        if not runs:
            return
        try:
            settle_elsewhere(runs, self.launcher)
        except LauncherError as error:
            log.warning("whether the allocations of other hosts have ended is not known: %s", error)

    def _ask(self, runs: Sequence[Run]) -> None:
        try:
            answers = self.launcher.status([run.job for run in runs if run.job is not None])
        except LauncherError as error:
            log.warning("the launcher did not answer, these states are old: %s", error)
            return
        for run in runs:
            answer = answers.get(JobId(run.job or ""))
            if isinstance(answer, Status):
                run.status = answer
                self._told[JobId(run.job or "")] = answer
                self._confirmed.add(JobId(run.job or ""))
            elif isinstance(answer, Absent) and self._nobody_follows(run) and is_over(run):
                run.status = left_no_record()

    def _nobody_follows(self, run: Run) -> bool:
        return run.step.tag not in self.story.driven

    @property
    def launcher(self) -> Launcher:
        """The experiment's launcher, made when first needed."""
        if self._launcher is None:
            grace = timedelta(seconds=self._config.number("stop_grace"))
            runtime = runtime_directory(self._config)
            self._processes = KeeperProcesses(self.path, runtime, grace)
            context = LauncherContext(
                self.story.name, self.path, self._processes, dict(os.environ), self._batch
            )
            self._launcher = self._registry.make_launcher(self.story.launcher, context)
        return self._launcher

    def _batch(self, scheduler: CommandLineScheduler, /) -> Launcher:
        from smartcore.launch.batch import Place, batch_service, configured

        place = Place(self.path, runtime_directory(self._config))
        return batch_service(place, configured(self._config.number))(scheduler)

    def stop(self, names: Collection[str] = ()) -> list[Run]:
        """End runs by name, or all of them; models first, then databases.

        :param names: of runs, or identifiers of databases
        :returns: what was running
        :raises InputError: a name that the experiment does not know
        :raises LauncherError: naming what survived, or runs on another host
        """
        runs = self.refresh()
        named = {run.name for run in runs}
        names = {own for name in names for own in self._shards_of(name, runs) or {name}}
        unknown = names - named
        if unknown:
            known = ", ".join(dict.fromkeys(run.name for run in runs))
            raise InputError(f"no {', '.join(sorted(unknown))} in {self.path}; there are: {known}")
        chosen = [run for run in runs if run.active and (not names or run.name in names)]
        elsewhere = [run for run in chosen if self.is_elsewhere(run)]
        chosen = [run for run in chosen if run not in elsewhere]
        journal.note_stopped(self.path, [run for run in chosen if run.job is not None])
        for databases in (False, True):
            ids = [
                run.job
                for run in chosen
                if run.job is not None and (run.kind == SHARD) is databases
            ]
            if ids:
                self.launcher.stop(ids)
        if elsewhere:
            hosts = {self.story.hosts[run.step.tag] for run in elsewhere}
            raise LauncherError(
                f"{', '.join(run.name for run in elsewhere)} can only be stopped on"
                f" {', '.join(sorted(hosts))}; run there: smartcore stop {quote(str(self.path))}"
            )
        return chosen

    def _shards_of(self, identifier: str, runs: Sequence[Run]) -> set[str]:
        if identifier not in self.story.databases:
            return set()
        shards = {run.name for run in runs if run.kind == SHARD}
        return {name for name in shards if is_step_of(identifier, name)}


def _age(run: Run) -> timedelta:
    return datetime.now(UTC) - run.status.seen
