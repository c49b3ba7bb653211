"""What was handed over and has not been started: who is next, and where it runs.

Three ways, by what a run is: a part of a job is the workload manager's to hold back; a step in an
allocation whose nodes are known waits until its cores are free; any other step counts against the
limit of what may run at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from smartcore.error import SmartcoreError
from smartcore.launch.plan import Pool, Queue, names_of, placement
from smartcore.launch.run import SHARD, Run
from smartcore.log import get_logger
from smartcore.spec import Node, Tag

log = get_logger(__name__)

NodesOf = Callable[[str], Sequence[Node]]


class Waiting:
    """Runs in the order in which they were handed over; used from one thread.

    :param max_running: how many limited runs may be active at once; None for no limit
    :param nodes: what an allocation grants, by its id; nothing where that is not known
    """

    def __init__(self, max_running: int | None, nodes: NodesOf = lambda allocation: ()) -> None:
        self.max_running = max_running
        self._nodes = nodes
        self._runs: dict[Tag, Run] = {}
        self._line: deque[Run] = deque()
        self._places: dict[str, _Places | None] = {}
        self._limited = 0

    def __contains__(self, run: Run) -> bool:
        return run.step.tag in self._runs

    def add(self, runs: Sequence[Run]) -> None:
        """Put them at the end; a database does not wait behind models that the limit holds back."""
        for run in runs:
            self._runs[run.step.tag] = run
        self._line.extendleft(run for run in reversed(runs) if not run.limited)
        self._line.extend(run for run in runs if run.limited)

    def remove(self, run: Run) -> None:
        """Forget one that is not to run."""
        del self._runs[run.step.tag]
        if run in self._line:
            self._line.remove(run)
        for places in self._places.values():
            if places is not None:
                places.queue.remove(run.step.tag)

    def next(self) -> tuple[list[Run], list[tuple[Run, str]]]:
        """Those that start now, and those that never can, with the reason.

        Places are taken; they are given back by :meth:`freed`.
        """
        starting: list[Run] = []
        refused: list[tuple[Run, str]] = []
        while self._line:
            run = self._line[0]
            places = None if run.bundle is not None else self._places_of(run)
            if run.bundle is not None:
                starting.append(run)
            elif places is not None:
                obstacle = places.pool.obstacle(run.step.resources)
                if obstacle:
                    refused.append((run, f"{run.name} cannot run in the allocation: {obstacle}"))
                else:
                    tag, resources = run.step.tag, run.step.resources
                    places.queue.add(tag, resources, first=not run.limited)
            elif run.limited and self.max_running is not None and self._limited >= self.max_running:
                break
            else:
                self._limited += run.limited
                starting.append(run)
            self._line.popleft()
        starting += self._placed()
        refused += self._without_room()
        for run, _ in refused:
            del self._runs[run.step.tag]
        for run in starting:
            del self._runs[run.step.tag]
        return starting, refused

    def _placed(self) -> list[Run]:
        started = []
        for allocation, places in self._places.items():
            if places is None:
                continue
            for tag, shares in places.queue.next():
                run = self._runs[Tag(tag)]
                run.shares = shares
                if run.place is not None:
                    placed = run.place(placement(shares, allocation))
                    run.step = replace(placed, tag=run.step.tag)
                places.hold(run)
                started.append(run)
        return started

    def _without_room(self) -> list[tuple[Run, str]]:
        found = []
        for places in filter(None, self._places.values()):
            beside = [run for run in places.shards if run.active and not run.stopping]
            if not beside or not len(places.queue):
                continue
            room = Pool(places.pool.nodes.values())
            for shard in beside:
                room.take(shard.shares)
            names = names_of(sorted(shard.name for shard in beside))
            why = f"there is no room for it beside {names}; ask for more cores, or fewer shards"
            for tag in places.queue.without_room(room):
                places.queue.remove(tag)
                run = self._runs[Tag(tag)]
                found.append((run, f"{run.name} cannot run in the allocation: {why}"))
        return found

    def adopt(self, run: Run) -> None:
        """Count one that another process started."""
        if run.bundle is not None:
            return
        if not run.shares:
            self._limited += run.limited
            return
        places = self._places_of(run)
        if places is None or any(share.node not in places.pool.nodes for share in run.shares):
            run.shares = ()
        else:
            places.pool.take(run.shares)
            places.hold(run)

    def freed(self, run: Run) -> None:
        """One that was started has ended."""
        places = self._places.get(run.step.resources.allocation)
        if run.shares and places is not None:
            places.pool.give_back(run.shares)
            places.let_go(run)
        elif run.bundle is None:
            self._limited -= run.limited

    def nodes(self, allocation: str, *, free: bool = False) -> Sequence[Node]:
        """What an allocation grants; nothing where that is not known.

        :param free: only what is left of it
        """
        places = self._known(allocation)
        if places is None:
            return ()
        return list((places.pool.free if free else places.pool.nodes).values())

    def _places_of(self, run: Run) -> _Places | None:
        return self._known(run.step.resources.allocation)

    def _known(self, allocation: str) -> _Places | None:
        if allocation not in self._places:
            try:
                nodes = self._nodes(allocation)
            except SmartcoreError as error:
                log.warning("the nodes of the allocation are not known: %s", error)
                nodes = ()
            self._places[allocation] = _Places(nodes) if nodes else None
        return self._places[allocation]


class _Places:
    def __init__(self, nodes: Sequence[Node]) -> None:
        self.pool = Pool(nodes)
        self.queue = Queue(self.pool)
        self.shards: list[Run] = []  # they do not end by themselves

    def hold(self, run: Run) -> None:
        if run.kind == SHARD:
            self.shards.append(run)

    def let_go(self, run: Run) -> None:
        if run in self.shards:
            self.shards.remove(run)
