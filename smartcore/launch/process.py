"""What a process needs before it starts, and what its end means."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from smartcore.error import LauncherError, UnsupportedError
from smartcore.spec import Cause, Command, Source, State, Status


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
        reason = "nobody who could take its exit code saw it end"
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
