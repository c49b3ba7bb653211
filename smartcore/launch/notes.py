"""What sidecars on nodes tell who looks at their experiment: where each serves, and how it died.

Each has a file in a directory of its launch while it serves. That of one that died before its
application stays, and says so; and whoever drives the experiment hears of it as of a shard
(:mod:`smartcore.launch.death`).
"""

# Used by programs that must start quickly: nothing that takes long to import.
# ruff: noqa: PTH106, PTH108, PTH118, PTH119, PTH120, PTH123, PTH208

from __future__ import annotations

import contextlib
import json
import os
import time

from smartcore.launch.death import tell_death
from smartcore.launch.filling import write_file

DIRECTORY = os.path.join(".smartcore", "beside")

TYPE_CHECKING = False  # `typing` takes long to import
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypedDict

    from smartcore.launch.death import Death

    class Note(TypedDict):
        """What one sidecar tells.

        ``launch`` is the tag of the launch that it was made for: attempts after the first have it,
        too. ``node`` is what its launcher calls the node, ``machine`` how the node calls itself.
        ``since`` and ``ended`` are seconds since the epoch, the latter 0 while it lives. ``became``
        is what became of it, with the end of its log. ``facts`` are those of
        :class:`smartcore.spec.Sidecar`.
        """

        name: str
        node: str
        machine: str
        host: str
        port: int
        socket: str
        since: float
        ended: float
        became: str
        launch: str
        facts: dict[str, str]


class Notes:
    """The notes of the sidecars that one process has.

    :param directory: of their launch; empty to write none
    """

    def __init__(self, directory: str, node: str) -> None:
        self._directory, self._node = directory, node
        self._written: dict[str, Note] = {}

    def serves(self, name: str, host: str, port: int, socket: str, facts: dict[str, str]) -> None:
        """Tell that it serves, and where."""
        note: Note = {
            "name": name,
            "node": self._node,
            "machine": os.uname().nodename,
            "host": host,
            "port": port,
            "socket": socket,
            "since": time.time(),
            "ended": 0.0,
            "became": "",
            "launch": os.path.basename(self._directory),
            "facts": facts,
        }
        self._write(note)

    def died(self, name: str, became: str, returncode: int, output: str, *, told: bool) -> None:
        """Tell that it has ended before it was to.

        :param became: for people
        :param returncode: as ``subprocess`` counts
        :param output: its log
        :param told: it may have been told to, so that this is no news to who drives it
        """
        if name not in self._written:
            return
        note = self._written[name]
        self._write({**note, "ended": time.time(), "became": became})
        if self._directory and not told:
            death: Death = {
                "tag": note["launch"],
                "name": name,
                "node": self._node,
                "returncode": returncode,
                "output": output,
            }
            with contextlib.suppress(OSError):
                # Those of other nodes, and of other attempts, have other numbers.
                tell_death(os.path.dirname(self._directory), time.time_ns(), death)

    def _write(self, note: Note) -> None:
        self._written[note["name"]] = note
        if self._directory:
            # A full disk is no reason to keep the application from running.
            with contextlib.suppress(OSError):
                write_file(self._file(note["name"]), json.dumps(note))

    def _file(self, name: str) -> str:
        return os.path.join(self._directory, f"{name}.json")

    def remove(self) -> None:
        """Take back what was told of those that lived to the end."""
        for name, note in self._written.items():
            if not note["ended"]:
                with contextlib.suppress(OSError):
                    os.unlink(self._file(name))
        with contextlib.suppress(OSError):
            os.rmdir(self._directory)  # if those of other nodes have gone, too


def read_notes(experiment: str) -> Iterator[Note]:
    """All notes of an experiment, also of what has ended without taking them back."""
    place = os.path.join(experiment, DIRECTORY)
    for launch in _names(place):
        for file in _names(os.path.join(place, launch)):
            if file.endswith(".json"):
                # It may be taken back in this moment.
                with contextlib.suppress(OSError, ValueError):
                    with open(os.path.join(place, launch, file), encoding="utf-8") as opened:
                        note: Note = json.load(opened)
                    yield note


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []
