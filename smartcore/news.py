"""What is told of starts and ends: to the journal, the log, telemetry, plugins and users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from smartcore.database.besides import Besides
from smartcore.databases import Databases
from smartcore.error import ConfigError
from smartcore.launch import report
from smartcore.launch.farewell import some
from smartcore.launch.journal import Journal, read_stops, stopped_by_shell
from smartcore.launch.listeners import EndListener, Listeners
from smartcore.launch.run import SHARD, Run
from smartcore.launch.story import heed, is_unexplained
from smartcore.log import get_logger
from smartcore.registry import Registry
from smartcore.restarts import Restarts
from smartcore.spec import Cause, State, Tag
from smartcore.telemetry import TelemetryWriter

log = get_logger(__name__)


class News:
    """Tells of the runs of one experiment, from the engine's thread.

    :param name: the experiment's name
    :param path: its directory
    :param journal: gives its journal, opened when first needed
    """

    def __init__(
        self,
        name: str,
        path: Path,
        registry: Registry,
        databases: Databases,
        restarts: Restarts,
        besides: Besides,
        journal: Callable[[], Journal],
    ) -> None:
        self._name, self._path, self._registry = name, path, registry
        self._databases, self._restarts, self._journal = databases, restarts, journal
        self._besides = besides
        self._listeners = Listeners()
        self.telemetry = TelemetryWriter(path)
        self._stopped: set[Tag] = set()

    def handed(self, runs: Sequence[Run]) -> None:
        """The launcher is about to be given these together."""
        self._journal().handed(runs)

    def began(self, runs: Sequence[Run]) -> None:
        """These were started together."""
        self._journal().started(runs)
        for run in runs:
            self.telemetry.started(run)

    def ended(self, run: Run) -> None:
        """This has ended."""
        self.heed(run)
        self._journal().ended(run)
        if run.status.state is State.CANCELLED and not run.stopping:
            self._tell_who_stopped(run)
        if run.kind == SHARD:
            self._shard_ended(run)
        else:
            self._besides.ended(run)
            if run.failed:
                log.error("%s", self.failure(run))
        if run.successor is not None:
            log.info("running %s again; this was attempt %d", run.name, run.run_id + 1)
        self.telemetry.ended(run)
        self._registry.emit(
            "smartcore_after_end", experiment=self._name, name=run.name, status=run.status
        )
        self._listeners.tell(run)

    def _tell_who_stopped(self, run: Run) -> None:
        # Once for all that they stop: who waits for these would else see no reason.
        if run.step.tag in self._stopped:
            return
        try:
            stops = [stop for stop in read_stops(self._path) if run.step.tag in stop.tags]
        except ConfigError as error:
            log.warning("%s", error)
            return
        for stop in stops[-1:]:
            self._stopped |= stop.tags
            log.warning("a shell (%s) stops %s", stop.by, some(stop.names or [run.name]))

    def failure(self, run: Run) -> str:
        """What is told of a model that failed."""
        return report.failure(run, databases=self._registry.databases_in_use())

    def _shard_ended(self, run: Run) -> None:
        # One that ends before its database serves is told of by the start's own error. One that
        # ends with code 0, or was cancelled, was told to, but not from here: by somebody else.
        wanted = run.status.cause is Cause.STOPPED or stopped_by_shell(self._path, run)
        if run.name not in self._databases.shards:
            return
        if run.failed or not wanted:
            self._restarts.tell_end(run)
        elif not run.stopping and (told := self._restarts.told_elsewhere(run)):
            log.warning("%s", told)

    def heed(self, run: Run) -> None:
        """Explain an end by who asked for it, if that is known."""
        if not is_unexplained(run):
            return
        # Of a server that ends as it is told to, a scheduler need not know that it was told.
        told = run.kind == SHARD and (run.stopping or self._restarts.told_elsewhere(run))
        if told or stopped_by_shell(self._path, run):
            heed(run, {run.step.tag})

    def on_end(self, listener: EndListener) -> None:
        """Call ``listener`` for each end from now on, from a thread of its own."""
        self._listeners.add(listener)

    def hear_out(self) -> None:
        """Return when users' functions were called for all ends so far."""
        self._listeners.close()
