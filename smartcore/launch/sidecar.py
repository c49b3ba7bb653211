"""Runs an application with its sidecars: they serve before it starts, and end with it.

A program, not a part of the package: it is run as ``python -I -S sidecar.py SPEC PROGRAM
[ARGUMENT...]``, on whatever node, and imports little: it costs an application about three starts
of a bare python. SPEC is a JSON file that :mod:`smartcore.launch.beside` writes.

It exits with the application's code, or dies by the signal that the application died by. Signals
that it gets (HUP, INT, QUIT, TERM, USR1, USR2) it passes on. If a sidecar does not come to serve,
or is not as it was asked to be, it says why on standard error, the application is not started, and
the exit code is 125; 126 and 127 mean, as in shells, that the application cannot be run or is not
there.

If it is killed itself, the kernel kills its children (PR_SET_PDEATHSIG of prctl(2)): all sidecars
and the application, but not processes that these have started.
"""

# Nothing that takes long to import: no pathlib, subprocess, dataclasses.
# ruff: noqa: PTH100, PTH103, PTH108, PTH120, PTH123

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterable

if __package__ is None:
    # Run as a program: without any path to what is installed, its own included.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from smartcore.launch.asking import Ready, ask
from smartcore.launch.child import (
    ENDING,
    FORWARDED,
    NOT_EXECUTABLE,
    NOT_FOUND,
    SIDECAR_FAILED,
    Failure,
    Interrupted,
    Signals,
    describe,
    detach,
    end_as,
    returncode,
    say,
    spawn,
    tail,
    usable,
)
from smartcore.launch.notes import Notes

VERSION = 2
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05
_KILL_DEADLINE = 5.0
_MOST_WORDS = 65536


class Inspection:
    """What to ask a sidecar that serves, and who judges the answer."""

    __slots__ = ("about", "judge", "question")

    def __init__(self, question: dict[str, object], judge: list[str], about: str) -> None:
        self.question = Ready(**question)  # type: ignore[arg-type]  # as that of a sidecar
        self.judge, self.about = judge, about


class Sidecar:
    """One process to start before the application, and what is known of it."""

    __slots__ = (
        "argv",
        "cpus",
        "cwd",
        "env",
        "facts",
        "inspection",
        "log",
        "name",
        "pid",
        "ready",
        "status",
    )

    def __init__(
        self,
        name: str,
        argv: list[str],
        env: dict[str, str],
        cwd: str,
        log: str,
        cpus: list[int],
        ready: dict[str, object],
        facts: dict[str, str],
        inspection: dict[str, object] | None = None,
    ) -> None:
        self.name, self.argv, self.env, self.cwd = name, argv, env, cwd
        self.log, self.cpus, self.facts = log, cpus, facts
        self.ready = Ready(**ready)  # type: ignore[arg-type]  # our own file, version checked
        self.inspection = Inspection(**inspection) if inspection else None  # type: ignore[arg-type]
        self.pid = 0
        self.status: int | None = None

    @property
    def alive(self) -> bool:
        """True from its start until its end was seen."""
        return self.pid > 0 and self.status is None


def load(path: str) -> tuple[list[Sidecar], float, str]:
    """Read what to start, how many seconds it has between TERM and KILL, and where it is noted."""
    with open(path, encoding="utf-8") as file:
        spec = json.load(file)
    if spec["version"] != VERSION:
        raise Failure(f"{path} has version {spec['version']}, and {VERSION} is what is understood")
    sidecars = [Sidecar(**item) for item in spec["sidecars"]]
    return sidecars, float(spec["grace"]), str(spec["notes"])


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


class Supervisor:
    """Starts sidecars and application, and sees to their ends.

    :param notes: where to tell of the sidecars; None for nowhere
    """

    def __init__(
        self, sidecars: list[Sidecar], grace: float, signals: Signals, notes: Notes | None = None
    ) -> None:
        self.sidecars = sidecars
        self.grace = grace
        self._signals = signals
        self._notes = notes or Notes("", "")
        self._told = False

    def start_sidecars(self) -> None:
        """Start all, and return when all serve.

        :raises Failure: one does not, or not as it was asked to
        :raises Interrupted: we are to end
        """
        for sidecar in self.sidecars:
            check_free(sidecar)
            self._start(sidecar)
        for sidecar in self.sidecars:
            self._answer(sidecar, sidecar.ready)
            if sidecar.inspection is not None:
                self._inspect(sidecar, sidecar.inspection)
            ready = sidecar.ready
            self._notes.serves(sidecar.name, ready.host, ready.port, ready.socket, sidecar.facts)

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

    def _answer(self, sidecar: Sidecar, question: Ready) -> bytes:
        end = time.monotonic() + question.timeout
        pause = _FIRST_PAUSE
        while (answer := ask(question)) is None:
            self._pause(pause)
            self._check_alive(sidecar)
            if time.monotonic() > end:
                raise Failure(
                    f"{sidecar.name} did not serve at {question} within"
                    f" {question.timeout:g} s{_shown(sidecar)}"
                )
            pause = min(2 * pause, _LONGEST_PAUSE)
        return answer

    def _check_alive(self, sidecar: Sidecar) -> None:
        self._reap()
        if not sidecar.alive:
            became = describe(sidecar.status or 0)
            raise Failure(f"{sidecar.name} {became} before it served{_shown(sidecar)}")

    def _inspect(self, sidecar: Sidecar, inspection: Inspection) -> None:
        answer = self._answer(sidecar, inspection.question)
        asked, said = os.memfd_create("asked"), os.memfd_create("said")
        os.write(asked, inspection.about.encode() + b"\n" + answer)
        os.lseek(asked, 0, os.SEEK_SET)
        try:
            code = self._judge(inspection, asked, said)
            words = os.pread(said, _MOST_WORDS, 0).decode(errors="replace").strip()
        finally:
            os.close(asked)
            os.close(said)
        if code:
            why = words or f"whether {sidecar.name} is as it should be cannot be told"
            raise Failure(f"{why}{_shown(sidecar)}")
        if words:
            say(words)
        self._check_alive(sidecar)  # its signal may have come meanwhile

    def _judge(self, inspection: Inspection, asked: int, said: int) -> int:
        def prepare() -> None:
            for source, target in ((asked, 0), (said, 1), (said, 2)):
                os.dup2(source, target)

        try:
            pid = spawn(inspection.judge, dict(os.environ), prepare)
        except OSError as error:
            raise Failure(f"{error.filename}: {error.strerror}") from None
        end = time.monotonic() + inspection.question.timeout
        try:
            while not _has_ended(pid) and time.monotonic() < end:
                self._pause(end - time.monotonic())
        finally:
            os.kill(pid, signal.SIGKILL)  # still ours, if only as a zombie
            status = os.waitpid(pid, 0)[1]
        return returncode(status)

    def _pause(self, seconds: float) -> None:
        for number in self._signals.wait(seconds):
            if number in FORWARDED:
                raise Interrupted(number)

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
                self.heed(self._signals.wait(0.0))  # that by which both ended, perhaps
                if not self._told:
                    self.watch("before the application ended")
                return returncode(status)
            self.watch()
            came = self._signals.wait(None)
            self.heed(came)
            for number in came:
                if number in FORWARDED:
                    _kill_group(pid, number)

    def watch(self, when: str = "and the application goes on without it") -> None:
        """Say which have ended meanwhile."""
        for sidecar in self._reap():
            became, shown = describe(sidecar.status or 0), _shown(sidecar)
            say(f"{sidecar.name} {became}, {when}{shown}")
            status, told = sidecar.status or 0, self._told
            self._notes.died(sidecar.name, became, status, sidecar.log, told=told)

    def heed(self, signals: Iterable[int]) -> None:
        """Note that signals came: who asked for our end may have asked for the sidecars', too."""
        self._told = self._told or any(number in ENDING for number in signals)

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
        self._notes.remove()


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
        sidecars, grace, directory = load(arguments[0])
    except (OSError, ValueError, KeyError, TypeError, Failure) as error:
        say(f"cannot use {arguments[0]}: {error}")
        return SIDECAR_FAILED
    notes = Notes(directory, os.uname().nodename)
    return end_as(supervise(Supervisor(sidecars, grace, signals, notes), arguments[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
