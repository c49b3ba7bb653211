"""What a database's settings become in the commands and the jobs of Slurm; nothing is started."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from smartcore.database import Orchestrator
from smartcore.database.ground import batch_job, make_ground
from smartcore.error import InputError
from smartcore.launch.step import StepBuilder
from smartcore.registry import Registry
from smartcore.spec import File, Job, Placement, Step, Tag


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StepBuilder:
    program = tmp_path / "bin/srun"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho slurm 24.05.0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return StepBuilder(Registry())


Made = tuple[list[str], Job]


@pytest.fixture
def make(builder: StepBuilder, tmp_path: Path) -> Callable[[Orchestrator], Made]:
    def made(database: Orchestrator) -> Made:
        ground = make_ground(database, builder, tmp_path, [])
        command = ground.command([File(tmp_path / "spec.json", "")], tmp_path, Placement())
        steps = [
            Step(f"db_{index}", Tag("t"), command, tmp_path, tmp_path / "o", tmp_path / "e")
            for index in range(database.num_shards)
        ]
        return list(command.argv), batch_job(database, builder, steps)

    return made


@pytest.fixture
def database(tmp_path: Path) -> Orchestrator:
    return Orchestrator(tmp_path, launcher="slurm", db_nodes=3, batch=True, time="01:00:00")


def test_cores_are_those_of_each_shard(
    database: Orchestrator, make: Callable[[Orchestrator], Made]
) -> None:
    database.set_cpus(6)
    argv, job = make(database)
    assert "--cpus-per-task=6" in argv
    assert job.resources.cpus_per_task == 6


def test_the_walltime_that_was_set_wins_over_the_argument(
    database: Orchestrator, make: Callable[[Orchestrator], Made]
) -> None:
    assert make(database)[1].resources.walltime == timedelta(hours=1)
    database.set_walltime("00:07:00")
    assert make(database)[1].resources.walltime == timedelta(minutes=7)


def test_hosts_are_those_of_the_job(
    database: Orchestrator, make: Callable[[Orchestrator], Made]
) -> None:
    database.set_hosts(["nid001", "nid003", "nid004"])
    _, job = make(database)
    assert job.resources.hosts == ("nid001", "nid003", "nid004")


def test_arguments_reach_the_command_that_they_are_for(
    database: Orchestrator, make: Callable[[Orchestrator], Made]
) -> None:
    database.set_batch_arg("--comment", "for the job")
    database.set_batch_arg("exclusive")
    database.set_run_arg("--export", "NONE")
    database.set_run_arg("mem-bind", "local")
    database.set_run_arg("overcommit")
    argv, job = make(database)
    assert job.arguments["comment"] == "for the job"
    assert job.arguments["exclusive"] is None
    assert {"--mem-bind=local", "--overcommit", "--export=NONE"} <= set(argv)
    assert not {"mem-bind", "overcommit"} & set(job.arguments)


@pytest.mark.parametrize("argument", ["array", "wait"])
def test_what_smartcore_sets_itself_is_refused_by_name(
    database: Orchestrator, make: Callable[[Orchestrator], Made], argument: str
) -> None:
    database.set_batch_arg(argument, "x")
    with pytest.raises(InputError, match=argument):
        make(database)
