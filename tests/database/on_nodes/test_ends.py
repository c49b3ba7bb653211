"""Databases in an allocation that die, are stopped, come back, or are taken up from elsewhere."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from placing import clients, kill_server, points, use

from smartcore import Experiment
from smartcore.cli import main
from smartcore.cli.shell import Shell
from smartcore.error import DatabaseError
from smartcore.observe import Observer
from smartcore.registry import Registry
from smartcore.spec import State
from smartcore.testing.running import wait_until
from smartcore.viewing import view_databases

if TYPE_CHECKING:
    from tests.conftest import Site


def test_a_shard_that_dies_ends_all_that_one_command_started(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database(db_nodes=3, single_cmd=True)
    exp.start(database)
    kill_server(database, 1)
    exp.wait("orchestrator", timeout=60)
    assert exp.statuses()["orchestrator"].state is State.FAILED
    assert "orchestrator_1 on 127.0.3.2 was killed" in caplog.text


@pytest.mark.parametrize("single_cmd", [False, True])
def test_numbers_are_those_of_shards_however_they_were_started(
    exp: Experiment, registry: Registry, single_cmd: bool
) -> None:
    database = exp.create_database(db_nodes=3, single_cmd=single_cmd)
    database.telemetry.enable()
    exp.start(database)
    names = [f"orchestrator_{index}" for index in range(3)]
    rows = json.loads(exp.summary("json", databases=True))["databases"]
    assert [(row["shard"], row["status"]) for row in rows] == [(name, "Running") for name in names]
    assert all(row["memory"] for row in rows)
    path = Path(exp.exp_path)
    samples = [path / f".smartcore/telemetry/orchestrator/{name}/memory.csv" for name in names]
    wait_until(lambda: all(file.exists() for file in samples), "a sample of each shard")
    with Observer(path, registry, registry.load_config()) as observer:
        (view,) = view_databases(observer)
        assert [answer.name for answer in view.ask(registry) if answer.answered] == names
        exp.stop(database)
        (view,) = view_databases(observer)
        assert (view.state, view.ask(registry)) == ("Cancelled", ())
    rows = json.loads(exp.summary("json", databases=True))["databases"]
    assert {(row["database"], row["status"]) for row in rows} == {("orchestrator", "Cancelled")}


def test_another_process_takes_it_up_from_its_checkpoint(
    exp: Experiment, registry: Registry, tmp_path: Path
) -> None:
    database = exp.create_database(db_nodes=3)
    exp.start(database)
    other_path = tmp_path / "other"
    other_path.mkdir()
    with Experiment("other", str(other_path), "placing", registry=registry) as other:
        taken = other.reconnect_orchestrator(database.checkpoint_file)
        assert taken.hosts == database.hosts
        assert taken.get_address() == database.get_address()
        assert use(other).startswith("b'7'")
        other.stop(taken)
    exp.wait(*(step.name for step in database), timeout=60)
    assert not database.is_active()


def test_whether_it_runs_is_known_where_its_nodes_cannot_be_reached(
    exp: Experiment, registry: Registry, tmp_path: Path
) -> None:
    database = exp.create_database()
    exp.start(database)
    path = Path(database.checkpoint_file)
    content = json.loads(path.read_text())
    content["shards"][0]["host"] = "127.0.3.9"  # where nobody answers
    path.write_text(json.dumps(content))
    other_path = tmp_path / "other"
    other_path.mkdir()
    with Experiment("other", str(other_path), "placing", registry=registry) as other:
        taken = other.reconnect_orchestrator(str(path))
        assert taken.is_active()
        assert taken.get_address() == [f"127.0.3.9:{database.ports[0]}"]
        exp.stop(database)
        other.wait("orchestrator_0", timeout=60)
        assert not taken.is_active()
        with pytest.raises(DatabaseError, match=r"does not run|has lost shards"):
            taken.get_address()


def test_one_that_takes_too_long_is_given_up(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = tmp_path / "server"
    server.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exec echo "Redis server v=7.0.0"\nexec sleep 100\n'
    )
    server.chmod(0o755)
    monkeypatch.setenv("REDIS_PATH", str(server))
    monkeypatch.setenv("SMARTCORE_DB_START_TIMEOUT", "0.4")
    path = tmp_path / "slow"
    path.mkdir()
    with (
        Experiment("slow", str(path), "placing", registry=registry) as slow,
        pytest.raises(DatabaseError, match="did not serve"),
    ):
        slow.start(slow.create_database())


@pytest.mark.parametrize(("shards", "single"), [(1, False), (3, False), (3, True)])
def test_shards_come_back_on_their_nodes_with_their_data(
    exp: Experiment, site: Site, shards: int, single: bool, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database(db_nodes=shards, single_cmd=single)
    database.enable_checkpoints(1000)
    exp.start(database)
    addresses = database.get_address()
    use(exp)
    for client in clients(database):
        client.save()
    step = "orchestrator" if single else "orchestrator_0"
    kill_server(database)
    exp.wait(step, timeout=60)
    assert f"orchestrator_0 on {database.hosts[0]} was killed" in caplog.text
    assert "orchestrator_0: its data are kept in" in caplog.text
    exp.restart(database)
    assert database.get_address() == addresses
    assert sum(client.dbsize() for client in clients(database)) == 20
    assert use(exp, "again")
    # Without anything amiss, too.
    exp.restart(database)
    assert database.get_address() == addresses
    assert sum(client.dbsize() for client in clients(database)) == 20
    states = {status.state for status in exp.statuses().values()}
    assert states == {State.RUNNING, State.COMPLETED}
    shown = CliRunner().invoke(main, ["status", exp.exp_path], obj=Shell(points(site)))
    assert ("Failed (replaced)" in shown.output, shown.exit_code) == (single, 0), shown.output


def test_a_shard_whose_address_is_taken_on_its_node_says_so(exp: Experiment) -> None:
    database = exp.create_database()
    exp.start(database)
    (address,) = database.get_address()
    kill_server(database)
    exp.wait("orchestrator_0", timeout=60)
    host, port = address.split(":")
    with socket.create_server((host, int(port))), pytest.raises(DatabaseError) as told:
        exp.restart(database)
    assert f"port {port} of {host}" in str(told.value)
    assert "clients look for it there" in str(told.value)
    exp.restart(database)
    assert database.is_active()


def test_a_stopped_shard_is_cancelled_though_nobody_tells_that_it_was_stopped(
    registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "exp"
    path.mkdir()
    with Experiment("exp", str(path), "silent", registry=registry) as exp:
        database = exp.create_database(interface="lo")  # there is but one node
        exp.start(database)
        exp.stop(database)
        status = exp.statuses()["orchestrator_0"]
        assert (status.state, status.returncode) == (State.CANCELLED, 0)
    assert not [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]
