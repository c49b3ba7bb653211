"""Runs an application with its sidecars: they serve before it starts, and end with it.

A program, not a part of the package: it is run as ``python -I -S sidecar.py SPEC PROGRAM
[ARGUMENT...]``, on whatever node, and imports little: it costs an application about three starts
of a bare python. SPEC is a JSON file that :mod:`smartcore.launch.colocation` writes.

It exits with the application's code, or dies by the signal that the application died by. Signals
that it gets (HUP, INT, QUIT, TERM, USR1, USR2) it passes on. If a sidecar does not come to serve,
it says why on standard error, the application is not started, and the exit code is 125; 126 and
127 mean, as in shells, that the application cannot be run or is not there.

If it is killed itself, the kernel kills its children (PR_SET_PDEATHSIG of prctl(2)): all sidecars
and the application, but not processes that these have started.
"""

# Nothing that takes long to import: no pathlib, subprocess, dataclasses.
# ruff: noqa: PTH103, PTH108, PTH110, PTH120, PTH123, PTH208

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterable

VERSION = 1
SIDECAR_FAILED = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127

FORWARDED = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
    }
)
_TAIL_LINES = 10
_TAIL_BYTES = 4096
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05
_ASK_TIMEOUT = 1.0
_KILL_DEADLINE = 5.0
_LISTEN = "0A"  # TCP_LISTEN of the kernel's tcp_states.h
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


class Ready:
    """How to see that a sidecar serves."""

    __slots__ = (
        "authority",
        "ends",
        "expect",
        "holds",
        "host",
        "port",
        "send",
        "socket",
        "timeout",
    )

    def __init__(
        self,
        host: str,
        port: int,
        socket: str,
        send: str,
        expect: str,
        timeout: float,
        holds: Iterable[str] = (),
        ends: str = "",
        authority: str = "",
    ) -> None:
        self.host, self.port, self.socket, self.timeout = host, port, socket, timeout
        self.authority = authority
        # Bytes travel through JSON as Latin-1.
        self.send, self.expect = send.encode("latin-1"), expect.encode("latin-1")
        self.holds, self.ends = [text.encode("latin-1") for text in holds], ends.encode("latin-1")

    def __str__(self) -> str:
        return self.socket or f"{self.host}:{self.port}"


class Sidecar:
    """One process to start before the application, and what is known of it."""

    __slots__ = ("argv", "cpus", "cwd", "env", "log", "name", "pid", "ready", "status")

    def __init__(
        self,
        name: str,
        argv: list[str],
        env: dict[str, str],
        cwd: str,
        log: str,
        cpus: list[int],
        ready: dict[str, object],
    ) -> None:
        self.name, self.argv, self.env, self.cwd = name, argv, env, cwd
        self.log, self.cpus = log, cpus
        self.ready = Ready(**ready)  # type: ignore[arg-type]  # our own file, version checked
        self.pid = 0
        self.status: int | None = None

    @property
    def alive(self) -> bool:
        """True from its start until its end was seen."""
        return self.pid > 0 and self.status is None


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


def load(path: str) -> tuple[list[Sidecar], float]:
    """Read what to start, and how many seconds it has between TERM and KILL."""
    with open(path, encoding="utf-8") as file:
        spec = json.load(file)
    if spec["version"] != VERSION:
        raise Failure(f"{path} has version {spec['version']}, and {VERSION} is what is understood")
    return [Sidecar(**item) for item in spec["sidecars"]], float(spec["grace"])


# -- processes ------------------------------------------------------------------------------------


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


# -- readiness ------------------------------------------------------------------------------------


def check_free(sidecar: Sidecar) -> None:
    """Never talk to, or remove, what somebody else has put in the sidecar's place.

    :raises Failure: somebody listens there, or a file is in the way
    """
    ready = sidecar.ready
    if ready.port:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ready.host, ready.port))
            except OSError as error:
                raise Failure(
                    f"{sidecar.name} cannot listen at {ready}: {error.strerror}"
                ) from None
        return
    try:
        os.makedirs(os.path.dirname(ready.socket), mode=0o700, exist_ok=True)
    except OSError as error:
        raise Failure(
            f"{sidecar.name}: cannot make {error.filename} on {os.uname().nodename}:"
            f" {error.strerror}; set SMARTCORE_RUNTIME_DIR to a directory that can be made there"
        ) from None
    try:
        kind = os.lstat(ready.socket).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise Failure(f"{sidecar.name} cannot listen at {ready}: a file is there and no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(ready.socket) == 0:
            raise Failure(f"{sidecar.name} cannot listen at {ready}: somebody listens there")


def serves(ready: Ready) -> bool:
    """Ask once."""
    return ask(ready) is not None


def ask(ready: Ready) -> bytes | None:
    """Ask once; return the answer, None if it is not the one that is expected."""
    try:
        if ready.port:
            connection = socket.create_connection((ready.host, ready.port), _ASK_TIMEOUT)
        else:
            connection = socket.socket(socket.AF_UNIX)
        with connection:
            connection.settimeout(_ASK_TIMEOUT)
            if not ready.port:
                connection.connect(ready.socket)
            if not ready.authority:
                ours = _is_ours(ready)
                return _answer(ready, connection) if ours else None
            with secure(connection, ready.authority) as encrypted:
                return _answer(ready, encrypted)
    except OSError:
        return None


def _is_ours(ready: Ready) -> bool:
    """False if somebody else listens there: passwords are not for him. See proc_pid_net(5)."""
    if not ready.port:
        return True
    try:
        (host,) = struct.unpack("=I", socket.inet_aton(ready.host))
        wanted = {f"{host:08X}:{ready.port:04X}", f"{0:08X}:{ready.port:04X}"}
        with open("/proc/net/tcp", encoding="ascii") as table:
            for line in table:
                fields = line.split(None, 8)
                if fields[3] == _LISTEN and fields[1] in wanted:
                    return int(fields[7]) == os.geteuid()
    except (OSError, IndexError, ValueError):
        return True  # no address, or no such table here
    return True


def _answer(ready: Ready, connection: socket.socket) -> bytes | None:
    connection.sendall(ready.send)
    answer = b""
    while len(answer) < len(ready.expect) or not answer.endswith(ready.ends):
        chunk = connection.recv(4096)
        answer += chunk
        if not chunk or not answer.startswith(ready.expect[: len(answer)]):
            return None
    return answer if all(part in answer for part in ready.holds) else None


def secure(connection: socket.socket, authority: str) -> socket.socket:
    """Speak TLS from here on.

    :param authority: who must have signed the certificate that the other side shows, as PEM, and
        has signed no other: so its address is not looked at
    :raises OSError: it shows another one, or does not speak TLS
    """
    import ssl

    context = ssl.create_default_context(cadata=authority)
    context.check_hostname = False
    return context.wrap_socket(connection)


# -- the supervisor -------------------------------------------------------------------------------


class Supervisor:
    """Starts sidecars and application, and sees to their ends."""

    def __init__(self, sidecars: list[Sidecar], grace: float, signals: Signals) -> None:
        self.sidecars = sidecars
        self.grace = grace
        self._signals = signals

    def start_sidecars(self) -> None:
        """Start all, and return when all serve.

        :raises Failure: one does not
        :raises Interrupted: we are to end
        """
        for sidecar in self.sidecars:
            check_free(sidecar)
            self._start(sidecar)
        for sidecar in self.sidecars:
            self._await(sidecar)

    def _start(self, sidecar: Sidecar) -> None:
        cpus = usable(set(sidecar.cpus))
        if sidecar.cpus and not cpus:
            names = ", ".join(map(str, sidecar.cpus))
            say(f"{sidecar.name} is not pinned: this process may not use the cores {names}")
        try:
            sidecar.pid = spawn(
                sidecar.argv,
                {**os.environ, **sidecar.env},
                lambda: detach(sidecar.cwd, sidecar.log, cpus),
            )
        except OSError as error:
            raise Failure(f"{sidecar.name}: {error.filename}: {error.strerror}") from None

    def _await(self, sidecar: Sidecar) -> None:
        end = time.monotonic() + sidecar.ready.timeout
        pause = _FIRST_PAUSE
        while not serves(sidecar.ready):
            came = self._signals.wait(pause)
            stop = next((number for number in came if number in FORWARDED), None)
            if stop is not None:
                raise Interrupted(stop)
            self._reap()
            if not sidecar.alive:
                became = describe(sidecar.status or 0)
                raise Failure(f"{sidecar.name} {became} before it served{_shown(sidecar)}")
            if time.monotonic() > end:
                raise Failure(
                    f"{sidecar.name} did not serve at {sidecar.ready} within"
                    f" {sidecar.ready.timeout:g} s{_shown(sidecar)}"
                )
            pause = min(2 * pause, _LONGEST_PAUSE)

    def run(self, argv: list[str]) -> int:
        """Run the application to its end.

        :returns: as :func:`returncode`
        :raises Failure: it cannot be run
        """
        try:
            # A process group of its own: what is sent to ours reaches it once, from us.
            pid = spawn(argv, dict(os.environ), lambda: os.setpgid(0, 0))
        except OSError as error:
            missing = error.errno == errno.ENOENT
            code = NOT_FOUND if missing else NOT_EXECUTABLE
            raise Failure(f"{error.filename}: {error.strerror}", code) from None
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return returncode(status)
            for number in self._signals.wait(None):
                if number in FORWARDED:
                    _kill_group(pid, number)
            self.watch()

    def watch(self) -> None:
        """Say which have ended meanwhile."""
        for sidecar in self._reap():
            say(
                f"{sidecar.name} {describe(sidecar.status or 0)}, and the application goes on"
                f" without it{_shown(sidecar)}"
            )

    def _reap(self) -> list[Sidecar]:
        ended = []
        for sidecar in self.sidecars:
            if sidecar.alive and _has_ended(sidecar.pid):
                # While it is a zombie its number is not used again: what it left dies with it.
                _kill_group(sidecar.pid, signal.SIGKILL)
                sidecar.status = returncode(os.waitpid(sidecar.pid, 0)[1])
                ended.append(sidecar)
        return ended

    def end_sidecars(self) -> None:
        """TERM, and KILL after the grace period; return when they have gone, with their sockets."""
        for number, seconds in ((signal.SIGTERM, self.grace), (signal.SIGKILL, _KILL_DEADLINE)):
            for sidecar in self.sidecars:
                if sidecar.alive:
                    _kill_group(sidecar.pid, number)
            end = time.monotonic() + seconds
            self._reap()
            while any(sidecar.alive for sidecar in self.sidecars) and time.monotonic() < end:
                self._signals.wait(end - time.monotonic())
                self._reap()
        _remove(sidecar.ready.socket for sidecar in self.sidecars if sidecar.pid)


def _shown(sidecar: Sidecar) -> str:
    lines = tail(sidecar.log)
    return f"; {sidecar.log} ends with:{lines}" if lines else f"; {sidecar.log} is empty"


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return  # it has gone meanwhile, or became somebody else's (setuid)


def _remove(sockets: Iterable[str]) -> None:
    for path in sockets:
        if path:
            try:
                os.unlink(path)
            except OSError:
                continue  # the server removed it, as it should


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


def supervise(supervisor: Supervisor, argv: list[str]) -> int:
    """Run an application with its sidecars, to the end of all.

    :returns: as :func:`returncode`
    """
    try:
        supervisor.start_sidecars()
        code = supervisor.run(argv)
    except Failure as failure:
        say(str(failure))
        code = failure.code
    except Interrupted as interrupted:
        code = -interrupted.number
    finally:
        supervisor.end_sidecars()
    return code


def main(arguments: list[str]) -> int:
    """Run; return the exit code."""
    if len(arguments) < 2:
        say("usage: sidecar.py SPEC PROGRAM [ARGUMENT...]")
        return SIDECAR_FAILED
    signals = Signals()
    try:
        sidecars, grace = load(arguments[0])
    except (OSError, ValueError, KeyError, TypeError, Failure) as error:
        say(f"cannot use {arguments[0]}: {error}")
        return SIDECAR_FAILED
    return end_as(supervise(Supervisor(sidecars, grace, signals), arguments[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
