"""Shards in an allocation that die, and are told of while what started them goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
from placing import arguments, kill_server

from smartcore import Experiment
from smartcore.launch.death import DIRECTORY
from smartcore.launch.journal import note_stopped, read
from smartcore.spec import State
from smartcore.testing.running import wait_until


def test_a_shard_that_died_is_told_of_while_its_run_command_goes_on(
    exp: Experiment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    os.mkfifo(tmp_path / "never")
    monkeypatch.setenv("ON_LINGERS", str(tmp_path / "never"))
    database = exp.create_database()
    heard: list[str] = []
    exp.on_end(lambda name, status: heard.append(f"{name} {status.state.value}"))
    exp.start(database)
    kill_server(database)
    exp.wait("orchestrator_0", timeout=60)
    status = exp.statuses()["orchestrator_0"]
    assert (status.state, status.returncode) == (State.FAILED, -signal.SIGKILL)
    assert "orchestrator_0 failed on 127.0.3.1: killed by SIGKILL; " in caplog.text
    assert "orchestrator_0 on 127.0.3.1 was killed by SIGKILL; " in caplog.text
    assert "Ready to accept connections" in caplog.text
    assert "Experiment.restart('orchestrator') brings it back" in caplog.text
    # What is left of it is ended, and that is not told.
    exp.restart(database)
    assert exp.statuses()["orchestrator_0"].state is State.RUNNING
    kill_server(database)
    exp.wait("orchestrator_0", timeout=60)
    exp.stop(database)
    left = [each for each in psutil.process_iter() if str(tmp_path) in " ".join(arguments(each))]
    assert not [each for each in left if "shard.py" in " ".join(arguments(each))]
    wait_until(lambda: len(heard) >= 2)
    assert heard == ["orchestrator_0 Failed"] * 2
    assert caplog.text.count("orchestrator_0 failed") == 2


def test_one_of_several_that_one_command_started_is_told_of_while_the_others_go_on(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database(db_nodes=3, single_cmd=True, run_args={"together": "no"})
    exp.start(database)
    node = database.hosts[0]
    kill_server(database)
    wait_until(lambda: f"orchestrator_0 on {node} was killed by SIGKILL; " in caplog.text)
    assert exp.statuses()["orchestrator"].state is State.RUNNING
    assert "orchestrator_0.out ends with:" in caplog.text
    kill_server(database, 1)
    kill_server(database, 2)
    exp.wait("orchestrator", timeout=60)
    assert exp.statuses()["orchestrator"].state is State.FAILED
    told = [record.message for record in caplog.records if record.levelname == "ERROR"]
    first = sorted(text.partition(";")[0] for text in told)
    assert first == [
        f"orchestrator_{i} on {database.hosts[i]} was killed by SIGKILL" for i in (0, 1, 2)
    ]


def test_one_of_several_that_was_told_to_end_is_told_of_unless_a_shell_noted_that_it_stops_them(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database(db_nodes=3, single_cmd=True, run_args={"together": "no"})
    exp.start(database)
    names = [f"orchestrator_{i} on {node}" for i, node in enumerate(database.hosts)]
    kill_server(database, 1, signal.SIGTERM)
    wait_until(lambda: f"{names[1]} ended with exit code 0; " in caplog.text)
    assert "Experiment.restart('orchestrator') brings it back" in caplog.text
    note_stopped(Path(exp.exp_path), read(Path(exp.exp_path)).runs)
    kill_server(database, 0, signal.SIGTERM)
    ended = Path(database.path) / DIRECTORY
    wait_until(lambda: len(list(ended.iterdir())) == 2)
    kill_server(database, 2)
    wait_until(lambda: f"{names[2]} was killed by SIGKILL; " in caplog.text)
    exp.wait("orchestrator", timeout=60)
    assert names[0] not in caplog.text
