"""How drivers end, and what becomes of what they started."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from drivers import driver, proc_with, shell

from smartcore import Experiment
from smartcore.entity import Ensemble
from smartcore.spec import State


def test_the_end_of_a_with_block_stops_everything_also_after_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="mine"),
        Experiment("exp", str(tmp_path), launcher="local") as exp,
    ):
        db = exp.create_database()
        model = shell(exp, "m", "sleep 1000")
        exp.start(db, model, block=False)
        raise RuntimeError("mine")
    assert exp.statuses()["m"].state is State.CANCELLED
    assert proc_with(str(tmp_path)) == []


def test_a_stopped_ensemble_has_no_survivors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTCORE_STOP_GRACE", "0.5")
    exp = Experiment("exp", str(tmp_path), launcher="local")
    run = exp.create_run_settings("sh", ["-c", "trap '' TERM; sleep 1000 & wait; sleep 1000"])
    ensemble: Ensemble = exp.create_ensemble("e", run_settings=run, replicas=4)
    exp.start(ensemble, block=False)
    exp.stop(ensemble)
    assert {status.state for status in exp.statuses(ensemble).values()} == {State.CANCELLED}


CALLED_AT_THE_END = """
import time
from smartcore import Experiment
exp = Experiment("exp", launcher="local")
exp.on_end(lambda name, status: (time.sleep(0.2), print(name, status.returncode, flush=True)))
exp.start(exp.create_model("m", exp.create_run_settings("true")))
"""


def test_a_callback_is_not_lost_when_the_driver_ends_at_once(tmp_path: Path) -> None:
    with driver(CALLED_AT_THE_END, tmp_path) as process:
        shown, _ = process.communicate(timeout=30)
    assert shown.splitlines() == ["m 0"]


def test_a_driver_in_a_pipe_returns_with_its_last_line(tmp_path: Path) -> None:
    # Nothing that is left running holds the driver's output open.
    text = """
from smartcore import Experiment
exp = Experiment("exp", launcher="local")
exp.start(exp.create_model("m", exp.create_run_settings("sleep", "1000")), block=False)
print(exp.statuses()["m"].state.value)
print(exp.summary("tsv"))
"""
    with driver(text, tmp_path) as process:
        shown, _ = process.communicate(timeout=20)
    job = next(line for line in shown.splitlines() if "\tm" in line).split("\t")[3].strip()
    os.killpg(int(job.split(".")[0]), signal.SIGKILL)
    assert shown.startswith("Running\n")


def test_what_could_not_be_started_before_the_driver_ended_is_said(tmp_path: Path) -> None:
    text = """
from smartcore import Experiment
exp = Experiment("exp", launcher="local", max_running=1)
run = exp.create_run_settings("sleep", "1000")
exp.start(exp.create_ensemble("e", run_settings=run, replicas=3), block=False)
"""
    with driver(text, tmp_path) as process:
        shown, _ = process.communicate(timeout=30)
    going = re.search(r"go on: e_0 \((\d+)\.\d+\); to end them: smartcore stop (\S+)", shown)
    assert going, shown
    os.killpg(int(going[1]), signal.SIGKILL)
    assert Path(going[2]) == tmp_path / "exp"
    assert "could be started, and they never will be: e_1, e_2" in shown
