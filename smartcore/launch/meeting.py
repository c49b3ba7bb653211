"""What the shards of one launch tell one another and the driver, in files of a directory that all
nodes share.
"""

# Used by a program that must start quickly: nothing that takes long to import.
# ruff: noqa: PTH118, PTH123

from __future__ import annotations

import json
import os

# What another node writes is looked for that often, in seconds.
SHORTEST_PAUSE = 0.01
LONGEST_PAUSE = 0.25
# A part of the time that it took: nobody waits much longer than that for what is there.
SHARE = 0.05

TYPE_CHECKING = False  # `typing` takes long to import
if TYPE_CHECKING:
    from typing import TypedDict

    class Found(TypedDict):
        """Where a shard is, and when it serves, what it answered to the inquiry, as Latin-1."""

        tag: str
        node: str
        addresses: list[str]
        port: int
        answer: str


def pause_after(elapsed: float) -> float:
    """How long to wait before looking again for what another host writes, in seconds."""
    return min(max(SHORTEST_PAUSE, SHARE * elapsed), LONGEST_PAUSE)


def meeting_file(directory: str, name: str, kind: str) -> str:
    """The file by which a shard tells that it is ``here`` or ``ready``."""
    return os.path.join(directory, f"{name}.{kind}")


def read_found(directory: str, name: str, kind: str, tag: str) -> Found | None:
    """What a shard of this launch has told; None as long as it has not."""
    try:
        # Clients of NFS keep what they know of a directory for up to a minute, also that a file
        # was not there (nfs(5), acdirmax); a change of their own makes them ask.
        os.utime(directory)
        with open(meeting_file(directory, name, kind), encoding="utf-8") as file:
            found: Found = json.load(file)
    except (OSError, ValueError):
        return None
    return found if found.get("tag") == tag else None
