"""Where databases in an allocation run, and what has no place there."""

from __future__ import annotations

import json
import logging
import re
import shutil
import socket
import sys
from pathlib import Path

import pytest
from placing import use

from smartcore import Experiment
from smartcore.error import DatabaseError, InputError, UnsupportedError
from smartcore.registry import Registry
from smartcore.spec import State
from smartcore.testing.running import lacks


def test_a_shard_serves_models_from_its_node(exp: Experiment) -> None:
    database = exp.create_database()
    exp.start(database)
    assert database.hosts == ["127.0.3.1"]
    (address,) = database.get_address()
    assert re.fullmatch(r"127\.0\.3\.1:\d+", address)
    assert use(exp).startswith("b'7'")
    (node,) = database
    assert (node.hosts, node.ports) == (["127.0.3.1"], database.ports)
    exp.stop(database)
    assert exp.statuses()["orchestrator_0"].state is State.CANCELLED
    assert not list((Path(exp.exp_path) / ".smartcore/meetings").iterdir())


def test_shards_of_a_cluster_have_nodes_of_their_own(exp: Experiment) -> None:
    database = exp.create_database(db_nodes=3)
    exp.start(database)
    assert sorted(database.hosts) == ["127.0.3.1", "127.0.3.2", "127.0.3.3"]
    hosts = [address.partition(":")[0] for address in database.get_address()]
    assert hosts == database.hosts
    assert use(exp).startswith("b'7'")


def test_one_command_starts_all_shards(exp: Experiment, registry: Registry) -> None:
    database = exp.create_database(db_nodes=3, single_cmd=True)
    exp.start(database)
    assert sorted(database.hosts) == ["127.0.3.1", "127.0.3.2", "127.0.3.3"]
    assert [address.split(":")[0] for address in database.get_address()] == database.hosts
    assert list(exp.statuses()) == ["orchestrator"]
    (node,) = database
    assert (node.name, node.num_shards, node.is_mpmd) == ("orchestrator", 3, True)
    assert [str(shard) for shard in node.get_launched_shard_info()] == database.get_address()
    assert use(exp).startswith("b'7'")
    other_path = Path(exp.exp_path).with_name("other")
    other_path.mkdir()
    with Experiment("other", str(other_path), "placing", registry=registry) as other:
        taken = other.reconnect_orchestrator(database.checkpoint_file)
        assert (taken.hosts, taken.num_shards) == (database.hosts, 3)
        other.stop("orchestrator")
    exp.wait("orchestrator", timeout=60)
    assert exp.statuses()["orchestrator"].is_terminal
    assert not list((Path(exp.exp_path) / ".smartcore/meetings").iterdir())


def test_one_command_is_refused_where_shards_are_not_told_which_they_are(exp: Experiment) -> None:
    database = exp.create_database(db_nodes=3, single_cmd=True, run_command="env")
    with pytest.raises(UnsupportedError, match="env does not tell them which one each is"):
        exp.start(database)
    assert exp.statuses() == {}


@pytest.mark.parametrize("single_cmd", [False, True])
def test_shards_share_the_nodes_that_there_are(exp: Experiment, single_cmd: bool) -> None:
    hosts = ["127.0.3.1", "127.0.3.3"]
    database = exp.create_database(16_000, db_nodes=5, hosts=hosts, single_cmd=single_cmd)
    exp.start(database)
    assert sorted(database.get_address()) == [
        *(f"127.0.3.1:{port}" for port in (16_000, 16_001, 16_002)),
        *(f"127.0.3.3:{port}" for port in (16_000, 16_001)),
    ]
    assert use(exp).startswith("b'7'")


def test_a_port_in_use_on_a_node_is_named(exp: Experiment) -> None:
    with socket.create_server(("127.0.3.2", 0)) as stranger:
        port = stranger.getsockname()[1] - 10_000  # of the cluster's bus
        database = exp.create_database(port, db_nodes=3)
        with pytest.raises(DatabaseError, match=f"port {port + 10_000} of 127.0.3.2 on 127.0.3.2"):
            exp.start(database)


def test_shards_that_would_not_reach_one_another_are_refused(exp: Experiment) -> None:
    database = exp.create_database(db_nodes=3, interface="lo")
    with pytest.raises(DatabaseError, match=r"both listen at 127\.0\.0\.1, so that none reaches"):
        exp.start(database)


def test_ports_that_there_are_not_are_refused_before_anything_starts(exp: Experiment) -> None:
    database = exp.create_database(55_535, db_nodes=6)
    with pytest.raises(InputError, match="needs ports up to 65536"):
        exp.start(database)
    assert not Path(database.path).exists()


def test_shards_run_where_they_were_asked_to(exp: Experiment) -> None:
    database = exp.create_database(hosts=["127.0.3.3", "127.0.3.1"])
    exp.start(database)
    assert database.hosts == ["127.0.3.3"]


def test_without_a_run_command_it_runs_on_this_host(exp: Experiment) -> None:
    database = exp.create_database(run_command="")
    exp.start(database)
    assert database.hosts == ["127.0.0.1"]


@pytest.mark.parametrize("single_cmd", [False, True])
def test_where_there_are_no_nodes_mpirun_starts_shards_on_this_host(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, single_cmd: bool
) -> None:
    if shutil.which("mpirun") is None:
        lacks("Open MPI is not installed")
    for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OMPI_MCA_oob_tcp_if_include", "lo")
    monkeypatch.setenv("OMPI_MCA_rmaps_base_oversubscribe", "1")
    path = tmp_path / "local"
    path.mkdir()
    with Experiment("local", str(path), "local", registry=registry) as exp:
        database = exp.create_database(
            17_000, db_nodes=3, run_command="mpirun", single_cmd=single_cmd
        )
        exp.start(database)
        expected = [f"127.0.0.1:{port}" for port in (17_000, 17_001, 17_002)]
        assert database.get_address() == expected
        assert len(exp.statuses()) == (1 if single_cmd else 3)
        assert database.live is not None
        assert {step.command.argv[0] for step in database.live.steps} == {shutil.which("mpirun")}


def test_a_host_that_is_not_there_is_refused_before_anything_starts(exp: Experiment) -> None:
    database = exp.create_database(hosts="nid009")
    with pytest.raises(InputError, match=r"nid009, which is not in the allocation \(127.0.3.1"):
        exp.start(database)
    assert not Path(database.path).exists()


def test_waiting_for_nodes_is_told_of_and_takes_as_long_as_it_takes(
    exp: Experiment, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "smartcore")
    marker = tmp_path / "marker"
    hold = exp.create_run_settings("sh", ["-c", f"sleep 3; touch {marker}"])
    hold.set_nodes(3)
    hold.set_cpus_per_task(4)
    model = exp.create_model("large", hold)
    exp.start(model, block=False)
    late = exp.create_run_settings("true")
    late.set_nodes(3)
    late.set_cpus_per_task(4)
    waiting = exp.create_model("late", late)
    exp.start(waiting, block=False)
    database = exp.create_database()
    exp.start(database)
    assert marker.exists()
    # It came later than the second model, and was started before it all the same.
    assert "no room for it beside orchestrator_0" in exp.statuses()["late"].reason
    assert [m for m in caplog.messages if "waiting for nodes for orchestrator_0" in m]


@pytest.mark.parametrize("strategy", ["tcp", "uds"])
def test_a_colocated_database_runs_where_the_run_command_puts_its_model(
    exp: Experiment, strategy: str
) -> None:
    code = """
import json, os, redis
auth, where = json.load(open(os.environ["SMARTCORE_DB_AUTH"])), os.environ["SSDB"]
client = (
    redis.Redis(unix_socket_path=where.removeprefix("unix://"), **auth)
    if where.startswith("unix")
    else redis.Redis(port=int(where.split(":")[1]), **auth)
)
supervisor = open(f"/proc/{os.getppid()}/environ").read().split("\\0")
print(client.ping(), os.environ["NODE_NAME"], "NODE_NAME=" + os.environ["NODE_NAME"] in supervisor)
print(client.config_get("maxclients")["maxclients"])
"""
    settings = exp.create_run_settings(sys.executable, ["-c", code])
    settings.set_cpus_per_task(4)
    models = [exp.create_model(f"m{number}", settings) for number in range(2)]
    for model in models:
        colocate = model.colocate_db_tcp if strategy == "tcp" else model.colocate_db_uds
        colocate(maxclients=77)
    exp.start(*models, raise_on_failure=True)
    said = [(Path(m.path) / f"{m.name}.out").read_text().split() for m in models]
    assert said == [["True", f"127.0.3.{number}", "True", "77"] for number in (1, 2)]
    assert (Path(models[0].path) / "m0-db.log").exists()


def test_several_tasks_on_a_node_next_to_a_database_are_refused(exp: Experiment) -> None:
    settings = exp.create_run_settings("true")
    settings.set_tasks(4)
    settings.set_nodes(2)
    model = exp.create_model("crowd", settings)
    model.colocate_db_tcp()
    with pytest.raises(UnsupportedError, match=r"'crowd' has 2 tasks on a node.*tasks_per_node"):
        exp.start(model)
    assert exp.statuses() == {}


def test_a_preview_shows_the_commands_and_no_secret(
    exp: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    database = exp.create_database(db_nodes=3)
    model = exp.create_model("m", exp.create_run_settings("true"))
    exp.preview(database, model, verbosity_level="developer", output_format="json")
    shown = capsys.readouterr().out
    found = json.loads(shown)
    commands = json.dumps(found)
    for number in (1, 2, 3):
        assert f"127.0.3.{number}" in commands
    assert "shard.py" in commands
    assert "<its node>" in commands
    assert not Path(database.path).exists()
    planned = {one["name"]: one["places"] for one in found["experiment"]["plan"]}
    assert set(planned) == {"orchestrator_0", "orchestrator_1", "orchestrator_2", "m"}
    assert planned["orchestrator_1"] == ["127.0.3.2: 1 core"]


def test_a_plan_has_no_place_for_models_where_a_database_runs(
    exp: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    database = exp.create_database(hosts="127.0.3.1")
    exp.start(database)
    run = exp.create_run_settings("true")
    run.set_nodes(3)
    run.set_cpus_per_task(4)
    exp.preview(exp.create_model("all", run), verbosity_level="developer", output_format="json")
    found = json.loads(capsys.readouterr().out)["experiment"]
    planned = {one["name"]: one["places"] for one in found["plan"]}
    assert planned == {
        "orchestrator_0": ["127.0.3.1: 1 core"],
        "all": ["there is no room for it beside orchestrator_0"],
    }
