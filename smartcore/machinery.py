"""What an experiment launches with: its launcher, the engine that drives it, and the keeper."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from pathlib import Path

from smartcore.config import Config
from smartcore.config.runtime import runtime_directory
from smartcore.launch.engine import Engine
from smartcore.launch.finding import find_unheard, inquire
from smartcore.launch.keeping import KeeperProcesses
from smartcore.launch.run import Run
from smartcore.launch.story import Story
from smartcore.registry import Registry
from smartcore.spec import Closes, CommandLineScheduler, Launcher, LauncherContext, Tag


class Machinery:
    """Launcher, engine and keeper of one experiment, made when they are first needed.

    :param name: the experiment's name
    :param path: its directory
    :param launcher: the launcher's resolved name
    :param make_engine: makes the engine for a launcher
    """

    def __init__(
        self,
        name: str,
        path: Path,
        launcher: str,
        registry: Registry,
        config: Config,
        make_engine: Callable[[Launcher], Engine],
    ) -> None:
        self._name, self._path, self._launcher = name, path, launcher
        self._registry, self._config, self._make_engine = registry, config, make_engine
        self._engine: Engine | None = None
        self._processes: KeeperProcesses | None = None

    @property
    def engine(self) -> Engine:
        """The engine, made when first needed."""
        if self._engine is None:
            self._processes = self._keeper()
            self._engine = self._make_engine(self._make_launcher(self._launcher, self._processes))
        return self._engine

    @property
    def grace(self) -> timedelta:
        """How long what is asked to end has before it is killed."""
        return timedelta(seconds=self._config.number("stop_grace"))

    def _keeper(self) -> KeeperProcesses:
        return KeeperProcesses(self._path, runtime_directory(self._config), self.grace)

    def _make_launcher(self, name: str, processes: KeeperProcesses) -> Launcher:
        context = LauncherContext(
            self._name, self._path, processes, dict(os.environ), self._batch_service
        )
        return self._registry.make_launcher(name, context)

    def _batch_service(self, scheduler: CommandLineScheduler, /) -> Launcher:
        from smartcore.launch.batch import Place, batch_service, configured

        place = Place(self._path, runtime_directory(self._config))
        return batch_service(place, configured(self._config.number))(scheduler)

    def warm_up(self) -> None:
        """Begin to start all of it, so that what needs it need not wait."""
        self.engine.start()
        if self._processes is not None:
            self._processes.warm_up()

    # -- what earlier drivers launched ----------------------------------------------------------

    def inquire(self, runs: Sequence[Run], story: Story) -> None:
        """Learn how these stand now.

        :param story: what the drivers that launched them wrote
        :raises LauncherError: it cannot be found out
        """
        if story.launcher in {"", self._launcher}:
            inquire(runs, self.engine.launcher, self._processes, story)
            return
        # Its own service, since a launcher closes what it was given.
        processes = self._keeper()
        launcher = self._make_launcher(story.launcher, processes)
        try:
            inquire(runs, launcher, processes, story)
        finally:
            if isinstance(launcher, Closes):
                launcher.close()
            processes.close()

    def find_unheard(self, runs: Sequence[Run], handed: Collection[Tag]) -> list[Run]:
        """Give runs whose ids no driver heard of their ids; see :func:`finding.find_unheard`."""
        launcher = self.engine.launcher
        return find_unheard(runs, launcher, self._processes, handed)

    # -- ends -----------------------------------------------------------------------------------

    def announce(self, runs: Sequence[Run]) -> bool:
        """Say that these will be asked to end by other means than a signal; False if nobody here
        can be told.
        """
        if self._processes is None:
            return False
        self._processes.announce([run.job for run in runs if run.job is not None])
        return True

    def insist(self, runs: Sequence[Run]) -> None:
        """Kill at once what is being stopped, until :meth:`relent`."""
        if self._processes is not None:
            self._processes.insist([run.job for run in runs if run.job and run.active])

    def relent(self) -> None:
        """Let what is stopped have its time again."""
        if self._processes is not None:
            self._processes.relent()

    def close(self) -> None:
        """Give threads back; what runs goes on."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
