"""Databases that are brought back, and those that are not."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from smartcore import Experiment
from smartcore.database import Orchestrator
from smartcore.error import (
    DatabaseError,
    EntityExistsError,
    InputError,
    InputTypeError,
)
from smartcore.launch import journal, spawn
from smartcore.spec import State

if TYPE_CHECKING:
    from tests.conftest import Drives

PATIENCE = 60.0
DRIVER = """
import json, sys
import redis
from smartcore import Experiment
exp = Experiment("exp")
database = exp.create_database(db_nodes={shards})
database.enable_checkpoints(1000)
exp.start(database)
auth = json.load(open(database.live.auth_file))
for port in database.ports:
    client = redis.Redis(port=port, **auth)
    client.save()
database.set_max_memory("100mb")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def exp(tmp_path: Path) -> Iterator[Experiment]:
    path = tmp_path / "exp"
    path.mkdir()
    with Experiment("exp", str(path)) as made:
        yield made


def client(database: Orchestrator, shard: int = 0) -> redis.Redis:
    assert database.live is not None
    auth = json.loads(database.live.auth_file.read_text())
    return redis.Redis(port=database.ports[shard], **auth)


def pid_of(experiment: Path, shard: str) -> int:
    runs = [run for run in journal.read(experiment).runs if run.name == shard]
    return spawn.parse(runs[-1].job or "")[0]


def kill(exp: Experiment, shard: str) -> None:
    os.kill(pid_of(Path(exp.exp_path), shard), signal.SIGKILL)
    exp.wait(shard, timeout=PATIENCE)


def left_behind(drive: Drives, tmp_path: Path, shards: int) -> Path:
    """An experiment whose driver was killed."""
    driver = drive(DRIVER.format(shards=shards))
    assert driver.stdout is not None
    said = []
    for line in driver.stdout:
        said.append(line)
        if line.startswith("ready"):
            break
    else:
        raise AssertionError(said)
    driver.kill()
    driver.wait(PATIENCE)
    return tmp_path / "exp"


def test_settings_and_passwords_and_the_output_of_each_life_stay(exp: Experiment) -> None:
    database = exp.create_database()
    exp.start(database)
    database.set_max_memory("100mb")
    database.enable_checkpoints(77)
    before = client(database)
    kill(exp, "orchestrator_0")
    exp.restart(database)
    assert before.config_get("maxmemory")["maxmemory"] == str(100 * 2**20)
    assert before.config_get("save")["save"] == "77 1"
    outputs = {path.name for path in Path(database.path).glob("*.out*")}
    assert outputs == {"orchestrator_0.out.0", "orchestrator_0.out"}
    assert exp.status(database).state is State.RUNNING


def test_a_shard_that_was_told_to_end_from_elsewhere_is_told_of(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database()
    exp.start(database)
    os.kill(pid_of(Path(exp.exp_path), "orchestrator_0"), signal.SIGTERM)
    exp.wait("orchestrator_0", timeout=PATIENCE)
    exp.restart(database)  # the end is told of by now
    (error,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert error.startswith("orchestrator_0 has ended, and nobody here asked it to, on ")
    assert "Received SIGTERM" in error
    assert "all its data are lost" in error


def test_shards_that_a_restart_ends_are_no_errors(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database()
    exp.start(database)
    exp.restart(database)
    exp.stop(database)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_an_orderly_end_keeps_all_data_and_that_is_said(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "smartcore")
    database = exp.create_database()
    database.enable_checkpoints(1000)
    exp.start(database)
    client(database).set("k", "v")
    exp.stop(database)
    exp.restart(database)
    assert "serves again" in caplog.messages[-1]
    assert caplog.messages[-1].endswith(" with 1 keys, all that it had")
    # Somebody else's polite signal has it write its data, too.
    os.kill(pid_of(Path(exp.exp_path), "orchestrator_0"), signal.SIGTERM)
    exp.wait("orchestrator_0", timeout=PATIENCE)
    exp.restart(database)  # the end is told of by now
    (error,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert "orchestrator_0: all its data are kept in" in error
    assert "lost" not in caplog.text


def test_a_stopped_database_comes_back_where_it_was(exp: Experiment) -> None:
    database = exp.create_database(db_nodes=3)
    database.enable_checkpoints(1000)
    exp.start(database)
    addresses = database.get_address()
    exp.stop(database)
    assert not database.is_active()
    assert exp.restart("orchestrator").get_address() == addresses


@pytest.mark.parametrize("shards", [1, 3])
def test_what_a_killed_driver_left_is_brought_back_after_an_attach(
    drive: Drives, tmp_path: Path, shards: int
) -> None:
    path = left_behind(drive, tmp_path, shards)
    with Experiment.attach(str(path)) as exp:
        kill(exp, "orchestrator_0")
        database = exp.restart("orchestrator")
        assert database.is_active()
        assert client(database).config_get("maxmemory")["maxmemory"] == str(100 * 2**20)
        model = exp.create_model("m", exp.create_run_settings("printenv", "SSDB"))
        exp.start(model)
        assert (path / "m" / "m.out").read_text().strip() == ",".join(database.get_address())
    assert not any(run.active for run in journal.read(path).runs)


def test_a_shard_that_died_with_its_driver_is_brought_back(
    drive: Drives, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = left_behind(drive, tmp_path, 3)
    os.kill(pid_of(path, "orchestrator_1"), signal.SIGKILL)
    with Experiment.attach(str(path)) as exp:
        exp.wait("orchestrator_1", timeout=PATIENCE)
        assert any("cannot be used" in text and "restart()" in text for text in caplog.messages)
        assert exp.restart("orchestrator").is_active()
        states = {name: status.state for name, status in exp.statuses().items()}
        assert set(states.values()) == {State.RUNNING}


def test_a_database_that_died_with_its_driver_is_brought_back(
    drive: Drives, tmp_path: Path
) -> None:
    path = left_behind(drive, tmp_path, 1)
    os.kill(pid_of(path, "orchestrator_0"), signal.SIGKILL)
    with Experiment.attach(str(path)) as exp:
        exp.wait("orchestrator_0", timeout=PATIENCE)
        assert exp.restart("orchestrator").is_active()


def test_shards_whose_driver_was_killed_before_it_heard_of_them_can_be_stopped_by_the_name(
    drive: Drives, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = left_behind(drive, tmp_path, 3)
    (path / "orchestrator" / "smartcore_db.json").unlink()  # it is written when all serve
    with Experiment.attach(str(path)) as exp:
        assert any("'orchestrator' cannot be used" in text for text in caplog.messages)
        exp.stop("orchestrator")
        assert {status.state for status in exp.statuses().values()} == {State.CANCELLED}


def test_a_database_that_ended_is_still_known_by_its_name(exp: Experiment) -> None:
    exp.start(exp.create_database())
    kill(exp, "orchestrator_0")
    exp.stop("orchestrator")
    assert exp.status("orchestrator").state is State.FAILED


def test_a_driver_that_is_run_again_is_told_to_take_up_what_lives(
    drive: Drives, tmp_path: Path
) -> None:
    path = left_behind(drive, tmp_path, 1)
    exp = Experiment("exp", str(path))
    with pytest.raises(EntityExistsError, match=r"Experiment\.attach"):
        exp.restart(exp.create_database())


def test_a_driver_killed_as_soon_as_shards_serve_leaves_a_database_that_can_be_used(
    drive: Drives, tmp_path: Path
) -> None:
    # The journal knows of it before it is started; its checkpoint is written when it serves.
    left_behind(drive, tmp_path, 1)
    path = tmp_path / "exp"
    lines = [
        json.loads(line)
        for file in (path / journal.DIRECTORY).glob("*.jsonl")
        for line in file.read_text().splitlines()
    ]
    order = [line["what"] for line in lines]
    assert order.index("database") < order.index("launch")


def test_a_model_is_not_restarted(exp: Experiment) -> None:
    model = exp.create_model("m", exp.create_run_settings("true"))
    with pytest.raises(InputTypeError, match=r"restart is for databases; start models again"):
        exp.restart(model)  # type: ignore[arg-type]


def test_what_was_never_started_is_not_restarted(exp: Experiment) -> None:
    with pytest.raises(DatabaseError, match="'orchestrator' was never started; start it"):
        exp.restart(exp.create_database())
    with pytest.raises(InputError, match="no database 'other' was started"):
        exp.restart("other")


def test_another_description_is_not_taken_for_the_same_database(exp: Experiment) -> None:
    exp.start(exp.create_database())
    kill(exp, "orchestrator_0")
    with pytest.raises(DatabaseError, match="with 1 shards, and 'orchestrator' is"):
        exp.restart(exp.create_database(db_nodes=3))


def test_a_database_of_another_experiment_is_restarted_from_there(
    exp: Experiment, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database()
    exp.start(database)
    (tmp_path / "other").mkdir()
    other = Experiment("other", str(tmp_path / "other"))
    followed = other.reconnect_orchestrator(database.checkpoint_file)
    with pytest.raises(DatabaseError, match="belongs to the experiment that started it"):
        other.restart(followed)
    assert database.is_active()
    # Who uses it is told what its owner does, and can take it up again.
    exp.restart(database)
    other.wait("orchestrator_0", timeout=PATIENCE)
    assert other.statuses()["orchestrator_0"].state is State.CANCELLED
    followed = other.reconnect_orchestrator(database.checkpoint_file)
    assert other.statuses()["orchestrator_0"].state is State.RUNNING
    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith("orchestrator_0 was told to end, not from here: ")
    assert f"reconnect_orchestrator('{database.checkpoint_file}') takes it up" in warning
    # What is followed still may be taken up anew.
    assert other.reconnect_orchestrator(database.checkpoint_file).is_active()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_who_took_the_port_is_named_and_left_alone(exp: Experiment, tmp_path: Path) -> None:
    database = exp.create_database()
    exp.start(database)
    (port,) = database.ports
    kill(exp, "orchestrator_0")
    theirs = Orchestrator(tmp_path / "theirs", port=port, db_identifier="theirs")
    (tmp_path / "second").mkdir()
    with Experiment("second", str(tmp_path / "second")) as second:
        second.start(theirs)
        client(theirs).set("theirs", "1")
        assert not database.is_active()
        with pytest.raises(DatabaseError, match="not the server started as orchestrator_0"):
            database.set_max_memory("1gb")
        with pytest.raises(DatabaseError) as told:
            exp.restart(database)
        assert f"orchestrator_0 cannot come back at 127.0.0.1:{port}" in str(told.value)
        assert f"theirs_0 of the experiment {tmp_path / 'second'}, which process" in str(told.value)
        with pytest.raises(DatabaseError, match="refuses our password"):
            exp.reconnect_orchestrator(database.checkpoint_file)
        exp.stop(database)
        assert client(theirs).get("theirs") == b"1"
        assert client(theirs).config_get("maxmemory")["maxmemory"] == "0"
    exp.restart(database)
    assert database.is_active()


def test_the_port_of_a_leftover_server_is_told_with_its_experiment_and_the_way_to_end_it(
    drive: Drives, tmp_path: Path, exp_elsewhere: Experiment
) -> None:
    path = left_behind(drive, tmp_path, 1)
    checkpoint = json.loads((path / "orchestrator" / "smartcore_db.json").read_text())
    port = checkpoint["shards"][0]["port"]
    with pytest.raises(DatabaseError) as told:
        exp_elsewhere.start(exp_elsewhere.create_database(port=port))
    words = str(told.value)
    assert f"orchestrator_0 of the experiment {path}, whose driver has gone" in words
    assert f"smartcore stop {path}, or smartcore gc" in words
    assert time.strftime("since %Y-") in words


@pytest.fixture
def exp_elsewhere(tmp_path: Path) -> Iterator[Experiment]:
    path = tmp_path / "elsewhere"
    path.mkdir()
    with Experiment("elsewhere", str(path)) as made:
        yield made


def test_damaged_data_are_told_in_one_line_and_stay(exp: Experiment) -> None:
    database = exp.create_database()
    exp.start(database)
    client(database).set("key", "value")
    client(database).save()
    kill(exp, "orchestrator_0")
    data = Path(database.path) / "orchestrator_0.rdb"
    damaged = data.read_bytes()[:-12]
    data.write_bytes(damaged)
    with pytest.raises(DatabaseError) as told:
        exp.restart(database)
    first = str(told.value).splitlines()[0]
    assert first.startswith(f"orchestrator_0 did not start: it cannot read its data: {data}")
    assert "move that file away to begin without it" in first
    assert data.read_bytes() == damaged
    data.unlink()
    exp.restart(database)
    assert client(database).dbsize() == 0


def test_a_start_says_which_data_it_finds(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database()
    database.enable_checkpoints(1000)
    exp.start(database)
    client(database).set("key", "value")
    exp.stop(database)
    again = exp.create_database()
    exp.start(again)
    assert client(again).get("key") == b"value"
    (told,) = [text for text in caplog.messages if "begins with the data in" in text]
    assert "orchestrator_0.rdb" in told
    assert "exp.generate(..., overwrite=True)" in told
    exp.stop(again)
    exp.generate(again, overwrite=True)
    exp.start(again)
    assert client(again).dbsize() == 0


def test_data_of_another_number_of_shards_are_refused_and_stay(exp: Experiment) -> None:
    database = exp.create_database()
    database.enable_checkpoints(1000)
    exp.start(database)
    client(database).set("key", "value")
    exp.stop(database)
    with pytest.raises(DatabaseError, match=r"with 1 shard\(s\), which one with 3 cannot read"):
        exp.start(exp.create_database(db_nodes=3))
    assert (Path(database.path) / "orchestrator_0.rdb").exists()


def test_who_starts_a_database_that_lost_a_shard_is_told_to_restart_it(exp: Experiment) -> None:
    database = exp.create_database(db_nodes=3)
    exp.start(database)
    kill(exp, "orchestrator_1")
    with pytest.raises(EntityExistsError, match="restart"):
        exp.start(database)
    exp.restart(database)
    assert database.is_active()
