"""Looking at an experiment, and stopping what it runs, from a process that does not drive it."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path

from smartcore.config import Config, runtime_directory
from smartcore.error import InputError, LauncherError
from smartcore.launch import journal
from smartcore.launch.keeping import KeeperProcesses
from smartcore.launch.run import Run
from smartcore.log import get_logger
from smartcore.registry import Registry
from smartcore.spec import Absent, Cause, JobId, Launcher, LauncherContext, State, Status

log = get_logger(__name__)


class Observer:
    """Reads the journals of an experiment, and asks its launcher about what has not ended.

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

    @property
    def driver(self) -> journal.Driver | None:
        """The process that drives it now, if any."""
        return next((driver for driver in self.story.drivers if driver.living), None)

    def refresh(self) -> list[Run]:
        """Read the journals again, and ask about what has not ended; the newest run of each name.

        A question that fails changes nothing: the last states stay, with their time.
        """
        self.story = journal.read(self.path)
        runs = list({run.name: run for run in self.story.runs}.values())
        waiting = [run for run in runs if run.active and run.job is not None]
        if waiting:
            self._ask(waiting)
        if self.driver is None:
            for run in runs:
                if run.active and run.job is None:
                    run.status = journal.unseen(run)
        return runs

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
            elif isinstance(answer, Absent) and self.driver is None:
                reason = "ended while nobody watched, and left no record"
                run.status = Status(State.LOST, None, Cause.UNSEEN, reason)

    @property
    def launcher(self) -> Launcher:
        """The experiment's launcher, made when first needed."""
        if self._launcher is None:
            grace = timedelta(seconds=self._config.number("stop_grace"))
            processes = KeeperProcesses(self.path, runtime_directory(self._config), grace)
            context = LauncherContext(self.story.name, self.path, processes, dict(os.environ))
            self._launcher = self._registry.make_launcher(self.story.launcher, context)
        return self._launcher

    def stop(self, names: Collection[str] = ()) -> list[Run]:
        """End runs by name, or all of them; models first, then databases.

        :returns: what was running
        :raises InputError: a name that the experiment does not know
        :raises LauncherError: naming what survived
        """
        runs = self.refresh()
        unknown = set(names) - {run.name for run in runs}
        if unknown:
            known = ", ".join(run.name for run in runs)
            raise InputError(f"no {', '.join(sorted(unknown))} in {self.path}; there are: {known}")
        chosen = [run for run in runs if run.active and (not names or run.name in names)]
        for databases in (False, True):
            ids = [
                run.job
                for run in chosen
                if run.job is not None and (run.kind == SHARD) is databases
            ]
            if ids:
                self.launcher.stop(ids)
        return chosen


SHARD = "DBNode"
