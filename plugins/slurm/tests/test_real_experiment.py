"""The whole way on the project's own Slurm: drivers, allocations, jobs, arrays and the shell."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import Cluster

from smartcore import Experiment
from smartcore.entity import Ensemble, Model
from smartcore.spec import Cause, State
from smartcore.testing.running import lacks, wait_until

# Where and when it ran, for a plan to be checked against.
REPORT = 'echo $SLURMD_NODENAME $SLURM_JOB_ID $(date +%s.%N); sleep 0.5; date +%s.%N; exit "$1"'


@pytest.fixture
def exp(slurm: Cluster, tmp_path: Path) -> Iterator[Experiment]:
    with Experiment("exp", str(tmp_path), launcher="auto") as made:
        assert made.launcher == "slurm"
        yield made


def members(exp: Experiment, count: int, code: int = 0, cpus: int = 1, **options: Any) -> Ensemble:
    settings = exp.create_run_settings("sh", ["-c", REPORT, "sh", str(code)])
    settings.set_tasks(1)
    settings.set_cpus_per_task(cpus)
    made: Ensemble = exp.create_ensemble("e", run_settings=settings, replicas=count, **options)
    exp.generate(made)
    return made


def reports(ensemble: Ensemble) -> list[tuple[str, str, float, float]]:
    """Node, job, start and end of each member."""
    found = []
    for model in ensemble.models:
        node, job, start, end = (Path(model.path) / f"{model.name}.out").read_text().split()
        found.append((node, job, float(start), float(end)))
    return found


def smartcore(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "smartcore", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# -- in an allocation ---------------------------------------------------------------------------


def test_members_run_where_the_plan_says_and_no_core_is_used_twice(
    exp: Experiment, inside: str
) -> None:
    # Six cores on each of four nodes are two members each: twenty take three turns.
    ensemble = members(exp, 20, cpus=3)
    exp.start(ensemble)
    assert {status.returncode for status in exp.statuses().values()} == {0}
    ran = reports(ensemble)
    for _, _, moment, _ in ran:
        at_once = Counter(node for node, _, start, end in ran if start <= moment < end)
        assert max(at_once.values()) <= 2
    assert Counter(node for node, *_ in ran).keys() == {"nid001", "nid002", "nid003", "nid004"}
    assert exp.summary("tsv").count(f"\t{inside}.") == 20


def test_another_shell_sees_the_plan_and_who_is_next(
    exp: Experiment, inside: str, tmp_path: Path
) -> None:
    settings = exp.create_run_settings("sleep", "1000")
    settings.set_nodes(4)
    settings.set_tasks(24)
    exp.start(exp.create_ensemble("e", run_settings=settings, replicas=2), block=False)
    rows: list[dict[str, Any]] = json.loads(smartcore("plan", tmp_path, "--json").stdout)["plan"]
    nodes = [f"nid00{number}: 6 cores" for number in range(1, 5)]
    assert [(row["name"], row["turn"], row["places"]) for row in rows] == [
        ("e_0", 1, nodes),
        ("e_1", 2, nodes),
    ]
    exp.stop("e_0")
    wait_until(lambda: exp.status("e_1").state is State.RUNNING)


def test_the_developers_preview_shows_the_plan_and_starts_nothing(
    exp: Experiment, inside: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exp.preview(members(exp, 9, cpus=3), verbosity_level="developer")
    shown = capsys.readouterr().out
    assert "e_0: turn 1, nid001: 3 cores" in shown
    assert "e_8: turn 2, nid001: 3 cores" in shown
    assert exp.statuses() == {}


def test_what_is_larger_than_the_allocation_is_refused_and_the_others_run(
    exp: Experiment, inside: str
) -> None:
    large = exp.create_run_settings("true")
    large.set_nodes(5)
    exp.start(
        exp.create_model("large", large), exp.create_model("ok", exp.create_run_settings("true"))
    )
    assert exp.status("large").cause is Cause.START_FAILURE
    assert "the allocation has 4 nodes" in exp.status("large").reason
    assert exp.status("ok").state is State.COMPLETED


DRIVER = """
from smartcore import Experiment
exp = Experiment("exp", {path!r}, launcher="slurm")
sh = lambda text: exp.create_run_settings("sh", ["-c", text], **{options})
make = lambda name, text: exp.create_model(name, sh(text), **({batch}))
exp.start(make("good", "sleep 2"), make("bad", "sleep 2; exit 9"), make("long", "sleep 1000"),
          block=False)
print("ready", flush=True)
input()
"""


@pytest.mark.parametrize("how", ["steps", "jobs"])
def test_a_killed_drivers_work_is_taken_up_with_the_truth(
    slurm: Cluster, inside: str, tmp_path: Path, how: str
) -> None:
    batch = '{"batch_settings": exp.create_batch_settings(nodes=1)}' if how == "jobs" else "{}"
    options = {"run_command": ""} if how == "jobs" else {}
    text = DRIVER.format(path=str(tmp_path), options=options, batch=batch)
    driver = subprocess.Popen(
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "ready\n"
        driver.kill()
    with Experiment.attach(str(tmp_path)) as exp:
        exp.wait("good", "bad", timeout=90)
        assert (exp.status("good").state, exp.status("good").returncode) == (State.COMPLETED, 0)
        assert (exp.status("bad").state, exp.status("bad").returncode) == (State.FAILED, 9)
        assert exp.status("long").state in {State.RUNNING, State.QUEUED}
        exp.stop("long")
        assert exp.status("long").cause is Cause.STOPPED
    assert "sleep 1000" not in slurm.run("squeue", "-h", "-t", "R", "-o", "%i %o")


# -- batch jobs ---------------------------------------------------------------------------------


def test_an_ensemble_is_one_job_with_its_members_as_steps(exp: Experiment) -> None:
    batch = exp.create_batch_settings(nodes=2, time="00:05:00")
    batch.batch_args = {**batch.batch_args, "ntasks-per-node": "2"}
    ensemble = members(exp, 4, code=5, batch_settings=batch)
    exp.start(ensemble)
    ran = reports(ensemble)
    assert len({job for _, job, *_ in ran}) == 1
    assert max(start for *_, start, _ in ran) < min(end for *_, end in ran)  # side by side
    assert {status.returncode for status in exp.statuses().values()} == {5}


def test_a_crash_in_a_job_reads_as_in_a_step(exp: Experiment) -> None:
    def model(name: str, script: str) -> Model:
        batch = exp.create_batch_settings(nodes=1)
        settings = exp.create_run_settings("sh", ["-c", script])
        return exp.create_model(name, settings, batch_settings=batch)

    exp.start(model("crash", "kill -SEGV $$"), model("code", "exit 139"))
    crash, code = exp.statuses()["crash"], exp.statuses()["code"]
    assert (crash.cause, crash.returncode) == (Cause.SIGNAL, -11)
    assert crash.reason.endswith("task 0: Segmentation fault")
    assert (code.cause, code.returncode) == (Cause.EXIT_CODE, 139)


def test_alike_members_are_one_array(exp: Experiment, slurm: Cluster) -> None:
    settings = exp.create_run_settings("sh", ["-c", REPORT, "sh", "0"])
    settings.set_nodes(1)
    batch = exp.create_batch_settings(nodes=1)
    ensemble: Ensemble = exp.create_ensemble(
        "e", run_settings=settings, replicas=6, batch_settings=batch
    )
    exp.start(ensemble)
    ids = [row.split("\t")[3].strip() for row in exp.summary("tsv").splitlines()[1:]]
    array = ids[0].partition("_")[0]
    assert ids == [f"{array}_{index}" for index in range(6)]
    assert {status.state for status in exp.statuses().values()} == {State.COMPLETED}


def test_a_throttle_lets_only_so_many_run_at_once(exp: Experiment) -> None:
    batch = exp.create_batch_settings(nodes=1)
    batch.set_array(throttle=2)
    ensemble = members(exp, 6, batch_settings=batch)
    exp.start(ensemble)
    ran = reports(ensemble)
    assert max(sum(a <= start < b for *_, a, b in ran) for *_, start, _ in ran) <= 2


def test_a_job_that_waits_for_ever_explains_itself(
    exp: Experiment, slurm: Cluster, tmp_path: Path
) -> None:
    batch = exp.create_batch_settings(nodes=1, queue="closed")
    model = exp.create_model("m", exp.create_run_settings("true"), batch_settings=batch)
    exp.start(model, block=False)
    wait_until(lambda: "PartitionDown" in exp.status(model).reason)
    said = smartcore("explain", tmp_path, "m").stdout
    assert "PartitionDown" in said
    assert "Queued" in said
    exp.stop(model)
    assert exp.status(model).state is State.CANCELLED


def test_a_wrong_partition_is_an_error_with_slurms_words(exp: Experiment) -> None:
    batch = exp.create_batch_settings(nodes=1, queue="nowhere")
    model = exp.create_model("m", exp.create_run_settings("true"), batch_settings=batch)
    exp.start(model)
    status = exp.status(model)
    assert (status.state, status.cause) == (State.FAILED, Cause.START_FAILURE)
    assert "invalid partition" in status.reason.lower()


def test_a_failed_member_of_an_array_is_run_again_alone(exp: Experiment, tmp_path: Path) -> None:
    fixed = tmp_path / "fixed"
    script = f"case $PWD in *e_1) [ -e {fixed} ] || {{ touch {fixed}; exit 3; }} ;; esac"
    settings = exp.create_run_settings("sh", ["-c", script], run_command="")
    batch = exp.create_batch_settings(nodes=1)
    batch.set_array()
    ensemble = exp.create_ensemble("e", run_settings=settings, replicas=3, batch_settings=batch)
    exp.start(ensemble, retries=1)
    runs = [(run.name, run.run_id, run.status.returncode) for run in exp._session.history]
    assert runs == [("e_0", 0, 0), ("e_1", 0, 3), ("e_2", 0, 0), ("e_1", 1, 0)]


WITHIN = """
import sys
from smartcore import Experiment
exp = Experiment("exp", sys.argv[1], "slurm")
run = exp.create_run_settings("sh", ["-c", "touch up; exec sleep 1000"])
exp.start(exp.create_model("m", run))
"""


def test_what_a_driver_within_a_job_launched_is_over_when_its_job_has_ended(
    slurm: Cluster, inside: str, tmp_path: Path
) -> None:
    if not slurm.has_host_names:
        lacks("all nodes have this host's name, so that nothing is of another host")
    (tmp_path / "driver.py").write_text(WITHIN)
    command = f"{sys.executable} {tmp_path}/driver.py {tmp_path}"
    argv = ["--parsable", "--ntasks=2", f"--output={tmp_path}/said", f"--wrap=exec {command}"]
    job = slurm.run("sbatch", *argv).strip()
    wait_until((tmp_path / "m" / "up").exists)
    # Not asked to end, as when a node is lost: neither driver nor keeper can write down anything.
    slurm.run("scancel", "--full", "--signal=KILL", job)
    wait_until(lambda: job not in slurm.run("squeue", "--noheader", "--format=%A").split())
    (run,) = json.loads(smartcore("status", tmp_path, "--json").stdout)["runs"]
    assert (run["state"], run["reason"]) == (
        "Lost",
        f"its allocation {job} has ended, and nobody told how it ended",
    )
    exp = Experiment("exp", str(tmp_path), "slurm")
    model = exp.create_model("m", exp.create_run_settings("true"))
    exp.start(model)
    assert exp.status(model).state is State.COMPLETED
