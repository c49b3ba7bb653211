"""What the shards of one launch on nodes tell this host, and waiting for it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from smartcore.error import DatabaseError
from smartcore.launch.meeting import pause_after, read_found
from smartcore.log import get_logger
from smartcore.spec import ShardAddress, ShardPlan

if TYPE_CHECKING:
    from smartcore.launch.meeting import Found

log = get_logger(__name__)

# Seconds; who waits longer is told what for.
WORTH_TELLING = 2.0


class Meeting:
    """The directory in which the shards of one launch tell where they are.

    :param tag: the launch
    :param names: of the shards, in order
    """

    def __init__(self, directory: Path, tag: str, names: Sequence[str]) -> None:
        self._directory, self._tag, self._names = directory, tag, list(names)
        self._found: dict[str, Found] = {}
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def complete(self) -> bool:
        """True if all shards serve; looks once."""
        for name in self.missing:
            found = read_found(str(self._directory), name, "ready", self._tag)
            if found is None:
                return False
            self._found[name] = found
        return True

    @property
    def missing(self) -> list[str]:
        """Those that have not told that they serve."""
        return [name for name in self._names if name not in self._found]

    @property
    def found(self) -> list[Found]:
        """Where all are, in order, when they serve."""
        return [self._found[name] for name in self._names]

    def remove(self) -> None:
        """Remove the directory, with what is in it."""
        shutil.rmtree(self._directory, ignore_errors=True)


def real_shards(shards: Sequence[ShardPlan], found: Sequence[Found]) -> tuple[ShardPlan, ...]:
    """The plans with the addresses that the shards told."""
    peers = tuple(ShardAddress(where["addresses"][0], where["port"]) for where in found)
    return tuple(
        replace(
            shard,
            address=peers[shard.index],
            peers=peers,
            further_hosts=tuple(where["addresses"][1:]),
        )
        for shard, where in zip(shards, found, strict=True)
    )


def nodes_of(found: Sequence[Found]) -> tuple[str, ...]:
    """Names of the shards' nodes, in order."""
    return tuple(where["node"] for where in found)


def await_shards(
    meeting: Meeting,
    failure: Callable[[], str],
    waits: Callable[[], bool],
    timeout: timedelta,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Return when all shards serve.

    :param failure: which shard has ended, and how; empty while none has
    :param waits: True while one of them waits for nodes, which takes as long as it takes
    :param timeout: how long it may take when all of them run
    :raises DatabaseError: one has ended, or they take too long
    """
    told = False
    began = clock()
    end: float | None = None
    while True:
        if meeting.complete():
            return
        problem = failure()
        if problem:
            raise DatabaseError(problem)
        if waits():
            if not told and clock() - began > WORTH_TELLING:
                told = True
                log.info("waiting for nodes for %s; Ctrl-C gives up", ", ".join(meeting.missing))
            end = None
        else:
            end = clock() + timeout.total_seconds() if end is None else end
            if clock() > end:
                raise DatabaseError(
                    f"{', '.join(meeting.missing)} did not serve within"
                    f" {timeout.total_seconds():g} s"
                )
        # Nothing tells of a file that another host writes.
        time.sleep(pause_after(clock() - began))
