"""Databases as batch jobs of a real Slurm."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from threading import Thread

import pytest
import redis
from db_clients import client, said
from slurm_cluster import Cluster

from smartcore import Experiment
from smartcore.database import read_secret
from smartcore.error import DatabaseError, InputError
from smartcore.spec import State
from smartcore.testing.running import wait_until

LIMIT = 60


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


def test_mpirun_puts_the_shards_of_a_batch_job_on_its_nodes(
    open_mpi: None, exp: Experiment
) -> None:
    database = exp.create_database(batch=True, db_nodes=3, run_command="mpirun")
    exp.start(database)
    assert len(set(database.hosts)) == 3


def test_ctrl_c_gives_up_a_job_that_never_begins(
    slurm: Cluster, exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "smartcore")
    database = exp.create_database(batch=True, queue="closed", db_identifier="never")
    waiting = "waiting for nodes for never_0"

    def press() -> None:
        try:
            wait_until(lambda: waiting in caplog.text)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    interrupt = Thread(target=press)
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        exp.start(database)
    interrupt.join(LIMIT)
    assert "never" not in slurm.run("squeue", "--noheader", "--format=%j").split()
