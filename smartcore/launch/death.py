"""What nodes tell of servers that died, in files of a directory that all share.

The program that runs a shard, or a server next to a model, writes them at once. What a launcher
tells of the end may take longer: run commands end slowly, and schedulers are asked now and then;
of a server next to a model it tells nothing.
"""

# Used by a program that must start quickly: nothing that takes long to import.
# ruff: noqa: PTH118, PTH123, PTH208

from __future__ import annotations

import json
import os

from smartcore.launch.filling import write_file

# In the directory of a database, made before its shards run, or of all notes from beside models.
# Clients of NFS remember for a while that a directory was not there (nfs(5), "lookupcache").
DIRECTORY = ".ended"

TYPE_CHECKING = False  # `typing` takes long to import
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import TypedDict

    class Death(TypedDict):
        """A server that ended, and was not told to by a signal to what runs it. With code 0 it may
        have been told to by a client.

        ``tag`` is that of the step that it is a part of, or of the model's launch that it was made
        for; ``returncode`` is as ``subprocess`` counts, ``output`` the file with its log.
        """

        tag: str
        name: str
        node: str
        returncode: int
        output: str


def tell_death(directory: str, index: int, death: Death) -> None:
    """Write it down for who looks there.

    :param directory: of the database, or of the notes
    :param index: no other of this tag has it
    :raises OSError: it cannot be written
    """
    write_file(os.path.join(directory, DIRECTORY, f"{death['tag']}.{index}"), json.dumps(death))


def told_deaths(directory: str, tags: Collection[str]) -> set[str]:
    """Names of the files about parts of these steps. Listing also refreshes what NFS clients
    remember.
    """
    try:
        names = os.listdir(os.path.join(directory, DIRECTORY))
    except OSError:
        return set()
    return {name for name in names if name.rpartition(".")[0] in tags}


def read_death(directory: str, file: str) -> Death | None:
    """What a file says; None if it cannot be read."""
    try:
        with open(os.path.join(directory, DIRECTORY, file), encoding="utf-8") as opened:
            death: Death = json.load(opened)
    except (OSError, ValueError):
        return None
    return death
