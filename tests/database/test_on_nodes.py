"""Databases in an allocation: a launcher whose nodes are addresses of this host."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import redis
from click.testing import CliRunner

from smartcore import Experiment
from smartcore.cli import main
from smartcore.cli.shell import Shell
from smartcore.database import Orchestrator, read_secret
from smartcore.database.ground import choose_hosts, nodes_asked
from smartcore.error import DatabaseError, InputError, UnsupportedError
from smartcore.observe import Observer
from smartcore.registry import Registry
from smartcore.spec import Node, State
from smartcore.testing.running import lacks, wait_until
from smartcore.viewing import view_databases

if TYPE_CHECKING:
    from tests.conftest import Site

HOOKS = """
@hookimpl
def smartcore_register_launchers(registry):
    registry.add("placing", "placing_parts:Placing", run_commands=("on",))
    registry.add("silent", "placing_parts:Silent", run_commands=("on",))

@hookimpl
def smartcore_register_run_commands(registry):
    registry.add("on", "placing_parts:On", settings="placing_parts:OnSettings")
"""
PARTS = """
from smartcore.spec import (
    Command, Facts, Launcher, Node, Resources, RunCommand, RunSettings, State, Status
)


class Placing(Launcher):
    def __init__(self, context, /):
        self.processes = context.processes
        self.start, self.status = self.processes.start, self.processes.status
        self.stop, self.attach = self.processes.stop, self.processes.attach
        self.watch, self.close = self.processes.watch, self.processes.close

    start = status = stop = attach = watch = close = None

    def nodes(self, allocation, /):
        return [Node(f"127.0.3.{number}", 4) for number in (1, 2, 3)]


class Silent(Launcher):
    # As schedulers that do not tell afterwards who ended what.
    def __init__(self, context, /):
        self.processes = context.processes
        self.start, self.stop = self.processes.start, self.processes.stop
        self.close = self.processes.close

    start = stop = close = None

    def nodes(self, allocation, /):
        return [Node("127.0.3.1", 4)]

    def status(self, ids, /):
        return {job: plain(answer) for job, answer in self.processes.status(ids).items()}


def plain(answer):
    if isinstance(answer, Status) and (answer.state, answer.returncode) == (State.CANCELLED, 0):
        return Status(State.COMPLETED, 0)
    return answer


class On(RunCommand):
    probe = ()
    node_variable = "NODE_NAME"
    rank_variables = ("NO_RANK", "MY_RANK")
    ends_together = {"together": "yes"}

    def facts(self, executable, output, /):
        return Facts(executable)

    def build(self, launch, placement, facts, /):
        tasks = ",".join(map(str, placement.tasks or (1,)))
        together = str(launch.settings.run_args.get("together"))
        hosts = ",".join(placement.hosts)
        return Command((facts.executable, hosts, tasks, together, *launch.argv), launch.env)


class OnSettings(RunSettings):
    def __init__(self, exe, exe_args=None, run_args=None, env_vars=None, **kwargs):
        super().__init__(exe, exe_args, "on", run_args, env_vars)
        self.wanted = {}

    def set_nodes(self, nodes):
        self.wanted["nodes"] = nodes

    def set_tasks(self, tasks):
        self.wanted["tasks"] = tasks

    def set_cpus_per_task(self, cpus_per_task):
        self.wanted["cpus_per_task"] = cpus_per_task

    def resources(self):
        return Resources(**self.wanted)
"""
ON = (
    f"#!{sys.executable}"
    """
import os, signal, subprocess, sys

hosts, counts, together, *argv = sys.argv[1:]
places = [h for h, n in zip(hosts.split(","), counts.split(",")) for _ in range(int(n))]
if len(places) == 1:
    os.environ["NODE_NAME"] = places[0]
    os.execvp(argv[0], argv)
tasks = {}
signal.signal(signal.SIGTERM, lambda *_: [task.terminate() for task in tasks.values()])
for rank, place in enumerate(places):
    env = {**os.environ, "NODE_NAME": place, "MY_RANK": str(rank)}
    task = subprocess.Popen(argv, env=env)
    tasks[task.pid] = task
worst = 0
while tasks:
    pid, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    del tasks[pid]
    worst = worst or (128 - code if code < 0 else code)
    if code and together == "yes":
        for task in tasks.values():
            task.terminate()
sys.exit(worst)
"""
)
CLIENT = """
import json, os, redis
auth = json.load(open(os.environ["SMARTCORE_DB_AUTH"]))
host, port = os.environ["SSDB"].split(",")[0].split(":")
make = redis.RedisCluster if os.environ["SR_DB_TYPE"] == "Clustered" else redis.Redis
client = make(host=host, port=int(port), **auth)
for number in range(20):
    client.set(f"key{number}", number)
print(client.get("key7"), os.environ["NODE_NAME"])
"""


@pytest.fixture
def registry(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    if shutil.which("redis-server") is None:
        lacks("redis-server is not installed")
    site.add("placing", HOOKS, files={"placing_parts": PARTS})
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "on").write_text(ON)
    (programs / "on").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return Registry(points(site))


def points(site: Site) -> list[EntryPoint]:
    return [*site.points(), *entry_points(group="smartcore")]


@pytest.fixture
def exp(registry: Registry, tmp_path: Path) -> Iterator[Experiment]:
    path = tmp_path / "exp"
    path.mkdir()
    with Experiment("exp", str(path), "placing", registry=registry) as made:
        yield made


def use(exp: Experiment, name: str = "model") -> str:
    run = exp.create_run_settings(sys.executable, ["-c", CLIENT])
    model = exp.create_model(name, run)
    exp.start(model)
    path = Path(model.path)
    assert exp.statuses()[name].state is State.COMPLETED, (path / f"{name}.err").read_text()
    return (path / f"{name}.out").read_text().strip()


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


def test_a_shard_that_dies_ends_all_that_one_command_started(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database(db_nodes=3, single_cmd=True)
    exp.start(database)
    shown = f"redis-server {database.get_address()[1]}"
    (server,) = [each for each in psutil.process_iter() if shown in " ".join(arguments(each))]
    server.kill()
    exp.wait("orchestrator", timeout=60)
    assert exp.statuses()["orchestrator"].state is State.FAILED
    assert "orchestrator_1 on 127.0.3.2 was killed" in caplog.text


def arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []  # it has ended


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


def test_a_database_that_other_nodes_do_not_reach_is_warned_of(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database(interface="lo")
    exp.start(database)
    (warning,) = [text for text in caplog.messages if "other nodes do not reach it" in text]
    assert "'orchestrator' listens at the loopback interface of its node" in warning
    assert "leave interface='lo' out" in warning


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


def test_a_setting_that_the_server_does_not_take_is_refused_before_anything_starts(
    exp: Experiment,
) -> None:
    first, database = exp.create_database(), exp.create_database(db_identifier="second")
    database.set_db_conf("maxmemory-policy", "nonsense")
    with pytest.raises(InputError, match="does not take maxmemory-policy='nonsense'"):
        exp.start(first, database)
    assert exp.statuses() == {}
    assert not Path(first.path).exists()


def test_settings_hold_on_the_nodes(exp: Experiment) -> None:
    database = exp.create_database(db_nodes=3)
    database.set_max_clients(77)
    database.enable_checkpoints(60)
    exp.start(database)
    database.set_max_memory("1gb")
    assert database.live is not None
    username, password = read_secret(database.live.admin_file)
    for shard in database.live.shards:
        where = shard.address
        with redis.Redis(where.host, where.port, username=username, password=password) as admin:
            found = admin.config_get("maxclients", "save", "maxmemory")
        assert found == {"maxclients": "77", "save": "60 1", "maxmemory": str(2**30)}


def test_a_server_that_takes_a_setting_otherwise_fails_the_start_and_does_not_stay(
    exp: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = tmp_path / "server"
    real = shutil.which("redis-server")
    server.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exec {real} --version\nexec {real} "$@" --hz 12\n'
    )
    server.chmod(0o755)
    monkeypatch.setenv("REDIS_PATH", str(server))
    database = exp.create_database(db_nodes=3)
    database.set_db_conf("hz", "33")
    with pytest.raises(DatabaseError, match=r"orchestrator_0 .*hz='33' and says it is '12'"):
        exp.start(database)
    states = {exp.statuses()[f"orchestrator_{index}"].state for index in range(3)}
    assert states == {State.CANCELLED}


def test_no_password_is_in_what_the_shards_tell(exp: Experiment) -> None:
    database = exp.create_database()
    database.set_max_clients(77)
    exp.start(database)
    assert database.live is not None
    meetings = Path(exp.exp_path) / ".smartcore/meetings"
    told = [path.read_text() for path in meetings.glob("*/*")]
    assert [text for text in told if "maxclients" in text]
    secrets = {database.live.credentials.password, database.live.credentials.admin_password}
    assert not [text for text in told for secret in secrets if secret in text]


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
    assert exp.statuses()["late"].state is State.QUEUED
    assert [m for m in caplog.messages if "waiting for nodes for orchestrator_0" in m]
    exp.stop(waiting)


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


NODES = [Node("a", 4), Node("b", 8), Node("c", 8)]


@pytest.mark.parametrize(
    ("shards", "hosts", "free", "chosen"),
    [
        (1, None, NODES, ["b"]),
        (3, None, NODES, ["b", "c", "a"]),
        (4, None, NODES, ["b", "c", "a", "b"]),
        (1, ["c", "a"], NODES, ["c"]),
        (3, ["c", "a", "b"], NODES, ["c", "a", "b"]),
        (3, ["c", "a"], NODES, ["c", "a", "c"]),
        (1, ["x"], [], ["x"]),
    ],
)
def test_each_shard_gets_the_roomiest_node_or_the_one_it_was_given(
    shards: int, hosts: list[str] | None, free: Sequence[Node], chosen: list[str]
) -> None:
    database = Orchestrator("/nowhere", db_nodes=shards, hosts=hosts)
    assert choose_hosts(database, free) == [(host,) for host in chosen]


def test_shards_are_as_many_on_a_node_as_was_asked() -> None:
    database = Orchestrator("/nowhere", db_nodes=4, shards_per_node=2)
    assert choose_hosts(database, NODES) == [("b",), ("c",), ("b",), ("c",)]
    assert choose_hosts(database, []) == [()] * 4


def test_hosts_that_take_too_few_shards_are_refused() -> None:
    database = Orchestrator("/nowhere", db_nodes=5, hosts=["a", "b"], shards_per_node=2)
    with pytest.raises(InputError, match="has 5 shards, and a, b take 2 each"):
        choose_hosts(database, NODES)


@pytest.mark.parametrize(
    ("hosts", "each", "told"),
    [
        (None, None, "asks for 5 nodes, one for each shard; shards_per_node=2 takes fewer"),
        (None, 2, "asks for 3 nodes, for 2 shards each; shards_per_node=3 takes fewer"),
        (None, 5, "asks for one node"),
        (["a", "b", "a"], None, "asks for the node(s) a, b"),
    ],
)
def test_a_batch_job_says_which_nodes_it_asks_for(
    hosts: list[str] | None, each: int | None, told: str
) -> None:
    database = Orchestrator("/nowhere", db_nodes=5, batch=True, hosts=hosts)
    database.shards_per_node = each
    assert nodes_asked(database) == f"its job {told}"


def test_a_shard_for_which_no_node_has_room_waits_for_any() -> None:
    database = Orchestrator("/nowhere")
    database.set_cpus(9)
    assert choose_hosts(database, NODES) == [()]


def test_where_nothing_is_known_the_scheduler_chooses() -> None:
    assert choose_hosts(Orchestrator("/nowhere", db_nodes=3), []) == [()] * 3


@pytest.mark.parametrize(("shards", "single"), [(1, False), (3, False), (3, True)])
def test_shards_come_back_on_their_nodes_with_their_data(
    exp: Experiment, site: Site, shards: int, single: bool, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database(db_nodes=shards, single_cmd=single)
    database.enable_checkpoints(1000)
    exp.start(database)
    addresses = database.get_address()
    use(exp)
    for client in _clients(database):
        client.save()
    step = "orchestrator" if single else "orchestrator_0"
    kill_server(database)
    exp.wait(step, timeout=60)
    assert f"{step} failed" in caplog.text
    assert "orchestrator_0: its data are kept in" in caplog.text
    exp.restart(database)
    assert database.get_address() == addresses
    assert sum(client.dbsize() for client in _clients(database)) == 20
    assert use(exp, "again")
    # Without anything amiss, too.
    exp.restart(database)
    assert database.get_address() == addresses
    assert sum(client.dbsize() for client in _clients(database)) == 20
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


def kill_server(database: Orchestrator) -> None:
    shown = f"{database.get_address()[0]}"
    (server,) = [each for each in psutil.process_iter() if shown in " ".join(arguments(each))]
    server.kill()


def _clients(database: Orchestrator) -> list[redis.Redis]:
    assert database.live is not None
    auth = json.loads(database.live.auth_file.read_text())
    found = [address.split(":") for address in database.live.addresses]
    return [redis.Redis(host=host, port=int(port), **auth) for host, port in found]


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
