from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smartcore import Experiment
from smartcore.launch import journal, spawn
from smartcore.launch.link import Place, read_facts, wait_gone
from smartcore.launch.owner import describe_process, find_launch

if TYPE_CHECKING:
    from tests.conftest import Drives

DRIVER = """
import sys
from smartcore import Experiment
exp = Experiment("exp")
exp.start(exp.create_model("m", exp.create_run_settings("sleep", "1000")), block=False)
print("ready", flush=True)
sys.stdin.read()
"""


def pid_of(path: Path) -> int:
    (run,) = journal.read(path).runs
    return spawn.parse(run.job or "")[0]


def test_any_process_is_named_with_its_user_and_its_start(tmp_path: Path) -> None:
    told = describe_process(os.getpid())
    assert f"(pid {os.getpid()}, user " in told
    assert time.strftime("since %Y-") in told
    assert "experiment" not in told


def test_one_that_has_gone_is_its_number() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(60)
    assert describe_process(ended.pid) == f"pid {ended.pid}"
    assert find_launch(ended.pid) is None


def test_what_an_experiment_launched_is_named_with_it_and_its_driver(tmp_path: Path) -> None:
    with Experiment("exp", str(tmp_path)) as exp:
        model = exp.create_model("m", exp.create_run_settings("sleep", "1000"))
        exp.start(model, block=False)
        pid = pid_of(tmp_path)
        told = describe_process(pid)
        assert f"m of the experiment {tmp_path}, which process {os.getpid()} on" in told
        assert "smartcore stop" not in told


@pytest.mark.parametrize("keeper", ["lives", "has gone"])
def test_what_a_killed_driver_left_is_named_with_the_way_to_end_it(
    tmp_path: Path, drive: Drives, keeper: str
) -> None:
    driver = drive(DRIVER)
    assert driver.stdout is not None
    assert any(line.startswith("ready") for line in driver.stdout)
    driver.kill()
    driver.wait(60)
    path = tmp_path / "exp"
    pid = pid_of(path)
    if keeper == "has gone":
        facts = read_facts(Place(path, path))
        assert facts is not None
        os.kill(facts.pid, signal.SIGKILL)
        wait_gone(facts.identity)
    told = describe_process(pid)
    assert f"m of the experiment {path}, whose driver has gone; to end it: smartcore stop" in told
