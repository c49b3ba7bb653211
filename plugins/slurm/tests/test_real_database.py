"""Databases on a real Slurm: in an allocation, as batch jobs, and next to models."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import pytest
import redis
from slurm_cluster import Cluster

from smartcore import Experiment
from smartcore.database import Orchestrator, read_secret
from smartcore.entity import Model
from smartcore.error import DatabaseError, InputError, UnsupportedError
from smartcore.spec import State
from smartcore.testing.running import lacks, wait_until

LIMIT = 60
NODES = {f"nid00{number}" for number in range(1, 5)}
CLIENT = """
import json, os, redis
auth = json.load(open(os.environ["SMARTCORE_DB_AUTH"]))
where = os.environ["SSDB"].split(",")[0]
make = redis.RedisCluster if os.environ["SR_DB_TYPE"] == "Clustered" else redis.Redis
if where.startswith("unix://"):
    client = redis.Redis(unix_socket_path=where.removeprefix("unix://"), **auth)
else:
    host, port = where.split(":")
    if "SMARTCORE_DB_CA" in os.environ:
        trusted = os.environ["SMARTCORE_DB_CA"]
        auth |= dict(ssl=True, ssl_ca_certs=trusted, ssl_check_hostname=False)
    client = make(host=host, port=int(port), **auth)
for number in range(20):
    client.set(f"key{number}", number)
above = open(f"/proc/{os.getppid()}/environ").read().split("\\0")
node = os.environ["SLURMD_NODENAME"]
print(client.get("key7").decode(), node, f"SLURMD_NODENAME={node}" in above)
"""
DRIVER = """
import os, sys
from smartcore import Experiment
exp = Experiment("exp", sys.argv[1], "slurm")
database = exp.create_database(db_nodes=3)
exp.start(database)
print(",".join(database.get_address()), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def exp(slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Experiment]:
    if shutil.which("redis-server") is None:
        lacks("redis-server is not installed")
    monkeypatch.setenv("SMARTCORE_RUNTIME_DIR", str(tmp_path / "rt"))
    path = tmp_path / "exp"
    path.mkdir()
    with Experiment("exp", str(path), "slurm") as made:
        yield made


def client(exp: Experiment, name: str, **batch: bool) -> Model:
    run = exp.create_run_settings(sys.executable, ["-c", CLIENT])
    settings = exp.create_batch_settings(nodes=1) if batch else None
    return exp.create_model(name, run, batch_settings=settings)


def said(model: Model) -> list[str]:
    path = Path(model.path) / model.name
    words = path.with_suffix(".out").read_text().split()
    assert words, path.with_suffix(".err").read_text()
    return words


# -- in an allocation ---------------------------------------------------------------------------


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
    inside: str,
    exp: Experiment,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if shutil.which("mpirun") is None:
        lacks("Open MPI is not installed")
    # What salloc sets, and Open MPI wants to know to start its daemons.
    for name, value in {
        "SLURM_JOBID": inside,
        "SLURM_NODELIST": "nid[001-004]",
        "SLURM_TASKS_PER_NODE": "6(x4)",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_oob_tcp_if_include": "lo",
    }.items():
        monkeypatch.setenv(name, value)
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


def check_told(exp: Experiment, caplog: pytest.LogCaptureFixture, states: dict[int, str]) -> None:
    """The second shard of three was killed, which was told once, with the end of its log."""
    statuses = exp.statuses()
    found = {index: statuses[f"orchestrator_{index}"].state.value for index in states}
    assert found == states
    (told,) = [text for text in caplog.messages if text.startswith("orchestrator_1 failed on ")]
    assert re.search(r"orchestrator_1\.out ends with:\n +\d+:M ", told), told
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


# -- as a batch job -----------------------------------------------------------------------------


def test_a_shard_runs_as_a_batch_job(slurm: Cluster, exp: Experiment) -> None:
    database = exp.create_database(batch=True, hosts="nid003", time="00:10:00")
    database.set_cpus(2)
    database.set_batch_arg("comment", "mine")
    exp.start(database)
    shown = slurm.run(
        "squeue", "--noheader", f"--user={os.geteuid()}", "--format=%j|%C|%l|%N|%A|%k"
    )
    (line,) = [line for line in shown.splitlines() if line.startswith("orchestrator")]
    _, *facts, job, comment = line.split("|")
    assert facts == ["2", "10:00", "nid003"]
    assert comment.startswith("mine")
    assert " Requeue=0 " in slurm.run("scontrol", "--oneliner", "show", "job", job)
    model = client(exp, "model", batch=True)
    exp.start(model)
    assert said(model)[0] == "7"
    exp.stop(database)
    assert exp.statuses()["orchestrator_0"].state is State.CANCELLED


def test_what_was_set_is_what_slurm_and_the_server_have(slurm: Cluster, exp: Experiment) -> None:
    database = exp.create_database(batch=True, db_identifier="settled", time="00:10:00")
    database.set_hosts("nid002")
    database.set_walltime("00:07:00")
    database.set_cpus(2)
    database.set_batch_arg("comment", "mine")
    database.set_run_arg("time", "5")
    database.set_max_clients(77)
    database.set_threads(2)
    exp.start(database)
    user = f"--user={os.geteuid()}"
    jobs = slurm.run("squeue", "--noheader", user, "--format=%j|%C|%l|%N|%k").splitlines()
    (job,) = [line for line in jobs if line.startswith("settled")]
    assert job.split("|")[1:] == ["2", "7:00", "nid002", "mine"]
    assert database.live is not None
    number = database.live.jobs["settled_0"].partition("#")[0]
    steps = slurm.run("squeue", "--steps", "--noheader", user, "--format=%i|%l|%N").splitlines()
    (step,) = [line for line in steps if line.startswith(f"{number}.0|")]
    assert step.split("|")[1:] == ["5:00", "nid002"]
    username, password = read_secret(database.live.admin_file)
    where = database.live.shards[0].address
    with redis.Redis(where.host, where.port, username=username, password=password) as admin:
        assert admin.config_get("maxclients", "io-threads") == {
            "maxclients": "77",
            "io-threads": "2",
        }
        database.set_max_memory("1gb")
        assert admin.config_get("maxmemory") == {"maxmemory": str(2**30)}


def test_a_setting_that_the_server_does_not_take_costs_no_job(
    slurm: Cluster, exp: Experiment
) -> None:
    database = exp.create_database(batch=True, db_identifier="wrong")
    database.set_db_conf("maxclients", "many")
    with pytest.raises(InputError, match="does not take maxclients='many'"):
        exp.start(database)
    assert exp.statuses() == {}


def test_nodes_that_a_batch_job_cannot_have_are_told_with_a_way_out(
    slurm: Cluster, exp: Experiment
) -> None:
    with pytest.raises(DatabaseError, match=r"; its job asks for 9 nodes, one for each shard;"):
        exp.start(exp.create_database(batch=True, db_nodes=9, db_identifier="many"))
    database = exp.create_database(batch=True, hosts=["nid001", "nid099"], db_nodes=3)
    with pytest.raises(DatabaseError, match=r"; its job asks for the node\(s\) nid001, nid099"):
        exp.start(database)
    few = exp.create_database(
        batch=True, hosts="nid001", db_nodes=3, shards_per_node=2, db_identifier="few"
    )
    with pytest.raises(InputError, match="has 3 shards, and nid001 take 2 each"):
        exp.start(few)
    assert "few_0" not in exp.statuses()


@pytest.mark.parametrize(("single_cmd", "each"), [(False, 1), (True, 2)])
def test_three_shards_run_in_one_batch_job(
    slurm: Cluster, exp: Experiment, single_cmd: bool, each: int
) -> None:
    database = exp.create_database(
        batch=True, db_nodes=3, single_cmd=single_cmd, shards_per_node=each
    )
    exp.start(database)
    assert len(set(database.hosts)) == (2 if single_cmd else 3)
    model = client(exp, "model", batch=True)
    exp.start(model)
    assert said(model)[0] == "7"
    checkpoint = json.loads(Path(database.checkpoint_file).read_text())
    assert len({shard["port"] for shard in checkpoint["shards"]}) == 3


def test_ctrl_c_gives_up_a_job_that_never_begins(
    slurm: Cluster, exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "smartcore")
    database = exp.create_database(batch=True, queue="closed", db_identifier="never")
    interrupt = Timer(4.0, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        exp.start(database)
    interrupt.join(LIMIT)
    assert [text for text in caplog.messages if "waiting for nodes for never_0" in text]
    assert "never" not in slurm.run("squeue", "--noheader", "--format=%j").split()


# -- next to a model ----------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["tcp", "uds"])
def test_a_colocated_database_is_on_its_models_node(
    inside: str, exp: Experiment, strategy: str
) -> None:
    models = [client(exp, name) for name in ("one", "two")]
    for model in models:
        model.run_settings.set_cpus_per_task(5)
        (model.colocate_db_tcp if strategy == "tcp" else model.colocate_db_uds)()
    exp.start(*models)
    found = [said(model) for model in models]
    assert [words[0] for words in found] == ["7", "7"]
    # Their supervisors are in the steps: what the application inherits, they have.
    assert [words[2] for words in found] == ["True", "True"]
    assert len({words[1] for words in found}) == 2
    assert all((Path(m.path) / f"{m.name}-db.log").exists() for m in models)


# Each task adds itself to what its node's database has, and waits until the node's tasks did.
CROWD = """
import json, os, redis, sys, time
where, auth = os.environ["SSDB"], json.load(open(os.environ["SMARTCORE_DB_AUTH"]))
if where.startswith("unix://"):
    client = redis.Redis(unix_socket_path=where.removeprefix("unix://"), **auth)
else:
    client = redis.Redis(port=int(where.split(":")[1]), **auth)
node, program = os.environ["SLURMD_NODENAME"], sys.argv[1]
client.rpush("tasks", f"{node}:{program}:" + os.environ["SLURM_LOCALID"])
end = time.monotonic() + 60
while client.llen("tasks") < int(sys.argv[2]) and time.monotonic() < end:
    time.sleep(0.01)
found = sorted(word.decode() for word in client.lrange("tasks", 0, -1))
sys.stdout.write(f"{node} {where} {','.join(found)}\\n")
"""


def crowd(exp: Experiment, name: str, strategy: str, each: int) -> Model:
    run = exp.create_run_settings(sys.executable, ["-c", CROWD, "a", str(each)])
    run.set_nodes(2)
    run.set_tasks(2 * each)
    model = exp.create_model(name, run)
    (model.colocate_db_tcp if strategy == "tcp" else model.colocate_db_uds)()
    return model


def check_crowd(model: Model, each: int) -> None:
    path = Path(model.path)
    lines = [line.split() for line in (path / f"{model.name}.out").read_text().splitlines()]
    assert len(lines) == 2 * each, (path / f"{model.name}.err").read_text()
    nodes = {line[0] for line in lines}
    assert len(nodes) == 2
    for node in nodes:
        found = [line[1:] for line in lines if line[0] == node]
        tasks = ",".join(f"{node}:a:{number}" for number in range(each))
        assert found == [[found[0][0], tasks]] * each
        assert (path / f"{model.name}-db-{node}.log").exists()
    assert len({line[1] for line in lines}) == 2


@pytest.mark.parametrize("strategy", ["tcp", "uds"])
def test_each_of_several_nodes_has_one_database_for_all_its_tasks(
    inside: str, exp: Experiment, strategy: str
) -> None:
    model = crowd(exp, "crowd", strategy, 2)
    exp.start(model)
    check_crowd(model, 2)
    assert exp.statuses()["crowd"].state is State.COMPLETED
    assert not list(Path(os.environ["SMARTCORE_RUNTIME_DIR"]).glob("*nid*"))


def test_several_models_with_databases_of_their_own_run_in_one_batch_job(
    slurm: Cluster, exp: Experiment
) -> None:
    batch = exp.create_batch_settings(nodes=2, batch_args={"ntasks-per-node": "2"})
    members = [crowd(exp, f"m{number}", "tcp" if number else "uds", 2) for number in range(2)]
    together = exp.create_ensemble("both", batch_settings=batch)
    for member in members:
        together.add_model(member)
    exp.start(together)
    for member in members:
        check_crowd(member, 2)


@pytest.mark.parametrize("array", [False, True])
def test_members_of_a_batch_job_or_an_array_have_databases_of_their_own(
    slurm: Cluster, exp: Experiment, array: bool
) -> None:
    run = exp.create_run_settings(sys.executable, ["-c", CROWD, "a", "2"])
    run.set_nodes(1)
    run.set_tasks(2)
    batch = exp.create_batch_settings(nodes=1, batch_args={"ntasks": "2"})
    batch.set_array(array)
    members = exp.create_ensemble("e", batch_settings=batch, run_settings=run, replicas=2)
    for member in members:
        member.colocate_db_tcp()
    exp.start(members)
    found = {said(member)[1] for member in members}
    assert len(found) == 2
    for member in members:
        node, _, tasks = said(member)[:3]
        assert tasks == f"{node}:a:0,{node}:a:1"


def test_the_nodes_of_each_of_several_programs_have_a_database(
    inside: str, exp: Experiment
) -> None:
    run = exp.create_run_settings(sys.executable, ["-c", CROWD, "a", "2"])
    other = exp.create_run_settings(sys.executable, ["-c", CROWD, "b", "3"])
    for settings, tasks in ((run, 2), (other, 3)):
        settings.set_nodes(1)
        settings.set_tasks(tasks)
    run.make_mpmd(other)
    model = exp.create_model("pair", run)
    model.colocate_db_uds()
    exp.start(model)
    lines = [line.split() for line in (Path(model.path) / "pair.out").read_text().splitlines()]
    assert len(lines) == 5, (Path(model.path) / "pair.err").read_text()
    ends = sorted({tuple(word.partition(":")[2] for word in line[2].split(",")) for line in lines})
    assert ends == [("a:0", "a:1"), ("b:0", "b:1", "b:2")]


def test_a_database_is_pinned_and_its_program_keeps_what_its_settings_gave(
    inside: str, exp: Experiment
) -> None:
    code = """
import json, os, redis
def allowed(pid):
    lines = open(f"/proc/{pid}/status").read().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("Cpus_allowed_list"))
auth = json.load(open(os.environ["SMARTCORE_DB_AUTH"]))
client = redis.Redis(unix_socket_path=os.environ["SSDB"].removeprefix("unix://"), **auth)
print(allowed("self"), allowed(client.info("server")["process_id"]))
"""
    cores = sorted(os.sched_getaffinity(0))
    run = exp.create_run_settings(
        "taskset", ["--cpu-list", str(cores[-1]), sys.executable, "-c", code]
    )
    model = exp.create_model("pinned", run)
    model.colocate_db_uds(custom_pinning=[cores[0]])
    exp.start(model)
    assert said(model) == [str(cores[-1]), str(cores[0])]


def test_a_model_that_is_cancelled_leaves_no_database(
    slurm: Cluster, inside: str, exp: Experiment
) -> None:
    model = crowd(exp, "endless", "uds", 2)
    model.run_settings.exe_args[-1] = "99"  # they wait for tasks that never come
    exp.start(model, block=False)
    logs = [Path(model.path) / f"endless-db-{node}.log" for node in sorted(NODES)]
    wait_until(
        lambda: sum("eady to accept" in log.read_text() for log in logs if log.exists()) == 2
    )
    exp.stop(model)
    assert exp.statuses()["endless"].state is State.CANCELLED
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert str(os.environ["SMARTCORE_RUNTIME_DIR"]) not in shown.stdout
