"""How a database ends: it is told in its own language, and only then by a signal."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from smartcore import Experiment
from smartcore.spec import Credentials, Server, ShardAddress, ShardPlan, State
from smartcore.spec.addresses import free_ports
from smartcore.testing.running import wait_until
from smartcore_redis.backend import RedisBackend


@pytest.fixture
def exp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Experiment]:
    monkeypatch.setenv("SMARTCORE_STOP_GRACE", "0.5")
    with Experiment("stop", str(tmp_path), launcher="local") as made:
        yield made


@pytest.mark.parametrize("shards", [1, 3])
def test_a_stopped_database_ends_by_itself_and_reads_cancelled(
    shards: int, exp: Experiment
) -> None:
    database = exp.create_database(db_nodes=shards)
    exp.start(database)
    exp.stop(database)
    for index in range(shards):
        status = exp.statuses()[f"orchestrator_{index}"]
        assert (status.state, status.returncode) == (State.CANCELLED, 0)
        said = Path(database.path, f"orchestrator_{index}.out").read_text()
        assert "SIGTERM" not in said
        assert "User requested shutdown" in said


def test_one_that_does_not_answer_is_ended_by_signals(exp: Experiment) -> None:
    database = exp.create_database()
    exp.start(database)
    assert database.live is not None
    (job,) = database.live.jobs.values()
    os.kill(int(job.partition(".")[0]), signal.SIGSTOP)
    exp.stop(database)
    status = exp.statuses()["orchestrator_0"]
    assert (status.state, status.returncode) == (State.CANCELLED, -signal.SIGKILL)


def test_a_strangers_server_that_would_obey_anybody_is_told_nothing(
    redis_of_this_host: Server, tmp_path: Path
) -> None:
    (port,) = free_ports(["127.0.0.1"], 1)
    argv = [redis_of_this_host.executable, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    address = ShardAddress("127.0.0.1", port)
    ours = ShardPlan("db_0", tmp_path, address, (address,), 0, Credentials("smartcore", "secret"))
    log = tmp_path / "log"
    with log.open("w") as out, subprocess.Popen(argv, cwd=tmp_path, stdout=out) as stranger:
        try:
            wait_until(lambda: "Ready to accept" in log.read_text(), "a server that is ready")
            assert not RedisBackend().end([ours], timedelta(seconds=5))
            assert stranger.poll() is None
        finally:
            stranger.kill()
