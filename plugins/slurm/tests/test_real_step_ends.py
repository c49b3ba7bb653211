"""How steps end on the project's own Slurm, whatever goes wrong."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from slurm_cluster import Cluster, SrunSteps, placed

from smartcore.spec import (
    Cause,
    Command,
    JobId,
    LauncherContext,
    State,
    Status,
)
from smartcore.testing.elsewhere import elsewhere
from smartcore.testing.running import Bench, alive, wait_until
from smartcore_slurm.srun_settings import SrunSettings
from smartcore_slurm.steps import find_steps, step_name


def pid_of(job: JobId) -> int:
    return int(job.partition(".")[0])


def test_a_step_over_its_time_is_a_timeout(plain: Bench) -> None:
    # Slurm looks at times every half a minute, and rounds them up to minutes: an srun that says so.
    step = plain.step("true")
    words = (
        "slurmstepd: error: *** STEP 7.0 ON nid001 CANCELLED AT 2026-01-01 DUE TO TIME LIMIT ***"
    )
    script = step.cwd / "srun"
    script.write_text(f"#!/bin/sh\necho '{words}' >&2; exit 143\n")
    script.chmod(0o755)
    (status,) = plain.run(replace(step, command=Command((str(script),))))
    assert (status.state, status.cause) == (State.TIMEOUT, Cause.TIME_LIMIT)


def test_a_step_over_its_memory_is_told_as_that(plain: Bench) -> None:
    wanted = SrunSettings("true")
    wanted.set_memory_per_node(60)
    step = placed(plain.python("import time; x = b'x' * 400_000_000; time.sleep(20)"), wanted)
    (status,) = plain.run(step)
    assert (status.state, status.cause) == (State.FAILED, Cause.OUT_OF_MEMORY)


def test_a_step_that_is_cancelled_behind_our_back_is_cancelled(
    bench: Bench, slurm: Cluster
) -> None:
    step = bench.holding()
    ids = bench.start_up(step)
    (steps,) = find_steps([step_name(step.tag)]).values()
    slurm.run("scancel", *steps)
    (status,) = bench.ends(ids)
    assert status.state is State.CANCELLED
    assert "CANCELLED AT" in status.reason


def test_a_program_that_dies_of_a_signal_is_told_from_one_that_returns_its_code(
    bench: Bench,
) -> None:
    died, returned = bench.run(bench.sh("kill -9 $$"), bench.sh("exit 137"))
    assert (died.returncode, died.cause) == (-9, Cause.SIGNAL)
    assert (returned.returncode, returned.cause) == (137, Cause.EXIT_CODE)


def test_an_srun_that_is_killed_leaves_no_step_behind(bench: Bench, slurm: Cluster) -> None:
    step = bench.holding()
    (job,) = bench.start_up(step)
    os.killpg(pid_of(job), signal.SIGKILL)
    bench.wait_until(lambda: bool(bench.heard(job)), "the end of srun")
    assert bench.heard(job)[-1].state is State.FAILED
    bench.wait_until_gone(step)
    assert not find_steps([step_name(step.tag)])


def test_a_stop_ends_a_step_that_has_lost_its_srun(bench: Bench, inside: str) -> None:
    step = bench.holding()
    # A step of this name that no srun of ours belongs to any more.
    name = step_name(step.tag)
    first = bench.sh("exit 0")
    (job,) = bench.start(replace(first, tag=step.tag))
    bench.ends([job])
    argv = ["srun", f"--job-name={name}", "--overlap", "-N1", "-n1", *step.command.argv]
    lost = subprocess.Popen(argv, cwd=step.cwd, start_new_session=True)
    bench.wait_until((step.cwd / "up").exists, "the start of the step")
    os.killpg(lost.pid, signal.SIGKILL)
    lost.wait()
    assert alive(step)
    bench.launcher.stop([job])
    bench.wait_until_gone(step)
    assert not find_steps([name])


def test_a_killed_drivers_steps_are_stopped_from_another_process(
    context: LauncherContext, tmp_path: Path, slurm: Cluster
) -> None:
    launcher = SrunSteps(context)
    bench = Bench(launcher, tmp_path / "runs")
    step = bench.holding()
    with elsewhere("slurm_cluster:SrunSteps", context.path) as other:
        (job,) = other.start([step])
        bench.wait_until((step.cwd / "up").exists, "the start of the step")
        other.kill()
    # Its srun is killed, too: the step can only be found by its name.
    answers = launcher.attach([job])
    assert isinstance(answers[job], Status)
    os.killpg(pid_of(job), signal.SIGKILL)
    launcher.stop([job])
    bench.wait_until_gone(step)
    assert not find_steps([step_name(step.tag)])
    launcher.close()


def test_a_stop_from_another_process_is_told_as_one_by_a_third(
    bench: Bench, context: LauncherContext
) -> None:
    step = bench.holding()
    ids = bench.start_up(step)
    with elsewhere("slurm_cluster:SrunSteps", context.path) as other:
        other.stop(ids)
    with elsewhere("slurm_cluster:SrunSteps", context.path) as third:
        answer = third.status(ids)[ids[0]]
    assert isinstance(answer, Status)
    assert answer.state is State.CANCELLED


def test_two_hundred_steps_run_at_the_same_time(bench: Bench, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with gate.open("w") as held:
        # Each waits for the lock, which wakes nobody until it is given back.
        fcntl.flock(held, fcntl.LOCK_EX)
        script = 'touch up; exec flock --shared "$1" true'
        steps = [bench.sh(script, str(gate)) for _ in range(200)]
        ids = bench.start(*steps)
        for step in steps:
            wait_until((step.cwd / "up").exists, "all of them", timedelta(minutes=1))
    assert {status.state for status in bench.ends(ids)} == {State.COMPLETED}


def test_a_controller_that_is_restarted_disturbs_no_step(bench: Bench, slurm: Cluster) -> None:
    steps = [bench.waiting(f"sys.exit({code})") for code in (0, 7)]
    ids = bench.start_up(*steps)
    slurm.ctl("stop", "slurmctld")
    try:
        bench.release(steps[1])
        (first,) = bench.ends(ids[1:])
    finally:
        slurm.ctl("start", "slurmctld")
    bench.release(*steps)
    (second,) = bench.ends(ids[:1])
    assert (first.returncode, second.returncode) == (7, 0)
