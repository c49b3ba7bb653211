"""What of a database's data survives what, with writers running."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import redis

from smartcore import Experiment
from smartcore.database import Orchestrator
from smartcore.entity import Model
from smartcore.registry import default_registry
from smartcore.spec import ShardStatistics, State
from smartcore.testing.running import wait_until

PATIENCE = 60.0
GIB = 2**30
WRITER = Path(__file__).parent / "writer.py"


@pytest.fixture
def exp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Experiment]:
    monkeypatch.setenv("SMARTCORE_STOP_GRACE", "1")
    monkeypatch.setenv("SMARTCORE_DB_ANSWER_TIMEOUT", "3")
    path = tmp_path / "exp"
    path.mkdir()
    with Experiment("exp", str(path)) as made:
        yield made


class Writer:
    """A model that writes; what it was told is in its output."""

    def __init__(self, exp: Experiment, size: int = 1) -> None:
        self.model: Model = exp.create_model(
            "writer", exp.create_run_settings(sys.executable, [str(WRITER), str(size)])
        )
        exp.start(self.model, block=False)

    def _lines(self, kind: str) -> list[str]:
        text = (Path(self.model.path) / "writer.out").read_text()
        return [line for line in text.splitlines() if line.startswith(kind)]

    @property
    def acknowledged(self) -> int:
        """How many writes were acknowledged: keys 0 to this, exclusive."""
        return len(self._lines("ok"))

    @property
    def refusals(self) -> list[str]:
        """What it was told instead."""
        return self._lines("no")

    def more(self, count: int = 100) -> None:
        """Wait until that many more writes were acknowledged."""
        goal = self.acknowledged + count
        wait_until(lambda: self.acknowledged >= goal)

    def refused(self, words: str) -> None:
        """Wait until it is refused so."""
        wait_until(lambda: any(words in line for line in self.refusals))


def pid_of(exp: Experiment, shard: str) -> int:
    table = exp.summary("plain").splitlines()
    (line,) = [line for line in table if f" {shard} " in line and " Running" in line]
    found = re.search(r"\b(\d+)\.\d+\b", line)
    assert found is not None
    return int(found[1])


def kill(exp: Experiment, shard: str) -> None:
    os.kill(pid_of(exp, shard), signal.SIGKILL)
    exp.wait(shard, timeout=PATIENCE)


def clients(database: Orchestrator) -> list[redis.Redis]:
    assert database.live is not None
    auth = json.loads(database.live.auth_file.read_text())
    return [redis.Redis(port=port, socket_timeout=PATIENCE, **auth) for port in database.ports]


def keys(database: Orchestrator) -> set[int]:
    return {int(key[3:]) for client in clients(database) for key in client.keys("key*")}


def statistics(database: Orchestrator) -> list[ShardStatistics]:
    assert database.live is not None
    backend = default_registry().database(database.backend)
    return list(backend.statistics(database.live.shards, timedelta(seconds=PATIENCE)))


def checkpoint(database: Orchestrator, index: int) -> Path:
    return Path(database.path) / f"{database.name}_{index}.rdb"


def next_checkpoint(path: Path) -> None:
    """Wait until a checkpoint is complete that was begun after this call."""
    for _ in range(2):
        before = path.stat().st_mtime_ns if path.exists() else 0
        wait_until(lambda: path.exists() and path.stat().st_mtime_ns != before)  # noqa: B023


# -- a shard is killed


@pytest.mark.parametrize("shards", [1, 3])
def test_what_was_acknowledged_before_a_checkpoint_survives_kill_9_and_writers_go_on(
    exp: Experiment, shards: int, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database(db_nodes=shards)
    database.enable_checkpoints(1)
    exp.start(database)
    addresses = database.get_address()
    writer = Writer(exp)
    writer.more()
    promised = writer.acknowledged
    next_checkpoint(checkpoint(database, 0))
    kill(exp, f"{database.name}_0")
    (told,) = [text for text in caplog.messages if text.startswith("orchestrator_0 failed")]
    assert f"its data are kept in {checkpoint(database, 0)}" in told
    assert "Experiment.restart('orchestrator') brings it back" in told
    exp.restart(database)
    assert database.get_address() == addresses
    assert set(range(promised)) <= keys(database)
    assert any("orchestrator_0 serves again" in text for text in caplog.messages)
    writer.more()
    assert exp.status("writer").state is State.RUNNING


def test_without_checkpoints_all_is_lost_and_that_is_said(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database()
    exp.start(database)
    writer = Writer(exp)
    writer.more()
    kill(exp, "orchestrator_0")
    lost = "all its data are lost, as no checkpoint of them was written; enable_checkpoints"
    (told,) = [text for text in caplog.messages if text.startswith("orchestrator_0 failed")]
    assert lost in told
    written = writer.acknowledged
    exp.restart(database)
    (told,) = [text for text in caplog.messages if "serves again" in text]
    assert lost in told
    writer.more()
    assert not set(range(written)) & keys(database)


def test_a_database_that_is_whole_loses_nothing_by_a_restart(exp: Experiment) -> None:
    database = exp.create_database()
    exp.start(database)
    writer = Writer(exp)
    writer.more()
    exp.restart(database)
    writer.more()
    exp.stop("writer")
    assert keys(database) >= set(range(writer.acknowledged))


# -- a cluster lacks a shard


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSTOP"])
def test_a_cluster_without_a_shard_refuses_all_and_the_others_lose_nothing(
    exp: Experiment, how: str
) -> None:
    database = exp.create_database(db_nodes=3)
    database.enable_checkpoints(1)
    database.set_db_conf("cluster-node-timeout", "1000")
    exp.start(database)
    writer = Writer(exp)
    writer.more(300)
    promised = writer.acknowledged
    next_checkpoint(checkpoint(database, 1))
    os.kill(pid_of(exp, "orchestrator_1"), getattr(signal, how))
    others = [clients(database)[index] for index in (0, 2)]
    wait_until(lambda: all(_down(client) for client in others))
    refused = len(writer.refusals)
    wait_until(lambda: len(writer.refusals) > refused)
    assert not database.is_active()
    acknowledged = {key for client in others for key in client.keys("key*")}
    exp.restart(database)
    wait_until(database.is_active)
    assert {key for client in others for key in client.keys("key*")} >= acknowledged
    assert set(range(promised)) <= keys(database)
    writer.more()


def _down(client: redis.Redis) -> bool:
    return bool(client.cluster("INFO")["cluster_state"] == "fail")


# -- the memory is full


def test_a_full_memory_refuses_writers_in_clear_words_and_keeps_what_was_acknowledged(
    exp: Experiment,
) -> None:
    database = exp.create_database()
    database.set_max_memory("20mb")
    database.set_eviction_strategy("noeviction")
    exp.start(database)
    writer = Writer(exp, 100_000)
    writer.refused("command not allowed when used memory > 'maxmemory'")
    exp.stop("writer")
    assert writer.acknowledged > 50
    assert keys(database) >= set(range(writer.acknowledged))


def test_a_full_memory_with_an_eviction_strategy_takes_all_and_stays_in_its_limit(
    exp: Experiment,
) -> None:
    database = exp.create_database()
    database.set_max_memory("20mb")
    database.set_eviction_strategy("allkeys-lru")
    exp.start(database)
    writer = Writer(exp, 100_000)
    writer.more(600)
    exp.stop("writer")
    assert not writer.refusals
    (found,) = statistics(database)
    assert found.evicted > 300
    assert found.memory < 22 * 2**20
    assert writer.acknowledged - 1 in keys(database)


# -- the disk is full


class Disk:
    """The disk of a database, of which the room can be taken and given back."""

    def __init__(self, path: Path, ballast: Path | None) -> None:
        self.path = path
        self.ballast = ballast

    def fill(self, server: int) -> None:
        if self.ballast is None:
            # Without a disk of our own: no file of the server grows beyond that.
            resource.prlimit(server, resource.RLIMIT_FSIZE, (2**17, resource.RLIM_INFINITY))
            return
        with self.ballast.open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 512):
                    pass
            except OSError:
                return

    def free(self) -> None:
        if self.ballast is not None:
            self.ballast.unlink()


@pytest.fixture(params=["tmpfs", "limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "small"
    path.mkdir()
    if request.param == "limit":
        yield Disk(path, None)
        return
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(path)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, timeout=PATIENCE).returncode != 0:
        pytest.skip("only root mounts a small disk")
    try:
        yield Disk(path, path / "ballast")
    finally:
        # Lazily: whatever still has a file open there must not keep the mount.
        subprocess.run(["umount", "--lazy", str(path)], timeout=PATIENCE, check=True)


def test_a_checkpoint_for_which_there_is_no_room_is_told_and_the_one_before_it_stays(
    disk: Disk, exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database(path=str(disk.path / "db"))
    database.enable_checkpoints(1)
    exp.start(database)
    (client,) = clients(database)
    client.set("before", "1")
    next_written = checkpoint(database, 0)
    wait_until(lambda: next_written.exists() and not statistics(database)[0].unsaved)
    whole = next_written.read_bytes()
    disk.fill(pid_of(exp, "orchestrator_0"))
    writer = Writer(exp, 50_000)
    writer.refused("MISCONF")
    (found,) = statistics(database)
    assert found.save_problem
    assert found.save_problem in exp.summary(databases=True)
    assert next_written.read_bytes() == whole
    exp.stop(database)
    (told,) = [text for text in caplog.messages if "could not write its checkpoint" in text]
    assert told.startswith("orchestrator_0")
    assert f"its data are kept in {next_written}" in told
    assert next_written.read_bytes() == whole
    disk.free()
    exp.restart(database)
    assert clients(database)[0].get("before") == b"1"
    writer.more(3)


# -- large values


def test_a_value_of_a_gibibyte_is_accepted_if_that_is_configured(exp: Experiment) -> None:
    if psutil.virtual_memory().available < 6 * GIB:
        pytest.skip("needs 6 GiB of free memory")
    database = exp.create_database()
    database.set_max_message_size(GIB)
    exp.start(database)
    (client,) = clients(database)
    assert client.set("large", bytes(GIB))
    assert client.strlen("large") == GIB


def test_a_value_beyond_the_limit_is_refused_in_clear_words(exp: Experiment) -> None:
    database = exp.create_database()
    database.set_max_message_size(2**20)
    exp.start(database)
    (client,) = clients(database)
    assert client.set("largest", bytes(2**20))
    with pytest.raises(redis.RedisError, match="invalid bulk length"):
        _send_only_the_size(client, 2**20 + 1)
    assert client.strlen("largest") == 2**20


def test_by_default_a_value_of_more_than_512_mb_is_refused(exp: Experiment) -> None:
    database = exp.create_database()
    exp.start(database)
    (client,) = clients(database)
    with pytest.raises(redis.RedisError, match="invalid bulk length"):
        _send_only_the_size(client, 512 * 2**20 + 1)


def _send_only_the_size(client: redis.Redis, size: int) -> None:
    # The server answers to the announcement; who sends the rest may see a reset before the answer.
    connection = client.connection_pool.get_connection()
    command = f"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${size}\r\n".encode()
    connection.send_packed_command([command])  # type: ignore[no-untyped-call]
    connection.read_response()
