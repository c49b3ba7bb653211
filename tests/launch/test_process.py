from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from smartcore.error import LauncherError
from smartcore.launch import proc
from smartcore.launch.process import ensure_directory, verdict, write_files
from smartcore.spec import Cause, Command, File, State


def test_files_with_secrets_are_never_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "secret.conf"
    write_files(Command(("true",), files=(File(path, "a\nb"),)))
    assert path.read_text() == "a\nb"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    assert [entry.name for entry in path.parent.iterdir()] == ["secret.conf"]


def test_a_process_is_named_by_its_birth_and_a_zombie_is_not_alive() -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert proc.start_time(child.pid) is None
        assert proc.birth(child.pid) is not None
    assert proc.birth(child.pid) is None
    assert proc.start_time(os.getpid()) == proc.birth(os.getpid())


@pytest.mark.parametrize(
    ("returncode", "state", "cause", "words"),
    [
        (0, State.COMPLETED, None, ""),
        (3, State.FAILED, Cause.EXIT_CODE, "exit code 3"),
        (-signal.SIGSEGV, State.FAILED, Cause.SIGNAL, "killed by SIGSEGV"),
        (-64, State.FAILED, Cause.SIGNAL, "killed by SIGRTMAX"),
        (-40, State.FAILED, Cause.SIGNAL, "killed by signal 40"),
        (None, State.LOST, Cause.UNSEEN, "nobody who could take its exit code saw it end"),
    ],
)
def test_an_end_is_told_as_what_it_was(
    returncode: int | None, state: State, cause: Cause | None, words: str
) -> None:
    status = verdict(returncode, stopping=False, host="here")
    assert (status.state, status.returncode, status.cause) == (state, returncode, cause)
    assert (status.reason, status.host) == (words, "here")


@pytest.mark.parametrize("returncode", [0, 3, -9, None])
def test_what_was_stopped_is_cancelled_however_it_left(returncode: int | None) -> None:
    status = verdict(returncode, stopping=True, host="here")
    assert (status.state, status.cause) == (State.CANCELLED, Cause.STOPPED)
    assert status.returncode == returncode


def test_what_is_in_the_way_of_a_directory_is_named(tmp_path: Path) -> None:
    ensure_directory(tmp_path / "a" / "b")
    ensure_directory(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    with pytest.raises(LauncherError, match=f"cannot create {tmp_path}/file/b"):
        ensure_directory(tmp_path / "file" / "b")
