"""Processes of this host: spawned in sessions of their own, their ends met as events."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from smartcore.error import LauncherError, UnsupportedError
from smartcore.launch import proc
from smartcore.log import get_logger
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

log = get_logger(__name__)

# How long a killed process may take to vanish; only one stuck in the kernel takes longer.
KILL_DEADLINE = 5.0


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
            popen = _spawn(step, {**inherited, **step.command.env}, null)
        except (OSError, ValueError) as error:
            return Started(error=_explain(step, error))
        try:
            pidfd = os.pidfd_open(popen.pid)
        except OSError as error:
            popen.kill()
            popen.wait()
            return Started(error=f"{error.strerror}: raise `ulimit -n` or lower max_running")
        born = proc.birth(popen.pid) or 0
        process = _Process(_id(popen.pid, born), popen.pid, born, pidfd, popen)
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
        if known or _alive(job):
            return Status(State.RUNNING, source=Source.PROCESS, host=self._host)
        return ABSENT

    def attach(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        """Follow processes that another process started; their exit codes cannot be had."""
        for job in ids:
            with self._lock:
                known = job in self._processes or job in self._ended
            if not known and (process := self._open(job)) is not None:
                self._follow(process)
        return self.status(ids)

    def watch(self, sink: EventSink, /) -> None:
        """Tell ``sink`` of every end."""
        self._sink = sink

    def stop(self, ids: Collection[JobId], /) -> None:
        """TERM to each process group, KILL to what is left of its session after the grace period.

        :raises LauncherError: naming the processes that survived
        """
        targets = [process for job in ids if (process := self._target(job)) is not None]
        try:
            for process in targets:
                _signal_group(process, signal.SIGTERM)
            left = _wait_for(targets, self.grace.total_seconds())
            for pidfd in left.values():
                _send(pidfd, signal.SIGKILL)
            _close(left.values())
            left = _wait_for(targets, KILL_DEADLINE, signal.SIGKILL) if left else {}
            _close(left.values())
        finally:
            _close(process.pidfd for process in targets)
        if left:
            raise LauncherError(f"processes survive SIGKILL: {', '.join(map(str, sorted(left)))}")

    def _target(self, job: JobId) -> _Process | None:
        # A view with a descriptor of its own: the watching thread closes the other at the end.
        with self._lock:
            known = self._processes.get(job)
            if known is not None:
                known.stopping = not (known.popen is not None and _exited(known.pidfd))
                return _Process(job, known.pid, known.born, os.dup(known.pidfd), known.popen)
        return self._open(job)

    def _open(self, job: JobId) -> _Process | None:
        pid, born = _parse(job)
        try:
            pidfd = os.pidfd_open(pid)
        except (ProcessLookupError, ValueError, OSError):
            return None
        # The descriptor now holds the process: if the start time agrees, it is the right one.
        if proc.start_time(pid) != born:
            os.close(pidfd)
            return None
        return _Process(job, pid, born, pidfd)

    def close(self) -> None:
        """Let the watching thread end with the last process; what runs goes on."""
        self._closed = True
        os.eventfd_write(self._wake, 1)

    # -- the watching thread --------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._closed or self._by_fd:
            for fd, _ in self._epoll.poll():
                if fd == self._wake:
                    os.eventfd_read(fd)
                else:
                    self._end(fd)

    def _end(self, fd: int) -> None:
        with self._lock:
            process = self._by_fd.pop(fd, None)
        if process is None:
            return
        self._epoll.unregister(fd)
        returncode = None if process.popen is None else process.popen.wait()
        with self._lock:
            del self._processes[process.id]
            status = _verdict(returncode, process.stopping, self._host)
            if process.popen is not None:
                elapsed = timedelta(seconds=time.monotonic() - process.begun)
                status = replace(status, elapsed=elapsed)
            self._ended[process.id] = status
        os.close(fd)
        if self._sink is not None:
            self._sink(process.id, status)


def require_pidfd() -> None:
    """:raises UnsupportedError: this system cannot tell of the end of a process by an event"""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError) as error:
        raise UnsupportedError(
            "launching processes needs Linux 5.3 or newer (pidfd_open)"
        ) from error


def _verdict(returncode: int | None, stopping: bool, host: str) -> Status:
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


def _spawn(step: Step, env: Mapping[str, str], null: int) -> subprocess.Popen[bytes]:
    import subprocess

    if step.command.files:
        write_files(step.command)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    opened: list[int] = []
    try:
        opened.append(os.open(step.stdout, flags, 0o666))
        opened.append(os.open(step.stderr, flags, 0o666))
        stdin = null
        if step.command.stdin is not None:
            stdin = os.open(step.command.stdin, os.O_RDONLY | os.O_CLOEXEC)
            opened.append(stdin)
        return subprocess.Popen(
            step.command.argv,
            stdin=stdin,
            stdout=opened[0],
            stderr=opened[1],
            cwd=step.cwd,
            env=env,
            start_new_session=True,
        )
    finally:
        _close(opened)


def _explain(step: Step, error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or step.command.argv[0]}: {error.strerror}"
    return f"{step.command.argv[0]}: {error}"


def _id(pid: int, born: int) -> JobId:
    return JobId(f"{pid}.{born}")


def _parse(job: JobId) -> tuple[int, int]:
    pid, _, born = job.partition(".")
    return (int(pid), int(born)) if pid.isdigit() and born.isdigit() else (-1, -1)


def _alive(job: JobId) -> bool:
    pid, born = _parse(job)
    return pid > 0 and proc.start_time(pid) == born


def _exited(pidfd: int) -> bool:
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    try:
        return os.waitid(os.P_PIDFD, pidfd, flags) is not None
    except ChildProcessError:
        return True


def _send(pidfd: int, number: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError) as error:
        log.debug("signal %d was not delivered: %s", number, error)


def _signal_group(process: _Process, number: int) -> None:
    # The group's number cannot be taken by others while the leader or a member is there. When the
    # leader is gone, a group of that number with another leader would be somebody else's.
    if proc.birth(process.pid) in {process.born, None}:
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError) as error:
            log.debug("group %d: %s", process.pid, error)


def _wait_for(
    processes: Sequence[_Process], seconds: float, number: int | None = None
) -> dict[int, int]:
    """Wait until these and all of their sessions have gone.

    Returns ``pid -> pidfd`` of what is left, which the caller closes. With ``number`` newly found
    members of a session get that signal at once: they may fork faster than we look.
    """
    deadline = time.monotonic() + seconds
    leaders = {process.pid: os.dup(process.pidfd) for process in processes}
    waiting = dict(leaders)
    while True:
        waiting = _poll_gone(waiting, deadline)
        if waiting:
            return waiting
        # All that were known have gone; somebody may have been forked meanwhile.
        born = {process.pid: process.born for process in processes}
        for pid, session in proc.session_members(born):
            if proc.birth(session) not in {born[session], None}:
                continue  # the number has a new owner
            try:
                waiting[pid] = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            if number is not None:
                _send(waiting[pid], number)
        if not waiting:
            return {}


def _poll_gone(waiting: dict[int, int], deadline: float) -> dict[int, int]:
    poller = select.poll()
    owner = {}
    for pid, fd in waiting.items():
        poller.register(fd, select.POLLIN)
        owner[fd] = pid
    while owner:
        left = max(0.0, deadline - time.monotonic())
        ready = poller.poll(left * 1000)
        if not ready:
            break
        for fd, _ in ready:
            poller.unregister(fd)
            os.close(fd)
            del owner[fd]
    return {pid: fd for fd, pid in owner.items()}


def _close(descriptors: Iterable[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def ensure_directory(path: Path) -> None:
    """Create a directory and its parents.

    :raises LauncherError: it cannot be created; names the part that is in the way
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LauncherError(f"cannot create {path}: {error.strerror}") from error
