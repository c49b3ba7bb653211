"""Ids of batch jobs: the scheduler's own id, and all that is needed to find a job's traces.

::

    123#heat-k3f9          one step
    123#sweep-k3f9:5       a job of five steps         123#sweep-k3f9:5/2   its step number 2
    123#sweep-k3f9[5]      an array of five members    123#sweep-k3f9[5]/2  its member number 2
    #heat-k3f9             not accepted by the scheduler yet, or not known to be
    12 14#sweep-k3f9[9:5]  an array of nine members, submitted as arrays of five and of four
    14#sweep-k3f9.1[4]/2   its member number 7

Numbers count from 0. The tag leads to the exit records, so an id alone is enough for a process that
never saw the job.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from smartcore.spec import JobId, Tag
from smartcore.spec.scheduler import NativeId

_FORM = re.compile(
    r"(?P<native>[^#]*)#(?P<tag>.*?)"
    r"(?::(?P<steps>\d+)|\[(?P<members>\d+)(?::(?P<size>\d+))?\])?(?:/(?P<index>\d+))?",
    re.DOTALL,
)
_PLAIN = re.compile(r"[A-Za-z0-9_.+-]*")
_HOSTILE = re.compile(rb"[^A-Za-z0-9_.+-]")


@dataclass(frozen=True, slots=True)
class Ref:
    """What an id says.

    :param native: the scheduler's own id of the whole job; empty while there is none
    :param tag: the job's tag
    :param count: number of steps or members
    :param array: they are members of an array
    :param index: one of them, from 0; None is the whole job
    """

    native: NativeId
    tag: Tag
    count: int = 1
    array: bool = False
    index: int | None = None

    @property
    def job_id(self) -> JobId:
        """The id as callers keep it."""
        size = f"[{self.count}]" if self.array else f":{self.count}" if self.count > 1 else ""
        part = "" if self.index is None else f"/{self.index}"
        return JobId(f"{self.native}#{self.tag}{size}{part}")

    @property
    def indices(self) -> range:
        """The steps that this id is about."""
        if self.index is None:
            return range(self.count)
        return range(self.index, self.index + 1)

    @property
    def members(self) -> tuple[Ref, ...]:
        """Its steps or members, one by one; a job of one is its own."""
        if self.count == 1 and not self.array:
            return (self,)
        return tuple(replace(self, index=index) for index in range(self.count))


def plain(tag: Tag) -> Tag:
    """The tag as it is in names of files and in what a scheduler is told: letters, digits and
    ``_.-``, everything else as ``+`` and the hexadecimal number of its byte.
    """
    if _PLAIN.fullmatch(tag):
        return tag
    data = tag.encode("utf-8", "surrogatepass")
    return Tag(_HOSTILE.sub(lambda found: b"+%02X" % found[0][0], data).decode("ascii"))


def pieces(tag: Tag, count: int, size: int) -> list[tuple[Tag, range]]:
    """The arrays that a large one is submitted as: a tag for each, and which members it has."""
    starts = range(0, count, size)
    return [
        (Tag(f"{tag}.{number}"), range(start, min(count, start + size)))
        for number, start in enumerate(starts)
    ]


def whole_id(tag: Tag, count: int, size: int, refs: Sequence[Ref]) -> JobId:
    """The id of an array that was submitted in pieces."""
    return JobId(f"{' '.join(ref.native for ref in refs)}#{tag}[{count}:{size}]")


def parse_id(job: JobId) -> tuple[Ref, ...]:
    """Read an id: one job, or the pieces of a large array; nothing if it was not made here."""
    match = _FORM.fullmatch(job)
    if match is None or not match["tag"]:
        return ()
    count = int(match["steps"] or match["members"] or 1)
    index = None if match["index"] is None else int(match["index"])
    if count < 1 or (index is not None and index >= count):
        return ()
    native, tag = NativeId(match["native"]), Tag(match["tag"])
    if match["size"] is not None:
        return () if index is not None else _pieces(native, tag, count, int(match["size"]))
    return (Ref(native, tag, count, match["members"] is not None, index),)


def _pieces(native: NativeId, tag: Tag, count: int, size: int) -> tuple[Ref, ...]:
    natives = native.split(" ")
    if size < 1 or len(natives) != -(-count // size):
        return ()
    parts = zip(natives, pieces(tag, count, size), strict=True)
    return tuple(
        Ref(NativeId(name), piece, len(members), len(members) > 1)
        for name, (piece, members) in parts
    )
