"""The names of the host and of the nodes, in /etc/hosts."""

from __future__ import annotations

import fcntl
import socket
from pathlib import Path

from cluster.settings import MARK, NODES, Settings

HOSTS = Path("/etc/hosts")


def short_name() -> str:
    return socket.gethostname().partition(".")[0]


def add_names(settings: Settings) -> None:
    """Let the nodes' names resolve to addresses of loopback, and the host's own name too.

    The daemons listen where the host's name leads to: that must not be the outside.
    """
    own = dict.fromkeys((socket.gethostname(), short_name()))
    lines = [f"127.0.0.1 {' '.join(own)}"]
    lines += [f"127.0.1.{number} {node}" for number, node in enumerate(NODES, start=1)]
    _rewrite(settings, [f"{line}  # {_tag(settings)}" for line in lines])


def remove_names(settings: Settings) -> None:
    _rewrite(settings, [])


def _tag(settings: Settings) -> str:
    return f"{MARK} for {settings.directory}"


def _rewrite(settings: Settings, ours: list[str]) -> None:
    # in place, not by rename: in a container the file is a mount
    with HOSTS.open("r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        others = [line for line in stream.read().splitlines() if not line.endswith(_tag(settings))]
        stream.seek(0)
        # first, since the first address of a name is the one that counts
        stream.write("\n".join([*ours, *others]) + "\n")
        stream.truncate()
