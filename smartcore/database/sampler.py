"""Telemetry of a running database: its numbers over time, as files that any program reads.

``<experiment>/.smartcore/telemetry/<database>/<shard>/``

- ``memory.csv``: ``timestamp, used_memory, used_memory_peak, total_system_memory, maxmemory``, in
  bytes
- ``client_count.csv``: ``timestamp, num_clients``
- ``operations.csv``: ``timestamp, commands, ops_per_second, keys, hits, misses``; ``commands``,
  ``hits`` and ``misses`` since the server's start

Timestamps are milliseconds since 1970. A shard that does not answer has no line for that time. The
first columns of the first two files are those that users of SmartSim know.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from smartcore.error import SmartcoreError
from smartcore.log import get_logger
from smartcore.spec import ShardStatistics

from .figures import between
from .looking import Looker

log = get_logger(__name__)

DIRECTORY: Final = Path(".smartcore", "telemetry")
MEMORY: Final = "memory.csv"
CLIENTS: Final = "client_count.csv"
OPERATIONS: Final = "operations.csv"
HEADERS: Final = {
    MEMORY: (
        "timestamp",
        "used_memory",
        "used_memory_peak",
        "total_system_memory",
        "maxmemory",
    ),
    CLIENTS: ("timestamp", "num_clients"),
    OPERATIONS: ("timestamp", "commands", "ops_per_second", "keys", "hits", "misses"),
}
_PATIENCE = 10.0


class Sampler:
    """Asks a database how it does, again and again, in a thread of its own, and writes it down.

    Ends when it is told to, or when the database has ended.

    :param path: the experiment's directory
    :param ask: how the shards do; it takes a second or two at most
    :param running: False when the database has ended
    :param interval: seconds between two samples
    """

    def __init__(
        self,
        path: Path,
        identifier: str,
        ask: Callable[[], Sequence[ShardStatistics]],
        running: Callable[[], bool],
        interval: float,
    ) -> None:
        self._directory = path / DIRECTORY / identifier
        self._identifier = identifier
        self._ask, self._running, self._interval = ask, running, interval
        self._before: Sequence[ShardStatistics] = ()
        self._last = 0.0
        self._problem = ""
        self._looker = Looker(f"{identifier} sampler", self._run, _PATIENCE)

    def start(self) -> None:
        """Take the first sample now."""
        self._looker.start()

    def stop(self) -> None:
        """Take no more samples; return when the last one is written."""
        self._looker.stop()

    def _run(self) -> None:
        due = time.monotonic()
        while self._running():
            try:
                self._sample()
            except (OSError, SmartcoreError) as error:
                self._warn(f"cannot write telemetry to {self._directory}: {error}")
            due = max(due + self._interval, time.monotonic())
            if self._looker.pause(due - time.monotonic()):
                return

    def _sample(self) -> None:
        answers, now = self._ask(), time.monotonic()
        stamp = time.time_ns() // 1_000_000
        rates = {one.name: one.ops for one in between(answers, self._before, now - self._last)}
        for answer in answers:
            if answer.answered:
                write_sample(self._directory / answer.name, stamp, answer, rates[answer.name] or 0)
        self._before, self._last = answers, now
        if answers and not any(answer.answered for answer in answers) and self._running():
            self._warn(f"no telemetry of {self._identifier!r}: {answers[0].problem}")

    def _warn(self, problem: str) -> None:
        # Once: what is wrong now is wrong at the next sample.
        if not self._problem:
            log.warning("%s", problem)
        self._problem = problem


def write_sample(directory: Path, stamp: int, shard: ShardStatistics, ops: float) -> None:
    """Append what a shard said at one time to its files.

    :param stamp: milliseconds since 1970
    :param ops: commands in a second
    :raises OSError: they cannot be written
    """
    directory.mkdir(parents=True, exist_ok=True)
    rows: dict[str, tuple[int | float, ...]] = {
        MEMORY: (
            shard.memory,
            shard.memory_peak,
            shard.memory_host,
            shard.memory_limit,
        ),
        CLIENTS: (shard.clients,),
        OPERATIONS: (shard.commands, round(ops, 3), shard.keys, shard.hits, shard.misses),
    }
    for name, values in rows.items():
        append(directory / name, HEADERS[name], (stamp, *values))


def append(file: Path, header: Sequence[str], values: Sequence[int | float]) -> None:
    """Append one line to a file of values separated by commas, with the header if it is new.

    :raises OSError: it cannot be written
    """
    text = ",".join(map(str, values)) + "\n"
    handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(handle).st_size
        if not size:
            text = ",".join(header) + "\n" + text
        elif os.pread(handle, 1, size - 1) != b"\n":
            text = "\n" + text  # the last line of who was killed, or had no room, is torn
        # One write in append mode: a reader sees whole lines.
        os.write(handle, text.encode())
    finally:
        os.close(handle)
