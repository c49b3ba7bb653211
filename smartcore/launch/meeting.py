"""What the shards of one launch tell one another and the driver, in files of a directory that all
nodes share.
"""

# Used by a program that must start quickly: nothing that takes long to import.
# ruff: noqa: PTH103, PTH106, PTH108, PTH118, PTH123

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable

from smartcore.launch.child import Failure
from smartcore.launch.filling import write_file

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
    """The file by which a shard tells that it is ``placed``, ``here`` or ``ready``."""
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


class Participant:
    """One shard among those that meet: tells of itself, and hears of the others.

    :param names: of all shards, in order
    :param index: its place among them
    :param tag: of the launch
    """

    def __init__(self, directory: str, names: list[str], index: int, tag: str) -> None:
        self.names = names
        self._directory, self._name, self._tag = directory, names[index], tag

    def tell(self, kind: str, found: Found) -> None:
        """Tell where this one is.

        :param kind: ``placed`` on a node, ``here`` at a port, or ``ready``
        """
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        write_file(meeting_file(self._directory, self._name, kind), json.dumps(found))

    def meet(self, kind: str, patience: float, pause: Callable[[float], None]) -> list[Found]:
        """What all shards have told, in order.

        :param patience: how many seconds the others may take
        :param pause: waits for so many seconds, or raises what ends the meeting
        :raises Failure: one did not come
        """
        began = time.monotonic()
        while True:
            found = {
                name: read_found(self._directory, name, kind, self._tag) for name in self.names
            }
            missing = [name for name, where in found.items() if where is None]
            if not missing:
                return [where for where in found.values() if where is not None]
            elapsed = time.monotonic() - began
            if elapsed > patience:
                raise Failure(
                    f"{self._name} waited {patience:g} s in {self._directory} for"
                    f" {', '.join(missing)}; do all nodes have this directory, and did all start?"
                )
            pause(pause_after(elapsed))

    def leave(self) -> None:
        """Take back what was told."""
        for kind in ("placed", "here", "ready"):
            with contextlib.suppress(OSError):
                os.unlink(meeting_file(self._directory, self._name, kind))
        with contextlib.suppress(OSError):
            os.rmdir(self._directory)  # if the others have gone, too
