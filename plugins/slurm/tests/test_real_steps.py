"""Steps on the project's own Slurm: what they are given, what is refused, and MPI."""

from __future__ import annotations

import sys
from collections.abc import Callable
from ctypes.util import find_library
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slurm_cluster import Cluster, SrunSteps, placed

from smartcore.spec import (
    Facts,
    Launch,
    Placement,
    Resources,
    Started,
    State,
    Step,
)
from smartcore.testing.context import clean_up, launcher_context
from smartcore.testing.running import Bench, lacks
from smartcore_slurm.launcher import SlurmLauncher
from smartcore_slurm.srun import Srun
from smartcore_slurm.srun_settings import SrunSettings

NASTY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
SHOW = "import os, sys; print(ascii((os.environ.get('V_ONE'), os.environ.get('V_TWO'))))"
# The library itself, because compilers and packages for it are often missing.
MPI = """
import ctypes, os

mpi = ctypes.CDLL(os.environ["MPI_LIBRARY"], ctypes.RTLD_GLOBAL)

def handle(name):
    return ctypes.byref(ctypes.c_char.in_dll(mpi, name))

world, int_, sum_ = map(handle, ("ompi_mpi_comm_world", "ompi_mpi_int", "ompi_mpi_op_sum"))
rank, size, total = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
mpi.MPI_Init(None, None)
mpi.MPI_Comm_rank(world, ctypes.byref(rank))
mpi.MPI_Comm_size(world, ctypes.byref(size))
mpi.MPI_Allreduce(ctypes.byref(rank), ctypes.byref(total), 1, int_, sum_, world)
line = (rank.value, size.value, os.environ["SLURMD_NODENAME"], total.value)
os.write(1, (" ".join(map(str, line)) + "\\n").encode())
mpi.MPI_Finalize()
"""
# Where the emulated nodes have one name, Open MPI takes them for one host; they share no memory.
LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
MPI_ENVIRONMENT = {
    "OMPI_MCA_pml": "ob1",
    "OMPI_MCA_btl": "self,tcp",
    "OMPI_MCA_btl_tcp_if_include": "lo",
    # With Slurm's own choice (22.05) some leave MPI_Init before others are ready, and these crash:
    # seen with one of 40 such programs.
    "SLURM_PMIX_FENCE": "ring",
}


def asking(change: Callable[[SrunSettings], None]) -> SrunSettings:
    made = SrunSettings("true")
    change(made)
    return made


def started(bench: Bench, step: Step) -> Started:
    (answer,) = bench.launcher.start([step])
    return answer


# -- what is passed on --------------------------------------------------------------------------


def check_round_trip(bench: Bench, one: str, two: str) -> None:
    step = bench.python(SHOW, env={"V_ONE": one, "V_TWO": two})
    (status,) = bench.run(step)
    assert status.state is State.COMPLETED, step.stderr.read_text()
    assert step.stdout.read_text().strip() == ascii((one, two))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=NASTY, two=NASTY)
def test_values_of_variables_arrive_unharmed(one: str, two: str, bench: Bench) -> None:
    check_round_trip(bench, one, two)


def test_commas_quotes_and_newlines_arrive_unharmed(bench: Bench) -> None:
    check_round_trip(bench, "a,b=c;d 'e' \"f\"\n$HOME\\", ' {"x": [1, 2]}=, \n')


def test_programs_of_one_step_have_their_own_variables(plain: Bench) -> None:
    code = ["-c", "import os; open(f'r-{os.getpid()}', 'w').write(ascii(os.environ['V_ONE']))"]
    made = SrunSettings(sys.executable, code, env_vars={"V_ONE": "1"})
    other = SrunSettings(sys.executable, code, env_vars={"V_ONE": "a,b\n'"})
    other.set_tasks(2)
    made.make_mpmd(other)
    step = plain.step("true")
    launch = Launch((made.exe, *code), made, step.cwd, made.environment())
    command = Srun().build(launch, Placement(), Facts("srun"))
    assert "a,b" not in " ".join(command.argv)
    (status,) = plain.run(replace(step, command=command))
    assert status.state is State.COMPLETED, step.stderr.read_text()
    found = sorted(path.read_text() for path in step.cwd.glob("r-*"))
    assert found == sorted(map(ascii, ("1", "a,b\n'", "a,b\n'")))


def test_an_mpi_program_runs_over_four_nodes(plain: Bench) -> None:
    library = find_library("mpi") or next(iter(LIBRARIES.glob("libmpi.so.40")), None)
    if library is None:
        lacks("Open MPI is not installed")
    wanted = SrunSettings("true")
    wanted.set_nodes(4)
    wanted.set_tasks(8)
    wanted.set_mpi_type("pmix")
    env = {**MPI_ENVIRONMENT, "MPI_LIBRARY": str(library)}
    step = placed(plain.python(MPI, env=env), wanted)
    (status,) = plain.run(step)
    assert status.state is State.COMPLETED, step.stderr.read_text()
    rows = sorted(line.split() for line in step.stdout.read_text().splitlines())
    assert [row[0] for row in rows] == [str(rank) for rank in range(8)]
    assert {row[2] for row in rows} == {f"nid00{number}" for number in range(1, 5)}
    assert {(row[1], row[3]) for row in rows} == {("8", "28")}


# -- resources ----------------------------------------------------------------------------------


def test_a_step_that_says_nothing_is_one_task_whatever_the_allocation_was_made_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "24")
    monkeypatch.setenv("SLURM_NNODES", "4")
    step = bench.sh("echo one")
    bench.run(step)
    assert step.stdout.read_text() == "one\n"


def test_a_step_gets_the_nodes_and_cpus_that_it_asked_for(bench: Bench, plain: Bench) -> None:
    wanted = asking(lambda made: made.set_hostlist(["nid002", "nid004"]))
    wanted.set_tasks_per_node(2)
    wanted.set_cpus_per_task(3)
    step = placed(plain.sh("echo $SLURMD_NODENAME $SLURM_CPUS_PER_TASK"), wanted)
    (status,) = plain.run(step)
    assert status.state is State.COMPLETED, step.stderr.read_text()
    lines = sorted(step.stdout.read_text().splitlines())
    assert lines == ["nid002 3", "nid002 3", "nid004 3", "nid004 3"]


@pytest.mark.parametrize("tasks", [(2, 2), (3, 1), (1, 2)])
def test_a_plan_is_carried_out_as_it_stands(plain: Bench, tasks: tuple[int, int]) -> None:
    placement = Placement(("nid003", "nid001"), cpus=tuple(2 * n for n in tasks), tasks=tasks)
    step = plain.sh("echo $SLURMD_NODENAME")
    launch = Launch(step.command.argv, SrunSettings("true"), step.cwd, {})
    command = Srun().build(launch, placement, Facts("srun"))
    (status,) = plain.run(replace(step, command=command))
    assert status.state is State.COMPLETED, step.stderr.read_text()
    lines = step.stdout.read_text().splitlines()
    assert [lines.count(host) for host in placement.hosts] == list(tasks)


def test_planned_steps_that_fit_run_side_by_side(plain: Bench) -> None:
    # Each waits for the others, so that none ends if one has to wait for CPUs, memory or GPUs.
    wait = "touch up-$1; for n in 1 2 3; do while [ ! -e up-$n ]; do sleep 0.02; done; done"
    directory = plain.path / "together"
    directory.mkdir(parents=True)
    steps = []
    for number in range(1, 4):
        step = plain.step("sh", "-c", wait, "sh", str(number))
        step = replace(step, cwd=directory)
        launch = Launch(step.command.argv, SrunSettings("true"), step.cwd, {})
        placement = Placement(("nid001",), cpus=(2,), tasks=(1,))
        steps.append(replace(step, command=Srun().build(launch, placement, Facts("srun"))))
    assert {status.state for status in plain.run(*steps)} == {State.COMPLETED}


def test_nodes_of_the_allocation_are_told_with_what_was_granted(plain: Bench, inside: str) -> None:
    launcher = plain.launcher
    assert isinstance(launcher, SlurmLauncher)
    nodes = launcher.nodes("")
    assert [node.name for node in nodes] == ["nid001", "nid002", "nid003", "nid004"]
    assert {(node.cpus, node.memory) for node in nodes} == {(6, 1500 * 2**20)}
    assert list(nodes) == list(launcher.nodes(inside))


def test_steps_are_known_by_their_slurm_ids(bench: Bench, inside: str, slurm: Cluster) -> None:
    step = bench.waiting()
    ids = bench.start_up(step)
    launcher = bench.launcher
    assert isinstance(launcher, SlurmLauncher)
    (native,) = launcher.native_ids(ids).values()
    assert native in slurm.steps()
    assert native.startswith(f"{inside}.")
    bench.release(step)
    bench.ends(ids)
    bench.wait_until(lambda: launcher.native_ids(ids) == {ids[0]: native}, "the accounting")


def test_without_accounting_running_steps_are_known_and_others_left_out(
    slurm_noacct: Cluster,
    allocation_noacct: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", allocation_noacct)
    path = tmp_path / "experiment"
    context = launcher_context(path)
    launcher = SrunSteps(context)
    bench = Bench(launcher, tmp_path / "runs")
    first, second = bench.sh("exit 0"), bench.waiting()
    ids = bench.start(first, second)
    bench.ends(ids[:1])
    bench.wait_until((second.cwd / "up").exists, "the start of the step")
    assert [job for job in ids if job in launcher.native_ids(ids)] == ids[1:]
    launcher.stop(ids)
    bench.wait_until_gone(second)
    launcher.close()
    clean_up(path)


# -- what is refused before it starts -----------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda made: made.set_nodes(5), "needs 5 nodes"),
        (lambda made: made.set_hostlist("nid009"), "nid009 is not in allocation"),
        (lambda made: made.set_tasks(100), "needs 100 CPUs"),
        (lambda made: made.set_cpus_per_task(7), "a task needs 7 CPUs"),
        (lambda made: made.set_gpus_per_node(1), "needs 1 GPUs on a node"),
        (lambda made: made.set_memory_per_node(99_999), "needs 99999 MB"),
        (lambda made: made.set_node_feature("purple"), "the feature purple"),
        (lambda made: made.set_node_feature(["sim", "odd"]), "one feature only"),
        (lambda made: made.set("output", "missing/x"), "is no directory"),
        (lambda made: made.set("error", "/missing/x"), "/missing is no directory"),
    ],
)
def test_what_could_never_run_is_refused_before_it_starts(
    plain: Bench, slurm: Cluster, change: Callable[[SrunSettings], None], words: str
) -> None:
    before = slurm.steps()
    step = plain.sh("exit 0")
    wanted = asking(change)
    answer = started(plain, replace(placed(step, wanted), resources=wanted.resources()))
    assert answer.id is None
    assert words in answer.error
    assert slurm.steps() == before


def test_a_feature_chooses_the_nodes(plain: Bench) -> None:
    wanted = asking(lambda made: made.set_node_feature("even"))
    step = placed(plain.sh("echo $SLURMD_NODENAME"), wanted)
    (status,) = plain.run(step)
    assert status.state is State.COMPLETED
    assert step.stdout.read_text() in ("nid002\n", "nid004\n")


def test_an_allocation_that_has_ended_is_named(plain: Bench, slurm: Cluster) -> None:
    said = slurm.run("salloc", "--no-shell", "--nodes=1", "--ntasks=1")
    ended = said.split()[-1]
    slurm.run("scancel", ended)
    step = placed(plain.sh("exit 0"), SrunSettings("true", alloc=ended))
    plain.wait_until(lambda: started(plain, step).id is None, "the end of the allocation")
    assert f"allocation {ended} has ended" in started(plain, step).error
    never = placed(plain.sh("exit 0"), SrunSettings("true", alloc="999999"))
    assert "allocation 999999 has ended, or never was" in started(plain, never).error


def test_outside_of_any_allocation_the_next_step_is_told(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    path = tmp_path / "experiment"
    context = launcher_context(path)
    launcher = SlurmLauncher(context)
    bench = Bench(launcher, tmp_path / "runs")
    answer = started(bench, placed(bench.sh("exit 0")))
    launcher.close()
    clean_up(path)
    assert answer.id is None
    assert "salloc" in answer.error
    assert "batch settings" in answer.error


def test_resources_are_told_in_the_terms_of_all_launchers() -> None:
    assert SrunSettings("true").resources() == Resources()
