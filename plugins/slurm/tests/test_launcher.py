"""What the launcher does where there is no Slurm: no command of it is on PATH."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from slurm_cluster import placed

from smartcore.error import LauncherError
from smartcore.spec import (
    ABSENT,
    Answer,
    CommandLineScheduler,
    EventSink,
    Finds,
    Job,
    JobId,
    Launcher,
    LauncherContext,
    NativeIds,
    Outlasts,
    Places,
    Processes,
    Started,
    State,
    Status,
    Step,
    WatchesSome,
    Work,
)
from smartcore.testing.context import clean_up, launcher_context
from smartcore.testing.running import Bench, wait_until
from smartcore_slurm.launcher import SlurmLauncher
from smartcore_slurm.notes import Note, Notes
from smartcore_slurm.srun_settings import SrunSettings


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LauncherContext]:
    for name in ("SLURM_JOB_ID", "SLURM_CONF"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "experiment"
    yield launcher_context(path)
    clean_up(path)


@pytest.fixture
def bench(context: LauncherContext, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(SlurmLauncher(context), tmp_path / "runs")
    yield bench
    bench.close()
    context.processes.close()


def test_it_has_the_abilities_that_the_core_looks_for(bench: Bench) -> None:
    launcher: Launcher = bench.launcher
    assert isinstance(launcher, WatchesSome)
    assert isinstance(launcher, Finds)
    assert isinstance(launcher, Places)
    assert isinstance(launcher, NativeIds)
    assert isinstance(launcher, Outlasts)


def test_batch_jobs_are_asked_about_and_steps_are_not(bench: Bench) -> None:
    launcher = bench.launcher
    assert isinstance(launcher, SlurmLauncher)
    assert [launcher.watches(JobId(job)) for job in ("12.34", "unknown-a#b")] == [True, True]
    assert [launcher.watches(JobId(job)) for job in ("7#m-k3", "#m-k3")] == [False, False]


def test_outside_of_an_allocation_a_step_is_refused_with_what_to_do(bench: Bench) -> None:
    (answer,) = bench.launcher.start([placed(bench.sh("exit 0"))])
    assert answer.id is None
    for way in ("salloc", "alloc=", "get_allocation()", "batch settings"):
        assert way in answer.error


def test_outside_of_an_allocation_there_are_no_nodes(bench: Bench) -> None:
    assert isinstance(bench.launcher, SlurmLauncher)
    assert list(bench.launcher.nodes("")) == []


def test_a_program_without_srun_is_a_process_of_this_host(bench: Bench) -> None:
    (status,) = bench.run(bench.sh("exit 7"))
    assert (status.state, status.returncode) == (State.FAILED, 7)


class EndedAtOnce:
    """Processes whose ends are told before their start returns."""

    def __init__(self, inner: Processes) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def watch(self, sink: EventSink, /) -> None:
        self._sink = sink

    def start(self, steps: Sequence[Step], /) -> Sequence[Started]:
        started = self._inner.start(steps)
        for one in started:
            assert one.id is not None, one.error
            wait_until(partial(self._ended, one.id))
        return started

    def _ended(self, job: JobId) -> bool:
        status = self._inner.status([job])[job]
        assert isinstance(status, Status)
        if status.is_terminal:
            self._sink(job, status)
        return status.is_terminal


@pytest.mark.parametrize("around", [lambda inner: inner, EndedAtOnce])
def test_a_step_is_named_and_noted_and_its_end_explained(
    context: LauncherContext,
    bench: Bench,
    tmp_path: Path,
    around: Callable[[Processes], Processes],
) -> None:
    # Slurm does not answer, which is no reason to refuse: the variables say that there are nodes.
    environment, processes = {"SLURM_JOB_ID": "7"}, around(context.processes)
    launcher = SlurmLauncher(replace(context, environment=environment, processes=processes))
    own = Bench(launcher, tmp_path / "own")
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\necho "$@"\necho "srun: error: n1: task 0: Killed" >&2\nexit 137\n')
    srun.chmod(0o755)
    step = own.sh("exit 0")
    wanted = placed(step, SrunSettings("true"))
    command = replace(wanted.command, argv=(str(srun), *wanted.command.argv[1:]))
    (status,) = own.run(replace(wanted, command=command))
    assert status.returncode == -9
    assert f"--job-name={step.tag}" in step.stdout.read_text()
    own.close()


QUEUED = Status(State.QUEUED)


class Submits(Launcher):
    """Takes jobs, and says so."""

    def start(self, work: Sequence[Work], /) -> Sequence[Started]:
        return [Started(JobId(f"1#{item.tag}")) for item in work]

    def status(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        return dict.fromkeys(ids, QUEUED)

    def stop(self, ids: Collection[JobId], /) -> None:
        raise LauncherError(f"cannot stop {', '.join(ids)}")


def test_jobs_go_to_the_batch_service_and_steps_do_not(
    context: LauncherContext, bench: Bench
) -> None:
    made: list[str] = []

    def batch(scheduler: CommandLineScheduler, /) -> Launcher:
        made.append(scheduler.name)
        return Submits()

    launcher = SlurmLauncher(replace(context, batch=batch))
    step = bench.sh("exit 0")
    (first,) = launcher.start([step])
    assert made == []  # the scheduler is made when there is a job
    step = bench.sh("exit 0")
    second, third = launcher.start([Job("j", step.tag, (step,)), step])
    assert made == ["slurm"]
    assert second.id == f"1#{step.tag}"
    assert first.id is not None
    assert third.id is not None
    answers = launcher.status([second.id, JobId("12.34")])
    assert answers[JobId("12.34")] is ABSENT
    assert answers[second.id] == launcher.attach([second.id])[second.id]
    bench.ends([first.id, third.id])
    with pytest.raises(LauncherError, match="cannot stop 1#"):
        launcher.stop([first.id, second.id])


def test_what_starts_daemons_by_srun_does_not_wait_for_cores_of_other_steps(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_OVERLAP", raising=False)
    program = tmp_path / "mpirun"
    program.write_text('#!/bin/sh\necho "$SLURM_OVERLAP"\n')
    program.chmod(0o755)
    steps = [bench.step(str(program)), bench.sh('echo "$SLURM_OVERLAP"')]
    bench.run(*steps)
    assert [step.stdout.read_text() for step in steps] == ["1\n", "\n"]


def test_of_which_allocations_it_is_known_that_they_have_ended(
    context: LauncherContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    # That of a partition which is hidden is not listed unless all are asked for.
    squeue = 'case " $* " in *" --all "*) echo 8 ;; esac; echo 9; cat "$0.says" >&2'
    config = 'echo "Configuration data as of now"; echo "ClusterName             = here"'
    for name, script in (("squeue", squeue), ("scontrol", config)):
        (commands / name).write_text(f"#!/bin/sh\n{script}\n")
        (commands / name).chmod(0o755)
    said = commands / "squeue.says"
    said.touch()
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    launcher = SlurmLauncher(context)
    assert launcher.outlasted([JobId("1.1")]) == {}
    Notes(context.path).add(
        [
            Note(JobId("1.1"), "a", "7", "/x"),
            Note(JobId("2.1"), "b", "7", "/x", cluster="here"),
            Note(JobId("3.1"), "c", "7", "/x", cluster="another"),
            Note(JobId("4.1"), "d", "8", "/x", cluster="here"),
            Note(JobId("5#e"), "", "", "/x"),
        ]
    )
    ids = [JobId(job) for job in ("1.1", "2.1", "3.1", "4.1", "5#e")]
    told = launcher.outlasted(ids)
    assert told == dict.fromkeys(ids[:2], "its allocation 7 has ended")
    said.write_text("squeue: error: slurm_load_jobs error: Unable to contact slurm controller\n")
    (commands / "squeue").write_text('#!/bin/sh\ncat "$0.says" >&2\n')
    with pytest.raises(LauncherError, match="Unable to contact"):
        launcher.outlasted(ids)
