"""Daemons as processes: started in sessions of their own, recorded, found again, ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster.error import ClusterError

PAUSE = 0.02  # seconds between two looks at a condition that tells of itself by no event


@dataclass(frozen=True, slots=True)
class Process:
    """A process that we started; the start time tells it from a later one of the same id."""

    pid: int
    started: int  # clock ticks since boot: field 22 of /proc/PID/stat, see proc(5)


@dataclass(frozen=True, slots=True)
class Stat:
    state: str
    parent: int
    started: int


def read_stat(pid: int) -> Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # the program's name is in parentheses and may hold any character
    fields = text.rpartition(")")[2].split()
    return Stat(fields[0], int(fields[1]), int(fields[19]))


def alive(process: Process) -> bool:
    stat = read_stat(process.pid)
    # a zombie has ended, however long its parent takes to notice
    return stat is not None and stat.started == process.started and stat.state not in "ZX"


def start(argv: Sequence[str], env: dict[str, str], output: Path, record: Path) -> Process:
    with output.open("ab") as stream:
        child = subprocess.Popen(
            argv,
            env=env,
            cwd=output.parent,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    stat = read_stat(child.pid)
    assert stat is not None  # our child: a zombie at worst
    process = Process(child.pid, stat.started)
    record.write_text(json.dumps(asdict(process)))
    return process


def recorded(record: Path) -> Process | None:
    """The living process of this record."""
    try:
        process = Process(**json.loads(record.read_text()))
    except FileNotFoundError:
        return None
    return process if alive(process) else None


def wait_until(what: str, ready: Callable[[], bool], seconds: float, process: Process) -> None:
    """Wait for a condition that needs a living process.

    Raises:
        ClusterError: the process ended, or the time is over.
    """
    end = time.monotonic() + seconds
    while not ready():
        if not alive(process):
            raise ClusterError(f"{what} ended at once")
        if time.monotonic() > end:
            raise ClusterError(f"{what} is not ready after {seconds:.0f} s")
        time.sleep(PAUSE)


def send(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        if alive(process):
            os.kill(process.pid, number)


def end(processes: Sequence[Process], seconds: float) -> tuple[Process, ...]:
    """Ask all of them to end, wait, and kill what is left; these are returned."""
    for process in processes:
        send(process, signal.SIGTERM)
        send(process, signal.SIGCONT)  # a paused one could not hear
    deadline = time.monotonic() + seconds
    stubborn = tuple(p for p in processes if not _ended(p, deadline - time.monotonic()))
    for process in stubborn:
        send(process, signal.SIGKILL)
    for process in stubborn:
        _ended(process, 10)
    return stubborn


def kill(process: Process) -> None:
    send(process, signal.SIGKILL)
    _ended(process, 10)


def _ended(process: Process, seconds: float) -> bool:
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if not alive(process):
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)  # readable once the process has ended
        return bool(poll.poll(max(0, seconds) * 1000))
    finally:
        os.close(descriptor)
