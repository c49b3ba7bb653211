"""What programs that run others on nodes have in common: their children, signals, and words.

Such a program is run as ``python -I -S`` with a path, and starts quickly.
"""

# Nothing that takes long to import: no pathlib, subprocess, dataclasses.
# ruff: noqa: PTH110, PTH123, PTH208

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
from collections.abc import Callable

SIDECAR_FAILED = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127

# By which programs are asked to end.
ENDING = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM})
FORWARDED = ENDING | {signal.SIGUSR1, signal.SIGUSR2}
# Fewer than who reads the end of an application's errors is shown: what went wrong stands before.
_TAIL_LINES = 8
_TAIL_BYTES = 3072
_PR_SET_PDEATHSIG = 1  # prctl(2)


class Failure(Exception):
    """The application is not started.

    :param code: what to exit with
    """

    def __init__(self, message: str, code: int = SIDECAR_FAILED) -> None:
        super().__init__(message)
        self.code = code


class Interrupted(Exception):
    """A signal came before the application was started."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Signals:
    """Turns signals, the ends of children among them, into something that can be waited for."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(write, False)
        self._poll = select.poll()
        self._poll.register(self._read, select.POLLIN)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _noted)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        for number in FORWARDED:
            # What was ignored when we were started stays ignored (nohup), for the children as well.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _noted)

    def also(self, descriptor: int) -> None:
        """Let :meth:`wait` return when this one can be read, too, or its other end was closed."""
        self._poll.register(descriptor, select.POLLIN)

    def no_longer(self, descriptor: int) -> None:
        """Forget what :meth:`also` was told."""
        self._poll.unregister(descriptor)

    def wait(self, seconds: float | None) -> list[int]:
        """Return the signals that came, at once if there are any; none after ``seconds``."""
        try:
            self._poll.poll(None if seconds is None else max(0.0, seconds) * 1000)
            return list(os.read(self._read, 512))
        except BlockingIOError:
            return []


def _noted(number: int, frame: object) -> None:
    # The wakeup descriptor tells; without a handler nothing is written to it.
    return None


def spawn(argv: list[str], env: dict[str, str], prepare: Callable[[], None]) -> int:
    """Start a process; return its id once it has become the program.

    :param prepare: called in the child; not ``subprocess``, which has no place for it but in a slow
        way, and takes long to import
    :raises OSError: the program cannot be run; ``filename`` is what was in the way
    """
    libc = ctypes.CDLL(None)
    parent = os.getpid()
    read, write = os.pipe()
    everything = set(signal.Signals)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, everything)
    pid = os.fork()
    if pid == 0:
        try:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)  # it died before the line above
            _default_signals()
            prepare()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.execvpe(argv[0], argv, env)
        except OSError as error:
            os.write(write, f"{error.errno or 0} {error.filename or argv[0]}".encode())
        finally:
            os._exit(NOT_FOUND)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        # Nothing, at the moment of a successful exec, which closes the other end.
        number, _, name = pipe.read().decode(errors="replace").partition(" ")
    if number:
        os.waitpid(pid, 0)
        raise OSError(int(number), os.strerror(int(number)), name)
    return pid


def _default_signals() -> None:
    # Python ignores the first two; exec resets handlers by itself, but not what is ignored.
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, *FORWARDED):
        if number in {signal.SIGPIPE, signal.SIGXFSZ} or signal.getsignal(number) is _noted:
            signal.signal(number, signal.SIG_DFL)


def usable(cpus: set[int]) -> set[int]:
    """Those of these cores that a child may be pinned to, though this process may be bound to
    others: only the kernel knows (sched_setaffinity(2), "cpusets").
    """
    own = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cpus)
        return os.sched_getaffinity(0)
    except OSError:
        return set()
    finally:
        os.sched_setaffinity(0, own)


def detach(cwd: str, log: str, cpus: set[int]) -> None:
    """In a child: a session, files and cores of its own; what it writes is for its owner only."""
    os.setsid()
    os.umask(0o077)
    os.chdir(cwd)
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    if cpus:
        os.sched_setaffinity(0, cpus)
    # What the application inherits (the pipes of its MPI, a lock) is not for a sidecar.
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and os.path.exists(f"/proc/self/fd/{name}"):
            os.set_inheritable(int(name), False)


def returncode(status: int) -> int:
    """As ``subprocess`` has it: the exit code, or minus the number of the signal."""
    return os.waitstatus_to_exitcode(status)


def describe(code: int) -> str:
    """What became of a process, for people."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def say(message: str) -> None:
    """Tell people, where the application's errors go."""
    sys.stderr.write(f"smartcore: {message}\n")
    sys.stderr.flush()


def tail(path: str) -> str:
    """The end of a log, indented; "" if there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
    except OSError:
        return ""
    return "".join(f"\n    {line}" for line in lines)


def end_as(code: int) -> int:
    """Die by the signal that the application died by, or return its exit code."""
    if code >= 0:
        return code
    import resource

    # The application has left its core, if any; ours would overwrite it.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if -code not in {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(-code, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
    os.kill(os.getpid(), -code)
    return 128 - code  # not reached but for a signal that does not kill
