"""Run a command of this host to its end, with a limit of time: the only way in which plugins ask
programs.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from smartcore.error import ShellError


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command left: its exit code and what it printed, decoded with replacement of what is
    not UTF-8.
    """

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


def run_command(
    argv: Sequence[str],
    /,
    *,
    timeout: timedelta,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run ``argv`` without a shell, in a session of its own; on expiry its whole group is killed.

    :param timeout: how long it may take
    :param stdin: text for its standard input
    :param env: its whole environment; None inherits ours
    :raises ShellError: it could not be started or did not end in time. A code other than 0 is
        no error here.
    """
    import subprocess

    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        raise ShellError(f"cannot run {argv[0]}: {error.strerror}", argv) from error
    # Leaving the block closes the pipes and waits for the command itself, but for nobody else: its
    # children may hold the pipes open when it has ended.
    with process:
        try:
            text = stdin.encode(errors="surrogateescape")
            out, err = process.communicate(text, timeout.total_seconds())
        except subprocess.TimeoutExpired:
            _kill_group(process.pid)
            seconds = timeout.total_seconds()
            raise ShellError(f"{argv[0]} did not answer within {seconds:g} s", argv) from None
        except BaseException:
            _kill_group(process.pid)
            raise
    return Completed(
        tuple(argv), process.returncode, out.decode(errors="replace"), err.decode(errors="replace")
    )


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
