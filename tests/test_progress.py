from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import textwrap
import time
from io import StringIO
from pathlib import Path

import pytest

from smartcore.error import InputError
from smartcore.progress import Counts, make_progress, running_line

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
TIMEOUT = 30

SHOW = """
    from smartcore.progress import Counts, make_progress
    progress = make_progress({mode!r}, 10)
    if progress is not None:
        with progress:
            print("printed meanwhile")
            progress.update(Counts(4, 2, 3, 1), ["sweep_3", "sweep_[bold]4"])
    print("end of driver")
"""


def script(text: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(text)]


def environment(**further: str) -> dict[str, str]:
    unwanted = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**kept, "TERM": "xterm-256color", **further}


def on_a_terminal(command: list[str], **further: str) -> tuple[str, int]:
    """What a program writes to a real terminal of 80 columns, and its exit code."""
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 120))
    process = subprocess.Popen(
        command,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment(**further),
        start_new_session=True,
    )
    os.close(terminal)
    output, deadline = b"", time.monotonic() + TIMEOUT
    try:
        while select.select([controller], [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                chunk = os.read(controller, 65536)
            except OSError:  # EIO: the last program on the terminal has closed it
                break
            if not chunk:
                break
            output += chunk
        return output.decode(), process.wait(TIMEOUT)
    finally:
        os.close(controller)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def in_a_pipe(command: list[str], **further: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment(**further),
        timeout=TIMEOUT,
        check=True,
    )


def test_a_terminal_shows_counts_and_what_runs() -> None:
    output, code = on_a_terminal(script(SHOW.format(mode="auto")))
    assert code == 0
    for text in ("4/10", "queued 4", "running 2", "done 3", "failed 1", "0:00:0"):
        assert text in output
    assert "running: sweep_3, sweep_[bold]4" in output


def test_what_the_driver_prints_meanwhile_is_on_a_line_of_its_own() -> None:
    output, _ = on_a_terminal(script(SHOW.format(mode="auto")))
    assert "printed meanwhile\r\n" in output


def test_the_cursor_is_given_back_at_the_end() -> None:
    output, _ = on_a_terminal(script(SHOW.format(mode="auto")))
    assert output.rindex(SHOW_CURSOR) > output.rindex(HIDE_CURSOR)
    assert output.endswith("end of driver\r\n")


def test_the_cursor_is_given_back_after_an_error() -> None:
    text = """
        from smartcore.progress import make_progress
        with make_progress("auto", 1):
            raise KeyboardInterrupt
    """
    output, code = on_a_terminal(script(text))
    assert code != 0
    assert output.rindex(SHOW_CURSOR) > output.rindex(HIDE_CURSOR)


def test_the_state_is_drawn_while_it_lasts_not_only_at_the_end() -> None:
    # The driver ends only after it has been seen to draw what it said last.
    text = """
        import sys
        from smartcore.progress import Counts, make_progress
        with make_progress("auto", 7, sys.stderr) as progress:
            progress.update(Counts(5, 1, 1), ["first"])
            sys.stdin.readline()
    """
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 120))
    process = subprocess.Popen(
        script(text), stdin=subprocess.PIPE, stderr=terminal, env=environment()
    )
    os.close(terminal)
    try:
        output, deadline = b"", time.monotonic() + TIMEOUT
        while b"queued 5" not in output and time.monotonic() < deadline:
            if select.select([controller], [], [], TIMEOUT)[0]:
                output += os.read(controller, 65536)
        assert b"queued 5" in output
        assert process.poll() is None
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(TIMEOUT)
        os.close(controller)


def test_it_works_in_another_thread_than_the_main_one() -> None:
    text = """
        import threading
        from smartcore.progress import Counts, make_progress
        def work():
            with make_progress("auto", 2) as progress:
                progress.update(Counts(completed=2), [])
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    """
    output, code = on_a_terminal(script(text))
    assert code == 0
    assert "2/2" in output


def test_a_pipe_gets_nothing_of_it_and_rich_is_not_even_imported() -> None:
    text = SHOW.format(mode="auto") + "    import sys; print('rich' in sys.modules)\n"
    completed = in_a_pipe(script(text))
    assert completed.stdout == "end of driver\nFalse\n"
    assert completed.stderr == ""


def test_only_the_terminal_of_a_driver_whose_output_is_piped_shows_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["sh", "-c", 'exec "$@" > "$0"', str(out), *script(SHOW.format(mode="auto"))]
    output, _ = on_a_terminal(command)
    assert "done 3" in output
    assert out.read_text() == "printed meanwhile\nend of driver\n"


def test_always_shows_it_in_a_pipe() -> None:
    completed = in_a_pipe(script(SHOW.format(mode="always")))
    assert "done 3" in completed.stderr
    assert completed.stdout == "printed meanwhile\nend of driver\n"


def test_never_shows_nothing_on_a_terminal() -> None:
    output, _ = on_a_terminal(script(SHOW.format(mode="never")))
    assert output == "end of driver\r\n"


def test_a_terminal_that_cannot_redraw_shows_nothing() -> None:
    output, _ = on_a_terminal(script(SHOW.format(mode="auto")), TERM="dumb")
    assert output == "end of driver\r\n"


def test_an_unknown_mode_is_an_error_that_lists_them() -> None:
    with pytest.raises(InputError, match=r"'sometimes'.*auto, always, never"):
        make_progress("sometimes", 1)


def test_a_closed_stream_shows_nothing() -> None:
    stream = StringIO()
    stream.close()
    assert make_progress("auto", 1, stream) is None


def test_long_lists_of_what_runs_are_cut() -> None:
    assert running_line(["a", "b"], 2) == "running: a, b"
    assert running_line([str(n) for n in range(9)], 9) == "running: 0, 1, 2, 3, 4, 5 and 3 more"


def test_a_failure_and_a_cancelled_model_have_ended() -> None:
    assert Counts(queued=1, running=2, completed=3, failed=4, cancelled=5).ended == 12


def test_an_update_is_cheap() -> None:
    progress = make_progress("always", 1, StringIO())
    assert progress is not None
    names = [f"model_{number}" for number in range(10_000)]
    began = time.perf_counter()
    for _ in range(10_000):
        progress.update(Counts(running=1), names)
    assert time.perf_counter() - began < 1.0
