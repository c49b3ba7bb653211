"""Finding processes of this host by the tag that they were launched under."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator, Set
from pathlib import Path

from smartcore.launch import keeper, proc, spawn
from smartcore.launch.ledger_reader import read_notes, read_records
from smartcore.launch.link import Place, host_name
from smartcore.spec import JobId, Tag

# What a keeper has spawned has the keeper's environment until it is a program of its own, and for a
# moment none at all.
KEEPERS = keeper.VARIABLES[0]
EXEC_DEADLINE = 1.0


def find_started(place: Place, tags: Collection[Tag]) -> dict[Tag, JobId]:
    """Ids of what keepers have started under these tags, as far as their files and ``/proc`` tell.

    For those who were killed before they heard of the ids.
    """
    found: dict[Tag, JobId] = {}
    doubtful: set[Tag] = set()
    for _, note in read_notes(place.info.parent, host_name()):
        tag = Tag(note["tag"])
        if tag in tags and "id" in note:
            found[tag] = JobId(note["id"])
        elif tag in tags and "error" not in note:
            doubtful.add(tag)
    for job, record in read_records(place.records, host_name()).items():
        if record["tag"] in tags:
            found[Tag(record["tag"])] = job
    return found | find_tagged(doubtful - found.keys())


def find_tagged(tags: Set[Tag]) -> dict[Tag, JobId]:
    """Ids of the living processes that have one of these tags in their environment.

    Only the first process of a session is looked at: the others are its descendants.
    """
    deadline = time.monotonic() + EXEC_DEADLINE
    found: dict[Tag, JobId] = {}
    while tags - found.keys():
        found, unsettled = _look_for(tags)
        if not unsettled or time.monotonic() > deadline:
            break
        time.sleep(0.001)  # nobody tells of the end of an execve(2)
    return found


def _look_for(tags: Set[Tag]) -> tuple[dict[Tag, JobId], bool]:
    # And whether somebody was met who is just becoming another program, and may yet show a tag.
    found: dict[Tag, tuple[int, int]] = {}
    unsettled = False
    for pid in _session_leaders():
        variables = _environment(pid)
        born = proc.start_time(pid)
        if variables is None or born is None:
            continue
        unsettled |= not variables or KEEPERS in variables
        tag = Tag(variables.get(spawn.TAG_VARIABLE, ""))
        if tag in tags:
            # A descendant with a session of its own was born later.
            found[tag] = min(found.get(tag, (born, pid)), (born, pid))
    return {tag: JobId(spawn.identity(pid, at)) for tag, (at, pid) in found.items()}, unsettled


def _session_leaders() -> Iterator[int]:
    for entry in Path(proc.PROC).iterdir():
        if entry.name.isdigit():
            pid = int(entry.name)
            with contextlib.suppress(OSError):
                if os.getsid(pid) == pid:
                    yield pid


def _environment(pid: int) -> dict[str, str] | None:
    # None: it has gone, or is somebody else's.
    try:
        text = os.fsdecode(Path(proc.PROC, str(pid), "environ").read_bytes())
    except OSError:
        return None
    pairs = (variable.partition("=") for variable in text.split("\0") if variable)
    return {name: value for name, _, value in pairs}
