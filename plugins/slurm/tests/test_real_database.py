"""Databases in an allocation of a real Slurm."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from db_clients import client, said
from slurm_cluster import Cluster

from smartcore import Experiment
from smartcore.database import Orchestrator
from smartcore.error import DatabaseError, InputError, UnsupportedError
from smartcore.spec import State
from smartcore.testing.running import lacks, wait_until

LIMIT = 60
NODES = {f"nid00{number}" for number in range(1, 5)}
DRIVER = """
import os, sys
from smartcore import Experiment
exp = Experiment("exp", sys.argv[1], "slurm")
database = exp.create_database(db_nodes=3)
exp.start(database)
print(",".join(database.get_address()), flush=True)
sys.stdin.read()
"""


def test_one_shard_serves_models_on_all_nodes(inside: str, exp: Experiment) -> None:
    database = exp.create_database()
    exp.start(database)
    (host,) = database.hosts
    assert host in NODES
    (address,) = database.get_address()
    assert address.startswith(f"127.0.1.{host[-1]}:")
    models = [client(exp, node) for node in sorted(NODES)]
    for model in models:
        model.run_settings.set_hostlist(model.name)
    exp.start(*models)
    assert [said(model)[:2] for model in models] == [["7", node] for node in sorted(NODES)]
    exp.stop(database)
    assert exp.statuses()["orchestrator_0"].state is State.CANCELLED


def test_three_shards_have_nodes_of_their_own(inside: str, exp: Experiment) -> None:
    database = exp.create_database(db_nodes=3)
    database.set_cpus(2)
    exp.start(database)
    assert len(set(database.hosts)) == 3
    assert set(database.hosts) <= NODES
    model = client(exp, "model")
    exp.start(model)
    assert said(model)[0] == "7"


SMARTREDIS = Path(sys.prefix) / "smartredis"  # where scripts/setup puts it
SMARTREDIS_CLIENT = """
from smartredis import Client, ConfigOptions, Dataset
for identifier in ("fields", "near"):
    client = Client(ConfigOptions.create_from_environment(identifier), logger_name="test")
    for number in range(20):
        dataset = Dataset(f"{identifier}{number}")
        dataset.add_meta_string("name", "text")
        client.put_dataset(dataset)
        assert client.get_dataset(f"{identifier}{number}").get_meta_strings("name") == ["text"]
"""


def test_smartredis_finds_shards_on_nodes_and_beside_its_model(
    inside: str, exp: Experiment
) -> None:
    if not (SMARTREDIS / "smartredis").exists():
        if sys.version_info >= (3, 12) or platform.machine() != "x86_64":
            pytest.skip("no wheel of SmartRedis for this Python or platform")
        lacks("SmartRedis is not installed; scripts/setup does: make test")
    fields = exp.create_database(db_nodes=3, db_identifier="fields", allow_unauthenticated=True)
    env = {"PYTHONPATH": str(SMARTREDIS)}
    run = exp.create_run_settings(sys.executable, ["-c", SMARTREDIS_CLIENT], env_vars=env)
    run.set_nodes(2)
    run.set_tasks(4)
    model = exp.create_model("model", run)
    model.colocate_db_uds(db_identifier="near", allow_unauthenticated=True)
    exp.start(fields, model, raise_on_failure=True)
    assert len(set(fields.hosts)) == 3


@pytest.mark.parametrize("shards", [1, 3])
def test_connections_to_shards_on_nodes_are_encrypted(
    inside: str, exp: Experiment, shards: int
) -> None:
    database = exp.create_database(db_nodes=shards, tls=True)
    try:
        exp.start(database)
    except UnsupportedError as error:
        lacks(str(error))
    model = client(exp, "model")
    exp.start(model)
    assert said(model)[0] == "7"
    database.set_max_memory("100mb")
    other = Experiment("other", exp.exp_path, "slurm")
    assert other.reconnect_orchestrator(database.checkpoint_file).is_active()
    exp.stop(database)
    assert not database.is_active()


def test_shards_run_on_the_hosts_that_were_given(inside: str, exp: Experiment) -> None:
    database = exp.create_database(db_nodes=3, hosts=["nid004", "nid002", "nid001"])
    exp.start(database)
    assert database.hosts == ["nid004", "nid002", "nid001"]


def test_one_srun_starts_all_shards_and_ends_all_when_one_dies(
    inside: str, exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    hosts = ["nid004", "nid002", "nid001"]
    database = exp.create_database(db_nodes=3, hosts=hosts, single_cmd=True)
    exp.start(database)
    assert list(exp.statuses()) == ["orchestrator"]
    assert sorted(database.hosts) == sorted(hosts)
    # Told by the servers, in the order of the ranks.
    shown = [address.split(":")[0] for address in database.get_address()]
    assert shown == [f"127.0.1.{host[-1]}" for host in database.hosts]
    model = client(exp, "model")
    exp.start(model)
    assert said(model)[0] == "7"
    node = database.hosts[1]
    _kill_server(database, 1)
    exp.wait("orchestrator", timeout=LIMIT)
    assert exp.statuses()["orchestrator"].state is State.FAILED
    assert f"orchestrator_1 on {node} was killed by SIGKILL" in caplog.text


def test_shards_of_one_srun_that_do_not_start_say_why(inside: str, exp: Experiment) -> None:
    database = exp.create_database(db_nodes=3, single_cmd=True, interface="nosuch0")
    with pytest.raises(DatabaseError, match="no network interface 'nosuch0'"):
        exp.start(database)
    database = exp.create_database(db_nodes=3, single_cmd=True)
    Path(database.path).mkdir(exist_ok=True)
    damaged = Path(database.path, "orchestrator_1.rdb")
    damaged.write_text("no dump of a server")
    with pytest.raises(DatabaseError, match="failed") as caught:
        exp.start(database)
    assert f"orchestrator_1 did not start: it cannot read its data: {damaged}" in str(caught.value)
    assert str(caught.value).count("did not start") == 1


def test_six_shards_share_two_nodes(inside: str, exp: Experiment) -> None:
    hosts = ["nid002", "nid003"]
    database = exp.create_database(15_000, db_nodes=6, hosts=hosts, single_cmd=True)
    exp.start(database)
    expected = {f"127.0.1.{node}:{port}" for node in (2, 3) for port in (15_000, 15_001, 15_002)}
    assert set(database.get_address()) == expected
    argv = [sys.executable, "-m", "smartcore", "db", "info", str(exp.exp_path), "--json"]
    shown = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=True).stdout
    (seen,) = json.loads(shown)
    assert [shard["state"] for shard in seen["shards"]] == ["Running"] * 6
    model = client(exp, "model")
    exp.start(model)
    assert said(model)[0] == "7"


def test_mpirun_puts_shards_on_hosts_and_their_deaths_are_told(
    mpirun: None, exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database(db_nodes=3, run_command="mpirun")
    database.set_hosts(["nid004", "nid002"])
    exp.start(database)
    assert database.hosts == ["nid004", "nid002"]
    hosts = [address.split(":")[0] for address in database.get_address()]
    assert hosts == ["127.0.1.4", "127.0.1.2", "127.0.1.4"]
    single = exp.create_database(run_command="mpirun", db_identifier="anywhere")
    exp.start(single)
    assert set(single.hosts) <= NODES
    model = client(exp, "model")
    exp.start(model)
    assert said(model)[0] == "7"
    _kill_server(database, 1)
    exp.wait("orchestrator_1", timeout=LIMIT)
    check_told(exp, caplog, {0: "Running", 1: "Failed", 2: "Running"})


def test_one_mpirun_starts_all_shards_on_their_nodes(mpirun: None, exp: Experiment) -> None:
    hosts = ["nid001", "nid003"]
    database = exp.create_database(
        15_100, db_nodes=4, hosts=hosts, run_command="mpirun", single_cmd=True
    )
    exp.start(database)
    assert sorted(database.hosts) == hosts
    expected = {f"127.0.1.{node}:{port}" for node in (1, 3) for port in (15_100, 15_101)}
    assert set(database.get_address()) == expected


def check_told(exp: Experiment, caplog: pytest.LogCaptureFixture, states: dict[int, str]) -> None:
    """The second shard of three was killed, which was told once, with the end of its log."""
    # Slurm may not have been asked yet since the job began.
    wait_until(lambda: exp.statuses()["orchestrator_0"].state is not State.QUEUED)
    statuses = exp.statuses()
    found = {index: statuses[f"orchestrator_{index}"].state.value for index in states}
    assert found == states
    (told,) = [text for text in caplog.messages if text.startswith("orchestrator_1 failed on ")]
    assert re.search(r"orchestrator_1\.out ends with:\n +\d+:[CM] ", told), told
    assert "orchestrator_1: all its data are lost" in told


def test_shards_on_nodes_are_seen_and_stopped_from_a_shell(inside: str, exp: Experiment) -> None:
    database = exp.create_database(db_nodes=3)
    database.enable_checkpoints(3600)
    exp.start(database)
    exp.start(client(exp, "model"))
    (row,) = json.loads(shell("db", "list", exp.exp_path, "--json"))
    assert (row["state"], row["keys"], row["problem"]) == ("Running", 20, None)
    look = json.loads(shell("db", "top", exp.exp_path, "--once", "--json"))
    assert [shard["shard"] for shard in look["shards"]] == [f"orchestrator_{i}" for i in range(3)]
    assert all(shard["memory"] for shard in look["shards"])
    (told,) = json.loads(shell("db", "info", exp.exp_path, "--json"))
    assert {shard["node"] for shard in told["shards"]} == set(database.hosts)
    text = shell("db", "stop", exp.exp_path)
    assert text.count("its data are kept in") == 3
    wait_until(lambda: not database.is_active())
    (row,) = json.loads(shell("db", "list", exp.exp_path, "--json"))
    assert not row["running"]
    states = [exp.statuses()[f"orchestrator_{index}"].state for index in range(3)]
    assert states == [State.CANCELLED] * 3


def shell(*argv: str) -> str:
    """What ``smartcore`` prints; it must succeed."""
    command = [sys.executable, "-m", "smartcore", *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Runs a program on a node with interfaces of its own, one of which this host does not have.
NETWORK = """
import fcntl, os, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
    node = int(os.environ["SLURMD_NODENAME"][-1])
    address = struct.pack("16sHH4B16x", b"lo:fabric", socket.AF_INET, 0, 127, 9, 0, node)
    fcntl.ioctl(end, 0x8916, address)  # SIOCSIFADDR, netdevice(7)
    fcntl.ioctl(end, 0x8914, struct.pack("16sH22x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_an_interface_that_only_its_node_has_is_listened_on(
    inside: str, slurm: Cluster, exp: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not slurm.has_host_names:
        lacks("namespaces are refused here, and interfaces of a node's own need one")
    (tmp_path / "setup.py").write_text(NETWORK)
    program = tmp_path / "python"
    program.write_text(
        f'#!/bin/sh\n[ -n "$SLURMD_NODENAME" ] || exec {sys.executable} "$@"\n'
        f'exec unshare --net {sys.executable} {tmp_path}/setup.py "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    database = exp.create_database(14_000, interface="lo:fabric", hosts="nid003")
    exp.start(database)
    assert database.get_address() == ["127.9.0.3:14000"]


def test_interfaces_are_those_of_the_node(inside: str, exp: Experiment) -> None:
    database = exp.create_database(interface="lo", hosts="nid003")
    exp.start(database)
    assert database.hosts == ["nid003"]
    assert database.get_address()[0].startswith("127.0.0.1:")
    exp.stop(database)
    database = exp.create_database(interface="nosuch0", hosts="nid003")
    with pytest.raises(DatabaseError, match=r"no network interface 'nosuch0' .* on nid003; .* lo"):
        exp.start(database)


def test_a_host_outside_of_the_allocation_is_refused(inside: str, exp: Experiment) -> None:
    database = exp.create_database(hosts="nid009")
    with pytest.raises(InputError, match="nid009, which is not in the allocation"):
        exp.start(database)


def test_a_shard_that_dies_is_told_of(
    inside: str, exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database()
    exp.start(database)
    _kill_server(database)
    wait_until(lambda: exp.statuses()["orchestrator_0"].state is State.FAILED)
    assert exp.statuses()["orchestrator_0"].returncode == -signal.SIGKILL
    assert "orchestrator_0 failed" in caplog.text


def test_a_shard_that_somebody_cancelled_is_told_of(
    inside: str, slurm: Cluster, exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database(db_nodes=3)
    exp.start(database)
    runs = json.loads(shell("status", exp.exp_path, "--json"))["runs"]
    (job,) = (run["job"] for run in runs if run["name"] == "orchestrator_1")
    slurm.run("scancel", job)
    wait_until(lambda: "orchestrator_1 was stopped" in caplog.text)
    assert f"orchestrator_1 was stopped on {database.hosts[1]}" in caplog.text
    assert "orchestrator_1: all its data are lost" in caplog.text
    exp.stop(database)
    assert "orchestrator_0 was stopped" not in caplog.text


def test_a_shard_that_died_comes_back_on_its_node(inside: str, exp: Experiment) -> None:
    database = exp.create_database(db_nodes=3)
    database.enable_checkpoints(1000)
    exp.start(database)
    hosts, addresses = database.hosts, database.get_address()
    before = client(exp, "before")
    exp.start(before)
    exp.restart(database)
    _kill_server(database)
    exp.wait("orchestrator_0", timeout=LIMIT)
    exp.restart(database)
    assert (database.hosts, database.get_address()) == (hosts, addresses)
    reading = (
        "import json, os, redis;"
        "auth = json.load(open(os.environ['SMARTCORE_DB_AUTH']));"
        "host, port = os.environ['SSDB'].split(',')[1].split(':');"
        "client = redis.RedisCluster(host=host, port=int(port), **auth);"
        "print(sorted(int(client.get(f'key{number}')) for number in range(20)) == [*range(20)])"
    )
    run = exp.create_run_settings(sys.executable, ["-c", reading])
    after = exp.create_model("after", run)
    exp.start(after)
    assert said(after) == ["True"]


def test_a_shard_that_dies_in_a_batch_job_is_told_of_and_all_are_started_anew(
    slurm: Cluster, exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database(batch=True, db_nodes=3)
    database.enable_checkpoints(1000)
    exp.start(database)
    with pytest.raises(UnsupportedError, match="runs as a batch job"):
        exp.restart(database)
    assert database.is_active()
    _kill_server(database, 1)
    exp.wait("orchestrator_1", timeout=LIMIT)
    check_told(exp, caplog, {0: "Running", 1: "Failed", 2: "Running"})
    assert "it is a batch job: stop 'orchestrator' and start it again" in caplog.text
    assert database.live is not None
    number = database.live.jobs["orchestrator_1"].partition("#")[0]
    assert slurm.run("squeue", "--noheader", "--format=%T", f"--jobs={number}").split() == [
        "RUNNING"
    ]
    exp.stop(database)
    states = [exp.statuses()[f"orchestrator_{index}"].state for index in range(3)]
    assert states == [State.CANCELLED, State.FAILED, State.CANCELLED]
    check_told(exp, caplog, {1: "Failed"})
    exp.start(database)
    assert database.is_active()


def _kill_server(database: Orchestrator, index: int = 0) -> None:
    conf = f"{database.path}/{database.name}_{index}.conf"
    found = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True)
    shown = f"redis-server {database.get_address()[index]}"
    pids = [
        int(line.split()[0])
        for line in found.stdout.splitlines()
        if shown in line or line.endswith(conf)
    ]
    assert len(pids) == 1, found.stdout
    os.kill(pids[0], signal.SIGKILL)


def test_another_process_takes_up_what_a_killed_driver_left(inside: str, tmp_path: Path) -> None:
    path = tmp_path / "exp"
    path.mkdir()
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout is not None
    addresses = driver.stdout.readline().strip().split(",")
    driver.kill()
    driver.communicate(timeout=LIMIT)
    with Experiment.attach(str(path)) as exp:
        model = client(exp, "model")
        exp.start(model)
        assert said(model)[0] == "7"
        assert len(addresses) == 3
        states = {exp.statuses()[f"orchestrator_{index}"].state for index in range(3)}
        assert states == {State.RUNNING}
    states = {exp.statuses()[f"orchestrator_{index}"].state for index in range(3)}
    assert states == {State.CANCELLED}


def test_what_has_no_driver_is_ended_with_its_data_written(inside: str, tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from smartcore import Experiment;"
        "exp = Experiment('real', sys.argv[1], launcher='slurm'); db = exp.create_database();"
        "db.enable_checkpoints(1000); exp.start(db); os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "exp"
    path.mkdir()
    argv = [sys.executable, "-c", program, str(path)]
    subprocess.run(argv, timeout=LIMIT, check=False)
    shell("db", "connect", str(path), "SET", "key", "value")
    assert "orchestrator_0" in shell("gc", str(path), "--yes")
    (row,) = json.loads(shell("db", "list", str(path), "--json"))
    assert not row["running"]
    assert (path / "orchestrator" / "orchestrator_0.rdb").is_file()
