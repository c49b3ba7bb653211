"""Ctrl-C, pressed by a real signal to a real driver."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from smartcore import Experiment
from smartcore.launch import proc
from smartcore.launch.interrupts import Interrupts

Drives = Callable[..., subprocess.Popen[str]]

# A member writes its process id when it is ready.
READY = "echo $$ > pid.part; mv pid.part pid"


def wait_for(path: Path, seconds: float = 30) -> int:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.005)
    return int(path.read_text())


def read_until(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    pytest.fail(f"the driver ended and never said {words!r}")


STARTED = """
from smartcore import Experiment
exp = Experiment("exp", launcher="local")
earlier = exp.create_model("earlier", exp.create_run_settings("sleep", "1000"))
exp.start(earlier, block=False)
run = exp.create_run_settings("sh", ["-c", "{ready}; sleep 1000"])
try:
    exp.start(exp.create_ensemble("e", run_settings=run, replicas=3), kill_on_interrupt={kill})
except KeyboardInterrupt:
    print("interrupted", [s.value for s in exp.get_status(earlier)])
    exp.stop(earlier)
"""


@pytest.mark.parametrize("kill", [True, False])
def test_ctrl_c_stops_what_this_start_launched_unless_told_not_to(
    tmp_path: Path, drive: Drives, kill: bool
) -> None:
    process = drive(STARTED.format(ready=READY, kill=kill))
    pids = [wait_for(tmp_path / "exp" / "e" / f"e_{index}" / "pid") for index in range(3)]
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=30)
    assert process.returncode == 0, shown
    assert "interrupted ['Running']" in shown
    assert [pid for pid in pids if proc.start_time(pid) is not None] == ([] if kill else pids)


STUBBORN = """
from smartcore import Experiment
exp = Experiment("exp", launcher="local")
script = "trap '' TERM INT; {ready}; sleep 1000 & wait; sleep 1000"
model = exp.create_model("m", exp.create_run_settings("sh", ["-c", script]))
{call}
"""
CALLS = {
    "start": "exp.start(model)",
    "poll": "exp.start(model, block=False); exp.poll(interval=1)",
}


@pytest.mark.parametrize("call", CALLS)
def test_a_second_ctrl_c_kills_at_once(tmp_path: Path, drive: Drives, call: str) -> None:
    # Its grace period would take longer than this test may.
    text = STUBBORN.format(ready=READY, call=CALLS[call])
    process = drive(text, SMARTCORE_STOP_GRACE="600")
    pid = wait_for(tmp_path / "exp" / "m" / "pid")
    process.send_signal(signal.SIGINT)
    # A stop has begun when the process was sent what it ignores, and its engine waits.
    read_until(process, "stopping")
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=60)
    assert "killing at once" in shown
    assert "KeyboardInterrupt" in shown
    assert proc.start_time(pid) is None


def test_ctrl_c_at_the_end_of_a_with_block_does_not_leave_it_half_way(
    tmp_path: Path, drive: Drives
) -> None:
    text = """
    from pathlib import Path
    from smartcore import Experiment
    with Experiment("exp", launcher="local") as exp:
        script = "trap '' TERM INT; {ready}; sleep 1000 & wait; sleep 1000"
        model = exp.create_model("m", exp.create_run_settings("sh", ["-c", script]))
        exp.start(model, block=False)
        while not Path("exp/m/pid").exists():
            pass
    print(f"{{model.name}} {{exp.get_status(model)[0].value}}")
    """
    variables = {"SMARTCORE_STOP_GRACE": "600", "SMARTCORE_LOG_LEVEL": "debug"}
    process = drive(text.format(ready=READY), **variables)
    pid = wait_for(tmp_path / "exp" / "m" / "pid")
    read_until(process, "stopping m")
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=60)
    assert "m Cancelled" in shown
    assert proc.start_time(pid) is None


def test_ctrl_c_ends_a_driver_whose_start_blocks_in_a_thread(tmp_path: Path, drive: Drives) -> None:
    text = """
    import threading
    from smartcore import Experiment
    exp = Experiment("exp", launcher="local")
    earlier = exp.create_model("earlier", exp.create_run_settings("sleep", "1000"))
    exp.start(earlier, block=False)
    model = exp.create_model("m", exp.create_run_settings("sh", ["-c", "{ready}; sleep 1000"]))
    thread = threading.Thread(target=exp.start, args=(model,), daemon=True)
    thread.start()
    thread.join()
    """
    process = drive(text.format(ready=READY))
    pid = wait_for(tmp_path / "exp" / "m" / "pid")
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=60)
    assert "stopping 1" in shown
    assert "these go on: earlier" in shown
    assert proc.start_time(pid) is None


# -- handlers -----------------------------------------------------------------------------------


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """Signals that the user's own handler was called for."""
    numbers: list[int] = []

    def own(number: int, frame: FrameType | None) -> None:
        numbers.append(number)

    before = signal.signal(signal.SIGINT, own)
    yield numbers
    signal.signal(signal.SIGINT, before)


def test_a_users_handler_is_called_and_put_back(tmp_path: Path, heard: list[int]) -> None:
    own = signal.getsignal(signal.SIGINT)
    with Experiment("exp", str(tmp_path), launcher="local") as exp:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        model = exp.create_model("m", exp.create_run_settings("sleep", "0.5"))
        exp.start(model)
        assert exp.status(model).returncode == 0
    assert heard == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is own


@pytest.mark.parametrize("action", [signal.SIG_IGN, signal.SIG_DFL])
def test_a_program_that_leaves_ctrl_c_to_the_system_is_left_alone(
    heard: list[int], action: signal.Handlers
) -> None:
    signal.signal(signal.SIGINT, action)
    with Interrupts(pytest.fail):
        assert signal.getsignal(signal.SIGINT) is action
    assert signal.getsignal(signal.SIGINT) is action


def test_no_handler_is_set_off_the_main_thread() -> None:
    before = signal.getsignal(signal.SIGINT)
    inside = []

    def work() -> None:
        with Interrupts(pytest.fail) as interrupts:
            interrupts.stopping()
            inside.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [before]


def test_only_the_second_one_forces() -> None:
    forced = threading.Event()
    with Interrupts(forced.set):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert not forced.is_set()
        signal.raise_signal(signal.SIGINT)
        assert forced.wait(10)


def test_without_a_stop_every_ctrl_c_is_the_users() -> None:
    with Interrupts(pytest.fail, stops=False):
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)


def test_an_import_sets_no_handler(drive: Drives) -> None:
    process = drive(
        """
        import signal
        before = {number: signal.getsignal(number) for number in signal.valid_signals()}
        import smartcore, smartcore.session, smartcore.launch.keeping, smartcore.cli
        smartcore.Experiment
        print(before == {number: signal.getsignal(number) for number in signal.valid_signals()})
        """
    )
    shown, _ = process.communicate(timeout=30)
    assert re.fullmatch(r"True\n", shown), shown
