"""Limits of how many processes there may be, for messages; read when one was met."""

from __future__ import annotations

import os
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

CGROUPS = "/sys/fs/cgroup"


def process_limits() -> str:
    """The limits of processes and threads that this process has, for people; empty if none."""
    found = []
    limit, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if limit != resource.RLIM_INFINITY:
        found.append(f"`ulimit -u` is {limit}")
    every = [pair for path in _pids_cgroups() for pair in pids_limits(path, CGROUPS)]
    if every:
        limit, path = min(every)
        found.append(f"{path}/pids.max is {limit}")
    return ", ".join(found)


def pids_limits(path: str, root: str) -> Iterator[tuple[int, str]]:
    """Yield the limit of a cgroup and those of its ancestors, which hold, too; see cgroups(7).

    :param path: its directory
    :param root: where the tree begins
    """
    while path.startswith(root):
        text = _read(f"{path}/pids.max").strip()
        if text.isdigit():  # not "max"
            yield int(text), path
        path = os.path.dirname(path)  # noqa: PTH120 -- no pathlib in the keeper


def _pids_cgroups() -> Iterator[str]:
    # "<number>:<controllers>:<path>"; version 2 has no controllers there.
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield CGROUPS + path.rstrip("/")
        elif "pids" in controllers.split(","):
            yield f"{CGROUPS}/pids{path}".rstrip("/")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return ""
