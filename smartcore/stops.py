"""How what an experiment runs is ended: by its driver, by Ctrl-C, or since a start went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from smartcore.databases import Databases
from smartcore.error import WaitTimeoutError
from smartcore.launch.farewell import some
from smartcore.launch.interrupts import Interrupts
from smartcore.launch.run import MODEL, SHARD, Run
from smartcore.log import get_logger
from smartcore.machinery import Machinery
from smartcore.restarts import Restarts
from smartcore.roster import Roster

log = get_logger(__name__)


class Stops:
    """Ends runs of one experiment."""

    def __init__(
        self, machinery: Machinery, roster: Roster, databases: Databases, restarts: Restarts
    ) -> None:
        self._machinery, self._roster = machinery, roster
        self._databases, self._restarts = databases, restarts
        # What is being ended, and what blocking calls wait for.
        self._ending: Sequence[Run] = ()
        self._awaited: list[Sequence[Run]] = []

    def stop(self, runs: Sequence[Run]) -> None:
        """End models first, then databases; what has ended already is left as it is."""
        self._stop([run for run in runs if run.kind == MODEL])
        shards = [run for run in runs if run.kind == SHARD and run.remains]
        unsaved = self._restarts.unsaved(shards) if shards else ()
        self._end_shards(shards)
        self._stop(shards)
        self._restarts.tell_unsaved(unsaved)
        self._databases.forget_ended(self._roster.runs)

    def _stop(self, runs: Sequence[Run]) -> None:
        active = [run for run in runs if run.remains]
        if active:
            self._machinery.engine.stop(active)

    def _end_shards(self, shards: Sequence[Run]) -> None:
        # Quicker than a signal. Who does not obey gets the signal, too.
        if not shards or not self._machinery.announce(shards):
            return
        for run in shards:
            run.stopping = True  # an end that is seen meanwhile was asked for here
        grace = self._machinery.grace
        if self._databases.end([run.name for run in shards], grace):
            with suppress(WaitTimeoutError):
                self._machinery.engine.wait(shards, grace)

    def stop_all(self) -> None:
        """End all models, then all databases; Ctrl-C meanwhile kills what does not end."""
        with self.interrupts() as interrupts:
            interrupts.stopping()
            active = [run for run in self._roster.history if run.remains]
            with self._ends(active):
                if active:
                    log.debug("stopping %s", some([run.name for run in active]))
                self.stop(active)

    def abandon(self, runs: Sequence[Run]) -> None:
        """End those of ``runs`` that are active, since a call that waits for them was given up."""
        active = [run for run in runs if run.latest.active]
        if active:
            with self._ends(active):
                log.warning("stopping %d; Ctrl-C kills what does not end", len(active))
                self._machinery.engine.stop(active)
        self._databases.forget_ended(self._roster.runs)

    # -- Ctrl-C ---------------------------------------------------------------------------------

    @contextmanager
    def launching(self, *, stops: bool = True) -> Iterator[None]:
        """What goes wrong in here takes along what was launched in here.

        :param stops: so does Ctrl-C
        """
        before = len(self._roster.history)
        with self.interrupts(stops=stops) as interrupts:
            try:
                yield
            except BaseException as error:
                # Ctrl-C, or a database that failed.
                if stops or isinstance(error, Exception):
                    interrupts.stopping()
                    self.abandon(self._roster.history[before:])
                raise

    @contextmanager
    def awaiting(self, runs: Sequence[Run]) -> Iterator[None]:
        """These are ended if the driver ends in here; see :meth:`give_up`."""
        self._awaited.append(runs)
        try:
            yield
        finally:
            self._awaited.remove(runs)

    def give_up(self) -> None:
        """End what a start still waits for: its driver ends, because of a Ctrl-C that only another
        thread could hear.
        """
        self.abandon([run for runs in self._awaited for run in runs])

    def interrupts(self, *, stops: bool = True) -> Interrupts:
        """What Ctrl-C does while a call of the user blocks; see :class:`Interrupts`."""
        return Interrupts(self._insist, stops=stops)

    def _insist(self) -> None:
        self._machinery.insist([run.latest for run in self._ending])

    @contextmanager
    def _ends(self, runs: Sequence[Run]) -> Iterator[None]:
        self._ending = runs
        try:
            yield
        finally:
            self._ending = ()
            self._machinery.relent()
