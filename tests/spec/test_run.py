from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from smartcore.error import ShellError
from smartcore.launch.proc import start_time
from smartcore.spec import run_command

SHORT = timedelta(seconds=0.3)
LONG = timedelta(seconds=20)


@pytest.mark.parametrize("tail", ["wait", "exit 0"])
def test_a_command_that_does_not_end_goes_with_its_children(tmp_path: Path, tail: str) -> None:
    """F07: also if it has ended itself and left a child that holds its output open."""
    pid = tmp_path / "pid"
    with pytest.raises(ShellError, match=r"did not answer within 0.3 s"):
        run_command(["sh", "-c", f"sleep 1000 & echo $! >{pid}; {tail}"], timeout=SHORT)
    deadline = time.monotonic() + 5
    while start_time(int(pid.read_text())) is not None:
        assert time.monotonic() < deadline


def test_much_on_both_outputs_is_no_deadlock() -> None:
    """F37."""
    program = "head -c 5000000 /dev/zero >&2; head -c 5000000 /dev/zero"
    completed = run_command(["sh", "-c", program], timeout=LONG)
    assert (len(completed.stdout), len(completed.stderr)) == (5_000_000, 5_000_000)


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    completed = run_command(["printf", r"a\377b"], timeout=LONG)
    assert completed.stdout == "a\ufffdb"


def test_a_code_is_no_error_and_a_missing_program_is() -> None:
    assert run_command(["sh", "-c", "exit 3"], timeout=LONG).returncode == 3
    with pytest.raises(ShellError, match="cannot run no-such-program"):
        run_command(["no-such-program"], timeout=LONG)


def test_standard_input_is_the_text() -> None:
    assert run_command(["cat"], timeout=LONG, stdin="a\nü").stdout == "a\nü"
