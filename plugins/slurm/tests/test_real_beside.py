"""Databases beside programs that a real Slurm binds to cores, or begins again."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
from db_clients import CORES, said
from slurm_cluster import Cluster

from smartcore import Experiment
from smartcore.spec import State
from smartcore.testing.running import wait_until

# Waits in its first turn.
TURNS = """
import json, os, redis, time
auth = json.load(open(os.environ["SMARTCORE_DB_AUTH"]))
client = redis.Redis(unix_socket_path=os.environ["SSDB"].removeprefix("unix://"), **auth)
print(client.incr("turns"), os.environ.get("SLURM_RESTART_COUNT"), flush=True)
if not os.path.exists("again"):
    open("again", "w").close()
    time.sleep(1000)
"""


def test_a_database_is_not_bound_as_the_tasks_beside_it(slurm: Cluster, exp: Experiment) -> None:
    cores = sorted(os.sched_getaffinity(0))
    run = exp.create_run_settings(sys.executable, ["-c", CORES])
    run.set_tasks(2)
    run.set_cpu_bindings([cores[-1], cores[-1]])
    # Slurm binds to cores by their numbers on whole nodes only.
    batch = exp.create_batch_settings(nodes=1, batch_args={"exclusive": None})
    both = exp.create_ensemble("both", batch_settings=batch)
    for name, pinning in (("pinned", [cores[0]]), ("free", [])):
        model = exp.create_model(name, copy.deepcopy(run))
        model.colocate_db_uds(custom_pinning=pinning)
        both.add_model(model)
    exp.start(both)
    status = Path("/proc/self/status").read_text()
    every = status.partition("Cpus_allowed_list:")[2].split()[0]
    assert [said(model) for model in both] == [
        [str(cores[-1]), str(cores[0])] * 2,
        [str(cores[-1]), every] * 2,
    ]


def test_a_model_that_begins_again_has_a_new_database(
    slurm: Cluster, exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    run = exp.create_run_settings(sys.executable, ["-c", TURNS])
    batch = exp.create_batch_settings(nodes=1, batch_args={"requeue": None})
    model = exp.create_model("model", run, batch_settings=batch)
    model.colocate_db_uds()
    exp.start(model, block=False)
    wait_until((Path(model.path) / "again").exists)
    (job,) = slurm.run("squeue", "--noheader", "--name=model", "--format=%A").split()
    slurm.run("scontrol", "requeue", job)
    wait_until(lambda: slurm.has_left(job))
    # Slurm lets it wait for two minutes; refused while the requeue goes on.
    argv = ["scontrol", "update", f"JobId={job}", "StartTime=now+3"]
    wait_until(
        lambda: subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode == 0
    )
    exp.wait(model, timeout=60)
    assert exp.status(model).state is State.COMPLETED
    assert said(model) == ["1", "1"]
    assert "failed" not in caplog.text
