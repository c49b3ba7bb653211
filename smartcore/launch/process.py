"""Processes of this host: spawned in sessions of their own, their ends met as events."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from smartcore.error import LauncherError, UnsupportedError
from smartcore.launch import proc, spawn
from smartcore.spec import (
    ABSENT,
    Answer,
    Cause,
    Command,
    EventSink,
    JobId,
    Source,
    Started,
    State,
    Status,
    Step,
)

if TYPE_CHECKING:
    import subprocess


@dataclass(slots=True, eq=False)
class _Process:
    """One process that is followed; ``popen`` is None if another process started it."""

    id: JobId
    pid: int
    born: int
    pidfd: int
    popen: subprocess.Popen[bytes] | None = None
    stopping: bool = False
    begun: float = field(default_factory=time.monotonic)


class LocalProcesses:
    """Runs processes of this host; the core's implementation of ``spec.Processes``.

    One thread sleeps in epoll on a pidfd for each process (pidfd_open(2), Linux 5.3), so that an
    end is known within a fraction of a millisecond and nothing is polled. An id is
    ``<pid>.<start time in ticks after boot>``.

    :param grace: how long a stopped process has between TERM and KILL
    :raises UnsupportedError: the system has no pidfd
    """

    def __init__(self, grace: timedelta = timedelta(seconds=5)) -> None:
        require_pidfd()
        self.grace = grace
        self._lock = threading.Lock()
        self._processes: dict[JobId, _Process] = {}
        self._by_fd: dict[int, _Process] = {}
        self._ended: dict[JobId, Status] = {}
        self._sink: EventSink | None = None
        self._host = os.uname().nodename
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._thread: threading.Thread | None = None
        self._closed = False

    # -- the contract ---------------------------------------------------------------------------

    def start(self, steps: Sequence[Step], /) -> Sequence[Started]:
        """Spawn every step, in order."""
        inherited = dict(os.environ)
        with open(os.devnull, "rb") as null:  # noqa: PTH123
            return [self._start(step, inherited, null.fileno()) for step in steps]

    def _start(self, step: Step, inherited: dict[str, str], null: int) -> Started:
        try:
            write_files(step.command)
            popen = spawn.spawn(
                step.command.argv,
                {**inherited, **step.command.env},
                step.cwd,
                (step.command.stdin, step.stdout, step.stderr),
                null,
            )
        except (OSError, ValueError) as error:
            return Started(error=spawn.explain(step.command.argv[0], error))
        try:
            pidfd = os.pidfd_open(popen.pid)
        except OSError as error:
            popen.kill()
            popen.wait()
            return Started(error=f"{error.strerror}: raise `ulimit -n` or lower max_running")
        born = proc.birth(popen.pid) or 0
        process = _Process(JobId(spawn.identity(popen.pid, born)), popen.pid, born, pidfd, popen)
        self._follow(process)
        return Started(process.id)

    def _follow(self, process: _Process) -> None:
        with self._lock:
            self._processes[process.id] = process
            self._by_fd[process.pidfd] = process
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._watch, name="smartcore-processes", daemon=True
                )
                self._thread.start()
        self._epoll.register(process.pidfd, select.EPOLLIN)

    def status(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        """Answer for processes of this host, also for those that another process started."""
        return {job: self._status(job) for job in ids}

    def _status(self, job: JobId) -> Answer:
        with self._lock:
            if job in self._ended:
                return self._ended[job]
            known = job in self._processes
        if known or spawn.alive(job):
            return Status(State.RUNNING, source=Source.PROCESS, host=self._host)
        return ABSENT

    def attach(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        """Follow processes that another process started; their exit codes cannot be had."""
        for job in ids:
            with self._lock:
                known = job in self._processes or job in self._ended
            if not known and (found := spawn.open_process(job)) is not None:
                self._follow(_Process(job, found.pid, found.born, found.pidfd))
        return self.status(ids)

    def watch(self, sink: EventSink, /) -> None:
        """Tell ``sink`` of every end."""
        self._sink = sink

    def stop(self, ids: Collection[JobId], /) -> None:
        """TERM to each process group, KILL to what is left of its session after the grace period.

        :raises LauncherError: naming the processes that survived
        """
        targets = [target for job in ids if (target := self._target(job)) is not None]
        survivors = spawn.end_sessions(targets, self.grace.total_seconds())
        if survivors:
            raise survival(survivors)

    def _target(self, job: JobId) -> spawn.Target | None:
        # With a descriptor of its own: the watching thread closes the other at the end.
        with self._lock:
            known = self._processes.get(job)
            if known is not None:
                ended = known.popen is not None and spawn.exited(known.pidfd)
                known.stopping = known.stopping or not ended
                return spawn.Target(known.pid, known.born, os.dup(known.pidfd))
        return spawn.open_process(job)

    def close(self) -> None:
        """Let the watching thread end with the last process; what runs goes on."""
        with self._lock:
            closed, self._closed = self._closed, True
            if not closed and self._thread is None:
                self._release()
            elif not closed:
                os.eventfd_write(self._wake, 1)

    def _release(self) -> None:
        self._epoll.close()
        os.close(self._wake)

    # -- the watching thread --------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._closed or self._by_fd:
            for fd, _ in self._epoll.poll():
                if fd == self._wake:
                    os.eventfd_read(fd)
                else:
                    self._end(fd)
        self._release()

    def _end(self, fd: int) -> None:
        with self._lock:
            process = self._by_fd.pop(fd, None)
        if process is None:
            return
        self._epoll.unregister(fd)
        returncode = None if process.popen is None else process.popen.wait()
        with self._lock:
            del self._processes[process.id]
            status = verdict(returncode, process.stopping, self._host)
            if process.popen is not None:
                elapsed = timedelta(seconds=time.monotonic() - process.begun)
                status = replace(status, elapsed=elapsed)
            self._ended[process.id] = status
        os.close(fd)
        if self._sink is not None:
            self._sink(process.id, status)


def survival(pids: Sequence[int]) -> LauncherError:
    """The error for processes that a stop could not end."""
    return LauncherError(f"processes survive SIGKILL: {', '.join(map(str, pids))}")


def require_pidfd() -> None:
    """:raises UnsupportedError: this system cannot tell of the end of a process by an event"""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError) as error:
        raise UnsupportedError(
            "launching processes needs Linux 5.3 or newer (pidfd_open)"
        ) from error


def verdict(returncode: int | None, stopping: bool, host: str) -> Status:
    """What an end means.

    :param returncode: None if nobody can know
    :param stopping: it was asked to end
    """
    source = Source.PROCESS
    if stopping:
        return Status(State.CANCELLED, returncode, Cause.STOPPED, source=source, host=host)
    if returncode is None:
        reason = "its exit code went to the process that started it"
        return Status(State.LOST, None, Cause.UNSEEN, reason, source, host=host)
    if returncode == 0:
        return Status(State.COMPLETED, 0, source=source, host=host)
    if returncode < 0:
        reason = f"killed by {signal_name(-returncode)}"
        return Status(State.FAILED, returncode, Cause.SIGNAL, reason, source, host=host)
    reason = f"exit code {returncode}"
    return Status(State.FAILED, returncode, Cause.EXIT_CODE, reason, source, host=host)


def signal_name(number: int) -> str:
    """``SIGKILL`` for 9; real-time signals have no name and get their number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def write_files(command: Command) -> None:
    """Write what a command needs, each whole or not at all, its mode set before its content."""
    for file in command.files:
        file.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = file.path.with_name(f".{file.path.name}.{os.getpid()}")
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            os.fchmod(handle, file.mode)
            stream.write(file.text)
        partial.replace(file.path)


def ensure_directory(path: Path) -> None:
    """Create a directory and its parents.

    :raises LauncherError: it cannot be created; names the part that is in the way
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LauncherError(f"cannot create {path}: {error.strerror}") from error
