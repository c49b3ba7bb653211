"""Ids of Slurm jobs: ``123``, ``123_4`` of an array, each with the cluster as ``123_4;west``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from smartcore.error import LauncherError
from smartcore.spec.scheduler import NativeId

# What comes after the number of an array: a member, members that wait, or a part of a het job.
_ROW = re.compile(r"(\d+)(?:_(?:(\d+)|\[([^]]*)\]))?(?:\+(\d+))?")
_RANGE = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")
_ANSWER = re.compile(r"\d+(?:;[\w.-]+)?", re.ASCII)


def answer(line: str) -> NativeId | None:
    """The id in a line that ``sbatch --parsable`` prints: ``123`` or ``123;cluster``."""
    line = line.strip()
    return NativeId(line) if _ANSWER.fullmatch(line) else None


def cluster(native: NativeId) -> str:
    """The cluster's name; empty for the one of this host."""
    return native.partition(";")[2]


def local(native: NativeId) -> str:
    """The id without the cluster, as commands take it."""
    return native.partition(";")[0]


def key(native: NativeId) -> str:
    """The spelling by which ids are compared: a het job is known by its first component."""
    name, separator, west = native.partition(";")
    return f"{name.removesuffix('+0')}{separator}{west}"


def member(native: NativeId, index: int) -> NativeId:
    """The id of a member of an array."""
    name, separator, west = native.partition(";")
    return NativeId(f"{name}_{index}{separator}{west}")


def of_row(text: str, cluster: str = "") -> list[NativeId]:
    """All jobs that a row of squeue or sacct tells of: members of an array that wait share one,
    ``123_[4-7,9%2]``.

    :raises LauncherError: it is no id of a job
    """
    match = _ROW.fullmatch(text)
    if match is None:
        raise LauncherError(f"{text[:200]!r} is no id of a Slurm job")
    number, index, folded, component = match.groups()
    end = (f"+{component}" if component else "") + (f";{cluster}" if cluster else "")
    if folded is not None:
        return [NativeId(f"{number}_{each}{end}") for each in _unfolded(folded)]
    return [NativeId(f"{number}{'' if index is None else f'_{index}'}{end}")]


def _unfolded(text: str) -> Iterator[int]:
    for part in text.partition("%")[0].split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            # "..." where SLURM_BITSTR_LEN cut it: which members are meant cannot be known.
            raise LauncherError(f"{text[:200]!r} is no list of members of an array")
        first, last, step = match.groups()
        yield from range(int(first), int(last or first) + 1, int(step or 1))


def named(natives: Iterable[NativeId]) -> list[str]:
    """What to ask for: each id, but an array once if several of its members are meant."""
    members: dict[str, list[str]] = {}
    for native in natives:
        name = local(native)
        members.setdefault(name.partition("_")[0], []).append(name)
    return [names[0] if len(names) == 1 else number for number, names in members.items()]
