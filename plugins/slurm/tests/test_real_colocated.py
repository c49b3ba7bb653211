"""Databases next to models on a real Slurm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from db_clients import CORES, client, said
from slurm_cluster import Cluster

from smartcore import Experiment
from smartcore.cli import main
from smartcore.cli.shell import Shell
from smartcore.entity import Model
from smartcore.spec import State
from smartcore.testing.running import wait_until

NODES = {f"nid00{number}" for number in range(1, 5)}


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
local = os.environ.get("OMPI_COMM_WORLD_LOCAL_RANK", os.environ["SLURM_LOCALID"])
client.rpush("tasks", f"{node}:{program}:{local}")
end = time.monotonic() + 60
while client.llen("tasks") < int(sys.argv[2]) and time.monotonic() < end:
    time.sleep(0.01)
found = sorted(word.decode() for word in client.lrange("tasks", 0, -1))
sys.stdout.write(f"{node} {where} {','.join(found)}\\n")
"""


def crowd(exp: Experiment, name: str, strategy: str, each: int, run_command: str = "auto") -> Model:
    argv = ["-c", CROWD, "a", str(each)]
    run = exp.create_run_settings(sys.executable, argv, run_command=run_command)
    if run_command == "auto":
        run.set_nodes(2)
    else:  # of the many that it could take
        run.set_hostlist(["nid002", "nid004"])
    run.set_tasks(2 * each)
    model = exp.create_model(name, run)
    colocate = model.colocate_db_tcp if strategy == "tcp" else model.colocate_db_uds
    colocate(maxclients=77)  # which is read back on the nodes
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


def test_mpirun_gives_each_of_several_nodes_one_database_for_all_its_tasks(
    mpirun: None, exp: Experiment
) -> None:
    models = [crowd(exp, strategy, strategy, 2, "mpirun") for strategy in ("tcp", "uds")]
    exp.start(*models)
    for model in models:
        check_crowd(model, 2)
        assert exp.statuses()[model.name].state is State.COMPLETED


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
    cores = sorted(os.sched_getaffinity(0))
    run = exp.create_run_settings(
        "taskset", ["--cpu-list", str(cores[-1]), sys.executable, "-c", CORES]
    )
    model = exp.create_model("pinned", run)
    model.colocate_db_uds(custom_pinning=[cores[0]])
    exp.start(model)
    assert said(model) == [str(cores[-1]), str(cores[0])]


def test_the_databases_of_a_model_are_shown_their_deaths_told_and_none_is_left_when_it_is_cancelled(
    slurm: Cluster, inside: str, exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    run = exp.create_run_settings("sleep", ["1000"])
    run.set_nodes(2)
    run.set_tasks(4)
    model = exp.create_model("endless", run)
    model.colocate_db_uds()
    exp.start(model, block=False)
    wait_until(lambda: len(beside(exp)) == 2)
    shown = {str(one["node"]): one for one in beside(exp)}
    assert set(shown) <= NODES
    for node, one in shown.items():
        assert (one["name"], one["state"]) == (f"endless-db-{node}", "Running")
        assert one.get("problem") in {None, f"it can be reached on its node only; ask on {node}"}
    node = max(shown)
    log = Path(shown[node]["output"])
    os.kill(int(log.read_text().partition(":")[0]), signal.SIGKILL)
    words = f"endless-db-{node} on {node} was killed by SIGKILL, and the model endless went on"
    wait_until(lambda: words in caplog.text)
    assert f"{log} ends with:" in caplog.text
    assert exp.statuses()["endless"].state is State.RUNNING
    exp.stop(model)
    assert exp.statuses()["endless"].state is State.CANCELLED
    assert caplog.text.count("was killed by SIGKILL") == 1
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert str(os.environ["SMARTCORE_RUNTIME_DIR"]) not in left.stdout


def beside(exp: Experiment) -> list[Any]:
    """What a shell sees of the servers next to models."""
    done = CliRunner().invoke(main, ["db", "info", exp.exp_path, "--json"], obj=Shell())
    return [shard for database in json.loads(done.stdout or "[]") for shard in database["shards"]]
