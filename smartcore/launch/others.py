"""The tasks of a node besides its first: they wait for its sidecars, and are waited for.

They run a shell script, of :mod:`smartcore.launch.beside`, and are met at named pipes.
"""

# Used by a program that must start quickly: nothing that takes long to import.
# ruff: noqa: PTH103, PTH108, PTH120

from __future__ import annotations

import contextlib
import os
import stat

from smartcore.launch.child import Failure, Signals
from smartcore.launch.filling import write_file

_GO = b"g"
_NO = b"n"


def shell_lines(env: dict[str, str]) -> str:
    """What a shell reads to give its program these variables, whatever they are called."""
    exports, words = "", ""
    for name, value in env.items():
        quoted = "'" + value.replace("'", "'\\''") + "'"
        if name.isidentifier() and name.isascii():
            exports += f"export {name}={quoted}\n"
        else:
            words += f" '{name}='{quoted}"
    return exports + (f'set -- /usr/bin/env{words} "$@"\n' if words else "")


class Others:
    """The tasks of this node besides the first: they wait for its sidecars, and are waited for.

    :param place: begins the paths of what they share
    :param count: how many there are
    """

    def __init__(self, place: str, count: int, signals: Signals) -> None:
        self._place, self._missing, self._signals = place, count, signals
        self._running: list[int] = []
        self._rest = b""
        _own_directory(os.path.dirname(place))
        # Both ends: who opens one finds the other open, for as long as this process lives.
        self._go = _pipe(f"{place}.go")
        self._come = _pipe(f"{place}.come")
        os.set_blocking(self._come, False)
        signals.also(self._come)

    @property
    def missing(self) -> bool:
        """True if some have not come yet."""
        return self._missing > 0

    @property
    def some(self) -> bool:
        """True if some run, or may come yet."""
        return self.missing or bool(self._running)

    def let_go(self, env: dict[str, str]) -> None:
        """Let them run their programs with these variables."""
        write_file(f"{self._place}.env", shell_lines(env))
        os.write(self._go, _GO * self._missing)

    def refuse(self) -> None:
        """Let them end without having run anything."""
        os.write(self._go, _NO * self._missing)

    def look(self) -> None:
        """See who has come, and who has ended."""
        with contextlib.suppress(BlockingIOError):
            lines = (self._rest + os.read(self._come, 65536)).split(b"\n")
            self._rest = lines.pop()
            for line in lines:
                self._missing -= 1
                with contextlib.suppress(ProcessLookupError):
                    pidfd = os.pidfd_open(int(line))
                    self._running.append(pidfd)
                    self._signals.also(pidfd)
        for pidfd in [pidfd for pidfd in self._running if exited(pidfd)]:
            self._running.remove(pidfd)
            self._signals.no_longer(pidfd)
            os.close(pidfd)
        if not self.missing:
            self.remove()

    def remove(self) -> None:
        """Remove the files that they needed to come."""
        for end in ("go", "come", "env"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._place}.{end}")


def _own_directory(path: str) -> None:
    os.makedirs(path, mode=0o700, exist_ok=True)
    facts = os.lstat(path)
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o077 or not stat.S_ISDIR(facts.st_mode):
        raise Failure(
            f"{path} on {os.uname().nodename} is somebody else's, or open to others; set"
            " SMARTCORE_RUNTIME_DIR to another directory"
        )


def _pipe(path: str) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path, 0o600)
    descriptor = os.open(path, os.O_RDWR)
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Failure(f"{path} is in the way; remove it")
    return descriptor


def exited(pidfd: int) -> bool:
    """True if a process has ended, or the other end of a pipe was closed, or has said something."""
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
