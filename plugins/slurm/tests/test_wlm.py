from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from slurm_cluster import Cluster

from smartcore.error import AllocationError, InputError, LauncherError, ReservedKeywordError
from smartcore.testing.running import wait_until
from smartcore_slurm import wlm

INSIDE = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NODELIST": "nid[003-004],nid001",
    "SLURM_JOB_PARTITION": "debug",
    "SLURM_NTASKS": "7",
    "SLURM_TASKS_PER_NODE": "3(x2),1",
}
QUESTIONS = (wlm.get_hosts, wlm.get_queue, wlm.get_tasks, wlm.get_tasks_per_node)


def test_the_current_allocation_is_told_by_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in INSIDE.items():
        monkeypatch.setenv(name, value)
    assert wlm.get_hosts() == ["nid001", "nid003", "nid004"]
    assert wlm.get_queue() == "debug"
    assert wlm.get_tasks() == 7
    assert wlm.get_tasks_per_node() == {"nid003": 3, "nid004": 3, "nid001": 1}


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda each: each.__name__)
def test_outside_of_any_allocation_the_missing_variable_is_named(
    question: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in INSIDE:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AllocationError, match="SLURM_"):
        question()  # type: ignore[operator]


def test_the_public_path_is_served() -> None:
    from smartcore.wlm.slurm import get_allocation, release_allocation  # type: ignore[import-not-found]

    assert get_allocation is wlm.get_allocation
    assert release_allocation is wlm.release_allocation


@pytest.mark.parametrize("name", ["t", "time", "N", "nodes", "A", "account", "--nodes"])
def test_options_that_are_parameters_are_refused(name: str) -> None:
    with pytest.raises(ReservedKeywordError, match="parameter of its own"):
        wlm.get_allocation(options={name: "1"})


def test_bad_values_are_refused_before_slurm_is_asked() -> None:
    with pytest.raises(InputError, match="nodes"):
        wlm.get_allocation(nodes=0)
    with pytest.raises(ValueError, match="soon"):
        wlm.get_allocation(time="soon")


def test_without_slurm_the_missing_program_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_CONF", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LauncherError, match="salloc"):
        wlm.get_allocation()
    with pytest.raises(LauncherError, match="sinfo"):
        wlm.get_default_partition()


# -- on a real Slurm ----------------------------------------------------------------------------


def jobs(cluster: Cluster, states: str = "R,PD") -> list[str]:
    return cluster.run(
        "squeue", "--noheader", f"--states={states}", "--name=smartcore", "--format=%i"
    ).split()


def test_partitions_are_known(slurm: Cluster) -> None:
    assert wlm.get_default_partition() == "debug"
    assert wlm.validate(nodes=4, ppn=8)
    assert wlm.validate(nodes=2, partition="gpu")
    assert not wlm.validate(nodes=5)
    assert not wlm.validate(nodes=1, ppn=9)
    with pytest.raises(LauncherError, match="no partition 'none'; there are"):
        wlm.validate(partition="none")


def test_an_allocation_is_held_until_it_is_released(slurm: Cluster) -> None:
    number = wlm.get_allocation(nodes=1, time="00:05:00", options={"ntasks": 1, "p": "debug"})
    assert number in jobs(slurm)
    shown = slurm.run("scontrol", "show", "job", "--oneliner", number)
    assert "TimeLimit=00:05:00" in shown
    wlm.release_allocation(number)
    wait_until(lambda: number not in jobs(slurm), "the end of the allocation")
    wlm.release_allocation(number)  # one that has ended is no error


def test_a_block_releases_its_allocation_whatever_happens(slurm: Cluster) -> None:
    with pytest.raises(ZeroDivisionError), wlm.allocation(options={"ntasks": 1}) as number:
        assert number in jobs(slurm)
        raise ZeroDivisionError
    wait_until(lambda: number not in jobs(slurm), "the end of the allocation")


@pytest.mark.parametrize(
    "arguments",
    [
        {"nodes": 99},
        {"account": "nobody"},
        {"options": {"partition": "none"}},
        {"options": {"constraint": "purple"}},
    ],
    ids=str,
)
def test_a_refusal_has_slurms_own_words(slurm: Cluster, arguments: dict[str, object]) -> None:
    with pytest.raises(AllocationError, match="Slurm said: salloc: error"):
        wlm.get_allocation(**arguments)  # type: ignore[arg-type]


def test_what_is_not_granted_in_time_is_withdrawn(slurm: Cluster) -> None:
    with pytest.raises(AllocationError, match="withdrawn"):
        wlm.get_allocation(options={"partition": "closed"}, timeout=timedelta(seconds=1))
    wait_until(lambda: not jobs(slurm, "PD"), "the end of the request")


def test_a_wait_that_is_interrupted_leaves_no_request_behind(slurm: Cluster) -> None:
    code = "from smartcore_slurm.wlm import get_allocation as g; g(options={'partition': 'closed'})"
    driver = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    wait_until(lambda: bool(jobs(slurm, "PD")), "the request")
    driver.send_signal(signal.SIGINT)
    assert driver.wait(60) != 0
    wait_until(lambda: not jobs(slurm, "PD"), "the end of the request")


def test_what_is_held_at_exit_is_released(slurm: Cluster) -> None:
    code = "from smartcore_slurm.wlm import get_allocation as g; print(g(options={'ntasks': 1}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    number = done.stdout.strip()
    assert number.isdecimal()
    wait_until(lambda: number not in jobs(slurm), "the end of the allocation")


def test_an_allocation_from_python_runs_steps(slurm: Cluster) -> None:
    with wlm.allocation(nodes=2, options={"ntasks-per-node": 1}) as number:
        said = slurm.run("srun", f"--jobid={number}", "sh", "-c", "echo $SLURMD_NODENAME")
    assert len(said.split()) == 2


def test_a_number_that_is_none_is_refused_in_slurms_words(slurm: Cluster) -> None:
    with pytest.raises(AllocationError, match="Invalid job id"):
        wlm.release_allocation("nonsense")
    assert os.environ["SLURM_CONF"] == str(slurm.conf)
