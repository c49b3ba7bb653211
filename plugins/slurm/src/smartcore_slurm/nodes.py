"""Which nodes an allocation has: pure readers of what Slurm's commands and variables say."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from smartcore.spec import Node

_MEMORY_UNITS = {"": 2**20, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")
_COUNT = re.compile(r"(\d+)(?:\(x(\d+)\))?")
# One group of nodes in "scontrol show job -d": their GRES is the last field.
_DETAIL = re.compile(r" Nodes=(\S+) CPU_IDs=(\S+) Mem=(\d+)(?: GRES=(\S*))?")
_GPUS = re.compile(r"(?:^|,)(?:gres/)?gpu(?::[A-Za-z][^:,()]*)?:(\d+)")


@dataclass(frozen=True, slots=True)
class Allocation:
    """What Slurm says about the job that grants the nodes.

    :param id: its number
    :param state: Slurm's own word, e.g. ``RUNNING``; empty if it was not asked
    :param nodes: what it grants
    """

    id: str
    state: str = ""
    nodes: tuple[Node, ...] = ()

    @property
    def cpus(self) -> int:
        """CPUs on all nodes."""
        return sum(node.cpus for node in self.nodes)


def expand_hosts(text: str) -> list[str]:
    """The names in a list of nodes such as ``nid[001-003,007],login1``, in its order.

    :raises ValueError: it is no such list
    """
    return [name for item in _items(text) for name in _expand(item)]


def _items(text: str) -> Iterator[str]:
    # Commas inside brackets separate ranges, not names.
    depth, start = 0, 0
    for index, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if not 0 <= depth <= 1:
            raise ValueError(f"{text!r}: brackets do not match")
        if character == "," and depth == 0:
            yield text[start:index]
            start = index + 1
    if depth:
        raise ValueError(f"{text!r}: brackets do not match")
    if text:
        yield text[start:]


def _expand(item: str) -> Iterator[str]:
    if not item:
        raise ValueError("an empty name in a list of nodes")
    parts = re.split(r"\[([^]]*)\]", item)
    # re.split gives what is outside of brackets at even places, what is inside at odd ones.
    choices = [_ranges(part) if index % 2 else [part] for index, part in enumerate(parts)]
    return map("".join, itertools.product(*choices))


def _ranges(text: str) -> list[str]:
    names = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is no range of numbers")
        first, last = match[1], match[2] or match[1]
        names += [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
    return names


def expand_counts(text: str) -> list[int]:
    """The numbers in a list such as ``8(x3),4``, one for each node.

    :raises ValueError: it is no such list
    """
    counts: list[int] = []
    for part in text.split(","):
        match = _COUNT.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{part!r} is no number of CPUs or tasks")
        counts += [int(match[1])] * int(match[2] or 1)
    return counts


def parse_memory(text: str) -> int:
    """Bytes of ``2000``, ``2000M`` or ``4G``; Slurm counts in megabytes unless it says otherwise.

    :raises ValueError: it is no amount
    """
    match = _MEMORY.fullmatch(text.strip().upper().removesuffix("B"))
    if match is None:
        raise ValueError(f"{text!r} is no amount of memory")
    return int(float(match[1]) * _MEMORY_UNITS[match[2]])


def parse_gpus(text: str) -> int:
    """GPUs in a list of generic resources such as ``gpu:a100:4(IDX:0-3),nvme:1``."""
    return sum(int(match[1]) for match in _GPUS.finditer(re.sub(r"\([^)]*\)", "", text)))


def parse_job(number: str, output: str) -> Allocation | None:
    """Read ``scontrol show job --details --oneliner``; None if it says nothing of this job.

    The components of a heterogeneous job are lines of their own, and one allocation.
    """
    lines = [line for line in output.splitlines() if line.startswith("JobId=")]
    if not lines:
        return None
    state = re.search(r" JobState=(\S+)", lines[0])
    nodes: dict[str, Node] = {}
    for line in lines:
        for names, cpus, memory, gres in _DETAIL.findall(line):
            count, gpus = _count_ids(cpus), parse_gpus(gres)
            for name in expand_hosts(names):
                nodes[name] = Node(name, count, gpus, int(memory) * 2**20)
    return Allocation(number, state[1] if state else "", tuple(nodes.values()))


def _count_ids(text: str) -> int:
    return sum(len(_ranges(part)) for part in text.split(",") if part)


def from_environment(environment: Mapping[str, str]) -> Allocation | None:
    """What the variables of an allocation say (salloc(1), OUTPUT ENVIRONMENT VARIABLES); None
    outside of any.

    GPUs are told for this node only, and taken to be alike on all.
    """
    number = environment.get("SLURM_JOB_ID", "")
    if not number:
        return None
    groups = [""]
    if environment.get("SLURM_HET_SIZE", "").isdigit():
        groups = [f"_HET_GROUP_{index}" for index in range(int(environment["SLURM_HET_SIZE"]))]
    nodes: list[Node] = []
    for group in groups:
        nodes += _group(environment, group)
    return Allocation(number, "", tuple(nodes))


def _group(environment: Mapping[str, str], suffix: str) -> list[Node]:
    def value(name: str) -> str:
        return environment.get(f"{name}{suffix}", "")

    try:
        names = expand_hosts(value("SLURM_JOB_NODELIST"))
        counts = expand_counts(value("SLURM_JOB_CPUS_PER_NODE") or "0")
        each, per_cpu = value("SLURM_MEM_PER_NODE"), value("SLURM_MEM_PER_CPU")
        memory = parse_memory(each) if each else 0
        rate = parse_memory(per_cpu) if per_cpu else 0
    except ValueError:
        return []
    if len(counts) < len(names):
        counts += counts[-1:] * (len(names) - len(counts))
    gpus = environment.get("SLURM_GPUS_ON_NODE", "")
    return [
        Node(name, cpus, int(gpus) if gpus.isdigit() else 0, memory or cpus * rate or None)
        for name, cpus in zip(names, counts, strict=False)
    ]


def names_of(nodes: Sequence[Node]) -> list[str]:
    """Their names, in order."""
    return [node.name for node in nodes]
