"""Batch jobs with real scripts, processes and signals."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smartcore.launch.batch.prepare import RECORDS, SCRIPTS
from smartcore.spec import (
    Absent,
    Cause,
    File,
    Job,
    JobId,
    Resources,
    Source,
    Started,
    State,
    Status,
    Step,
    Tag,
)

if TYPE_CHECKING:
    from tests.launch.batch.conftest import Real


def start(real: Real, *work: Step | Job) -> list[JobId]:
    started = real.launcher.start(work)
    assert [one.error for one in started] == ["" for _ in work]
    return [one.id for one in started if one.id is not None]


def wait_for(path: Path) -> None:
    """Return when a job has opened a pipe for writing."""
    path.read_text()


@pytest.mark.parametrize("code", [0, 1, 143, 255])
def test_the_exit_code_is_the_programs_own(real: Real, code: int) -> None:
    (job,) = start(real, real.step("m", "sh", "-c", f"exit {code}"))
    (ended,) = real.ended(job)
    assert ended.returncode == code
    assert ended.state is (State.FAILED if code else State.COMPLETED)
    assert ended.source is Source.RECORD
    assert ended.host.startswith("fake")


def test_outputs_are_whole_and_apart_and_variables_arrive(real: Real) -> None:
    """F25."""
    value = "a,b 'c'\n$(id)"
    step = real.step("m", "sh", "-c", 'printf %s "$V"; echo err >&2; pwd >&2', V=value)
    real.ended(*start(real, step))
    assert step.stdout.read_text() == value
    assert step.stderr.read_text() == f"err\n{step.cwd}\n"


def test_scripts_are_their_owners_and_kept(real: Real) -> None:
    """F35."""
    step = real.step("m", "true", SECRET="x")
    step = replace(step, command=replace(step.command, files=(File(step.cwd / "conf", "text"),)))
    real.ended(*start(real, step))
    assert (step.cwd / "conf").read_text() == "text"
    (script,) = (real.path / "exp" / SCRIPTS).glob("*.sh")
    assert stat.S_IMODE(script.stat().st_mode) == 0o600
    assert stat.S_IMODE(script.parent.stat().st_mode) == 0o700
    assert "SECRET" in script.read_text()


def test_a_time_limit_is_no_failure_with_code_143(real: Real) -> None:
    """F19."""
    step = real.step("m", "sleep", "60")
    step = replace(step, resources=Resources(walltime=timedelta(seconds=0.3)))
    (ended,) = real.ended(*start(real, step))
    assert (ended.state, ended.cause) == (State.TIMEOUT, Cause.TIME_LIMIT)
    assert ended.returncode == -15


@pytest.mark.parametrize("program", ["exec sleep 60", "trap '' TERM; sleep 60"])
def test_a_stop_ends_the_program_also_if_it_ignores_term(real: Real, program: str) -> None:
    ready = real.path / "ready"
    os.mkfifo(ready)
    (job,) = start(real, real.step("m", "sh", "-c", f"echo >{ready}; {program}"))
    wait_for(ready)
    real.launcher.stop([job])
    (ended,) = real.ended(job)
    assert (ended.state, ended.cause) == (State.CANCELLED, Cause.STOPPED)


def test_a_preempted_job_runs_again_and_has_one_end(real: Real) -> None:
    """F18."""
    real.cluster.script({"on": "job", "do": "preempt", "seconds": 0.1})
    program = '[ "$FAKE_RESTART_COUNT" = 1 ] && exit 4; exec sleep 60'
    (job,) = start(real, real.step("m", "sh", "-c", program))
    (ended,) = real.ended(job)
    assert ended.returncode == 4
    assert real.cluster.jobs["1"]["restarts"] == 1


def test_a_job_whose_wrapper_was_killed_ends_on_the_schedulers_word(real: Real) -> None:
    """F20."""
    real.cluster.script({"on": "job", "do": "memory", "seconds": 0.1})
    (job,) = start(real, real.step("m", "sleep", "60"))
    (ended,) = real.ended(job)
    assert (ended.state, ended.cause) == (State.FAILED, Cause.OUT_OF_MEMORY)


def test_members_of_an_array_have_their_own_ends(real: Real) -> None:
    steps = tuple(real.step(f"m{number}", "sh", "-c", f"exit {number}") for number in range(5))
    (started,) = real.launcher.start([Job("arr", Tag("arr-1"), steps, array=True)])
    assert [one.returncode for one in real.ended(*started.members)] == [0, 1, 2, 3, 4]
    assert real.cluster.calls["submit"] == 1
    assert len(real.cluster.jobs) == 5


def test_a_large_array_in_pieces_is_known_to_another_process(real: Real) -> None:
    """F10: also the piece that had to wait for its turn."""
    real.cluster.set(quota=3)
    scheduler = real.launcher.scheduler
    scheduler.rates = replace(scheduler.rates, array_limit=3)
    real.launcher = real.make(scheduler)
    steps = tuple(real.step(f"m{number}", "sh", "-c", f"exit {number}") for number in range(5))
    (started,) = real.launcher.start([Job("arr", Tag("arr-1"), steps, array=True)])
    assert started.id is not None, started.error
    assert [one.returncode for one in real.ended(*started.members)] == [0, 1, 2, 3, 4]
    real.launcher = real.make()
    assert [one.returncode for one in real.ended(*started.members)] == [0, 1, 2, 3, 4]
    (whole,) = real.ended(started.id)
    assert whole.state is State.FAILED
    assert "4 of 5 steps" in whole.reason


def test_steps_of_a_job_run_side_by_side(real: Real) -> None:
    meet = real.path / "meet"
    os.mkfifo(meet)
    steps = (
        real.step("a", "sh", "-c", f"read x <{meet}; exit 3"),
        real.step("b", "sh", "-c", f"echo hello >{meet}"),
    )
    (started,) = real.launcher.start([Job("both", Tag("both-1"), steps, preamble=("set -e",))])
    assert started.id is not None
    assert [one.returncode for one in real.ended(*started.members, started.id)] == [3, 0, 3]


def test_a_lost_submit_is_one_job(real: Real) -> None:
    """F11."""
    real.cluster.script({"on": "submit", "do": "lose", "times": 1})
    (job,) = start(real, real.step("m", "true"))
    assert real.ended(job)[0].state is State.COMPLETED
    assert list(real.cluster.jobs) == ["1"]


def test_an_id_from_before_the_submit_serves_another_process(real: Real) -> None:
    real.cluster.set(quota=1)
    ready = real.path / "ready"
    os.mkfifo(ready)
    # The quota is used up until somebody reads the pipe.
    first, second = real.launcher.start(
        [real.step("a", "sh", "-c", f"echo >{ready}"), real.step("b", "sh", "-c", "exit 5")]
    )
    assert second.id == JobId("#b-1")
    wait_for(ready)
    assert first.id is not None
    real.ended(first.id, second.id)
    real.launcher = real.make()
    assert real.ended(second.id)[0].returncode == 5


def test_a_command_that_hangs_is_killed_with_its_children(real: Real) -> None:
    """F07."""
    pid = real.path / "pid"
    program = real.cluster.bin / "fsub"
    program.write_text(f"#!/bin/sh\nsleep 1000 &\necho $! >{pid}\nwait\n")
    rates = replace(real.launcher.scheduler.rates, timeout=timedelta(seconds=1))
    real.launcher.commands.rates, real.launcher.start_patience = rates, 0
    (started,) = real.launcher.start([real.step("m", "true")])
    assert started.error == ""  # it may have been submitted: it is looked up first
    answer = real.launcher.status([JobId("#m-1")])[JobId("#m-1")]
    assert isinstance(answer, Status)
    assert "did not end" in answer.reason or "did not answer" in answer.reason
    stat_file = Path(f"/proc/{pid.read_text().strip()}/stat")
    assert not stat_file.exists() or stat_file.read_text().split(") ")[1][0] == "Z"


def test_two_hundred_jobs_at_once(real: Real) -> None:
    steps = [real.step(f"m{number}", "sh", "-c", f"exit {number % 3}") for number in range(200)]
    jobs = start(real, *steps)
    ended = real.ended(*jobs)
    assert [one.returncode for one in ended] == [number % 3 for number in range(200)]


def test_a_script_that_cannot_be_written_is_an_error_of_its_job(real: Real) -> None:
    scripts = real.path / "exp" / SCRIPTS
    (real.path / "exp" / RECORDS).mkdir(parents=True)
    scripts.write_text("in the way")
    (started,) = real.launcher.start([real.step("m", "true")])
    assert isinstance(started, Started)
    assert started.id is None
    assert "was not submitted" in started.error


def test_an_id_of_nothing_is_absent(real: Real) -> None:
    answers = real.launcher.status([JobId("77#x-1"), JobId("#x-1"), JobId("x")])
    assert {type(answer) for answer in answers.values()} == {Absent}
