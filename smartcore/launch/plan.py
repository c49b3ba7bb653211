"""Who runs where and when, in an allocation that cannot run everything at once.

Pure: it counts cores, GPUs and memory, and knows neither processes nor time. What it promises: the
shares of those that run at the same time never exceed what a node has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from smartcore.spec import Node, Placement, Resources

# How many that came later may go before one that does not fit yet. A large one would otherwise wait
# for ever behind small ones that always find a place.
PATIENCE = 32


@dataclass(frozen=True, slots=True)
class Share:
    """A part of one node.

    :param node: its name
    :param tasks: how many tasks run there
    :param cpus: cores
    :param gpus: GPUs
    :param memory: bytes
    """

    node: str
    tasks: int
    cpus: int
    gpus: int = 0
    memory: int = 0


Shares = tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Need:
    """What one step needs, with defaults filled in: a task is one core.

    :param nodes: exact number of nodes; None if that is left to us
    :param tasks: tasks in all
    :param tasks_per_node: at most so many on a node; None for no limit
    """

    nodes: int | None
    tasks: int
    tasks_per_node: int | None
    cpus_per_task: int
    gpus: int
    memory: int
    hosts: tuple[str, ...]
    excluded: frozenset[str]


def need_of(resources: Resources) -> Need:
    """Fill in what the user left out."""
    nodes = resources.nodes or (len(resources.hosts) or None)
    per_node = resources.tasks_per_node
    tasks = resources.tasks or (nodes or 1) * (per_node or 1)
    if nodes is None and per_node is not None:
        nodes = -(-tasks // per_node)
    return Need(
        nodes=nodes,
        tasks=tasks,
        tasks_per_node=per_node,
        cpus_per_task=resources.cpus_per_task or 1,
        gpus=resources.gpus_per_node or 0,
        memory=resources.memory_per_node or 0,
        hosts=resources.hosts,
        excluded=frozenset(resources.excluded_hosts),
    )


class Pool:
    """What is free on the nodes of an allocation.

    :param nodes: what it grants; names are unique
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = {node.name: node for node in nodes}
        self._free = dict(self.nodes)

    @property
    def free(self) -> Mapping[str, Node]:
        """What is left of each node."""
        return self._free

    def fit(self, resources: Resources) -> Shares | None:
        """Where a step could run now; nothing is taken."""
        return _fit(need_of(resources), self._free)

    def obstacle(self, resources: Resources) -> str:
        """Why a step could not even run alone here; empty if it could."""
        need = need_of(resources)
        if _fit(need, self.nodes) is not None:
            return ""
        unknown = [host for host in need.hosts if host not in self.nodes]
        if unknown:
            return f"{', '.join(unknown)} is not in the allocation ({names_of(self.nodes)})"
        largest = max(self.nodes.values(), key=lambda node: node.cpus, default=None)
        if largest is None:
            return "the allocation has no nodes"
        return (
            f"it needs {_needed(need)}, and the allocation has {len(self.nodes)} nodes with at most"
            f" {_told(largest)} each"
        )

    def take(self, shares: Shares) -> None:
        """Use these parts; they must be free."""
        self._add(shares, -1)

    def give_back(self, shares: Shares) -> None:
        """Free them again."""
        self._add(shares, 1)

    def _add(self, shares: Shares, sign: int) -> None:
        for share in shares:
            node = self._free[share.node]
            memory = None if node.memory is None else node.memory + sign * share.memory
            self._free[share.node] = replace(
                node,
                cpus=node.cpus + sign * share.cpus,
                gpus=node.gpus + sign * share.gpus,
                memory=memory,
            )


def _fit(need: Need, free: Mapping[str, Node]) -> Shares | None:
    nodes = [free[host] for host in need.hosts if host in free] if need.hosts else free.values()
    if need.hosts and len(need.hosts) != len(list(nodes)):
        return None
    room = [
        (node, tasks)
        for node in nodes
        if node.name not in need.excluded and (tasks := _tasks_on(node, need)) > 0
    ]
    if need.nodes is not None:
        return _spread(need, room, need.nodes)
    # The fullest node that has room for all: what is empty stays for those that need it.
    single = [node for node, tasks in room if tasks >= need.tasks]
    if single:
        tightest = min(single, key=lambda node: (node.cpus, node.gpus))
        return (_share(tightest, need.tasks, need),)
    if need.gpus:
        return None  # they are counted for each node, so the number of nodes must be given
    return _pack(need, room)


def _tasks_on(node: Node, need: Need) -> int:
    if node.gpus < need.gpus or (node.memory is not None and node.memory < need.memory):
        return 0
    tasks = node.cpus // need.cpus_per_task
    return tasks if need.tasks_per_node is None else min(tasks, need.tasks_per_node)


def _spread(need: Need, room: Sequence[tuple[Node, int]], count: int) -> Shares | None:
    # Blocks of equal size, as run commands make them: 5 tasks on 2 nodes are 3 and 2.
    least, more = divmod(need.tasks, count)
    if least == 0 or len(room) < count:
        return None
    sizes = [least + 1] * more + [least] * (count - more)
    # Tight nodes first, those for larger blocks from what has room for them.
    order = room if need.hosts else sorted(room, key=lambda pair: (pair[1], pair[0].cpus))
    chosen: list[tuple[Node, int]] = []
    left = list(order)
    for size in sizes:
        match = next((pair for pair in left if pair[1] >= size), None)
        if match is None:
            return None
        left.remove(match)
        chosen.append((match[0], size))
    return tuple(_share(node, size, need) for node, size in chosen)


def _pack(need: Need, room: Sequence[tuple[Node, int]]) -> Shares | None:
    shares, left = [], need.tasks
    for node, tasks in sorted(room, key=lambda pair: -pair[1]):
        size = min(tasks, left)
        shares.append(_share(node, size, need))
        left -= size
        if left == 0:
            return tuple(shares)
    return None


def _share(node: Node, tasks: int, need: Need) -> Share:
    return Share(node.name, tasks, tasks * need.cpus_per_task, need.gpus, need.memory)


def placement(shares: Shares, allocation: str = "") -> Placement:
    """The same for a run command."""
    return Placement(
        hosts=tuple(share.node for share in shares),
        allocation=allocation,
        cpus=tuple(share.cpus for share in shares),
        tasks=tuple(share.tasks for share in shares),
    )


# -- showing it ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Planned:
    """Where one step is going to run, if all take equally long.

    :param name: the step's name
    :param shares: its parts of nodes; empty if it can never run
    :param turn: 1 for those that start at once, 2 for those that start when the first have ended...
    :param obstacle: why it can never run
    """

    name: str
    shares: Shares
    turn: int
    obstacle: str = ""


def plan(
    nodes: Iterable[Node],
    steps: Sequence[tuple[str, Resources]],
    running: Sequence[tuple[str, Shares]] = (),
    *,
    lasting: Collection[str] = (),
) -> list[Planned]:
    """Share out an allocation among steps.

    How long they take is not known beforehand. In truth, each starts as soon as its place is free;
    the plan shows the order, and where.

    :param steps: name and needs of each that waits, in order
    :param running: those that run already, with their places; they have turn 1
    :param lasting: names of those that do not end by themselves, so that their places stay taken
    """
    pool = Pool(nodes)
    queue = Queue(pool)
    for _, shares in running:
        pool.take(shares)
    planned: dict[str, Planned] = {}
    for name, resources in steps:
        obstacle = pool.obstacle(resources)
        if obstacle:
            planned[name] = Planned(name, (), 0, obstacle)
        else:
            queue.add(name, resources)
    first = [Planned(name, shares, 1) for name, shares in running]
    turn, going = 1, list(running)
    while len(queue):
        started = queue.next()
        planned |= {name: Planned(name, shares, turn) for name, shares in started}
        ended = [shares for name, shares in going + started if name not in lasting]
        if not ended:
            break
        for shares in ended:
            pool.give_back(shares)
        going, turn = [], turn + 1
    beside = names_of([name for name, _ in (*running, *steps) if name in lasting])
    no_room = f"there is no room for it beside {beside}"
    return first + [planned.get(name) or Planned(name, (), 0, no_room) for name, _ in steps]


def places(planned: Planned) -> list[str]:
    """Where a step runs, for people: ``nid001: 4 cores, 1 GPU``; or why it never can."""
    if planned.obstacle:
        return [planned.obstacle]
    return [
        f"{share.node}: {share.cpus} {'core' if share.cpus == 1 else 'cores'}"
        + (f", {share.gpus} {'GPU' if share.gpus == 1 else 'GPUs'}" if share.gpus else "")
        for share in planned.shares
    ]


class Queue:
    """Steps that wait for a place, in order.

    One that does not fit lets others go first, but no more than :data:`PATIENCE` of them.

    :param pool: where the places are; those given are taken from it
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: dict[str, Resources] = {}
        self._overtaken: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, name: str, resources: Resources, *, first: bool = False) -> None:
        """Put one at the end, or before all others."""
        if first:
            self._waiting = {name: resources, **self._waiting}
        self._waiting[name] = resources
        self._overtaken[name] = 0

    def remove(self, name: str) -> None:
        """Forget one that is not to run."""
        self._waiting.pop(name, None)
        self._overtaken.pop(name, None)

    def without_room(self, pool: Pool) -> list[str]:
        """Those for which there is no place in ``pool``."""
        fits = {needs: pool.fit(needs) is not None for needs in set(self._waiting.values())}
        return [name for name, needs in self._waiting.items() if not fits[needs]]

    def next(self) -> list[tuple[str, Shares]]:
        """Those that start now, with their places, which are taken."""
        started: list[tuple[str, Shares]] = []
        passed: list[str] = []
        failed: set[Resources] = set()
        for name, resources in list(self._waiting.items()):
            # Places only get fewer in here: what did not fit once need not be tried again.
            shares = None if resources in failed else self._pool.fit(resources)
            if shares is None:
                failed.add(resources)
                if self._overtaken[name] >= PATIENCE:
                    break
                passed.append(name)
                continue
            self._pool.take(shares)
            self.remove(name)
            started.append((name, shares))
            for other in passed:
                self._overtaken[other] += 1
            if any(self._overtaken[other] >= PATIENCE for other in passed):
                break
        return started


def names_of(nodes: Iterable[str]) -> str:
    """The first of them, and how many more there are."""
    names = list(nodes)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _needed(need: Need) -> str:
    parts = [f"{need.tasks} tasks of {need.cpus_per_task} cores"]
    if need.nodes is not None:
        parts.append(f"on {need.nodes} nodes")
    if need.gpus:
        parts.append(f"with {need.gpus} GPUs each")
    if need.memory:
        parts.append(f"and {need.memory / 2**20:.0f} MiB each")
    if need.excluded:
        parts.append(f"without {names_of(sorted(need.excluded))}")
    return " ".join(parts)


def _told(node: Node) -> str:
    memory = "" if node.memory is None else f", {node.memory / 2**20:.0f} MiB"
    return f"{node.cpus} cores, {node.gpus} GPUs{memory}"
