"""What ``stop`` does: politely, then not, to all of a job and to nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from smartcore.spec import JobId, State, Status

from ..contract import case
from ..running import Bench, alive
from .asking import UNKNOWN
from .base import LauncherCases

POLITE = """
def leave(*_):
    open("asked", "w").close()
    sys.exit({code})
signal.signal(signal.SIGTERM, leave)
"""
IGNORE = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
# A child that shares the lock; in its own process group, as the ranks of an MPI are.
FORK = """
{before}
if os.fork() == 0:
    {child}
    open("child", "w").close()
    while True:
        signal.pause()
while not os.path.exists("child"):
    time.sleep(0.002)
"""


class StoppingCases(LauncherCases):
    @case("F23")
    def test_a_job_that_is_stopped_is_cancelled_and_gone(self, bench: Bench) -> None:
        step = bench.holding()
        ids = bench.start_up(step)
        assert alive(step)
        bench.launcher.stop(ids)
        (status,) = bench.ends(ids)
        assert status.state is State.CANCELLED
        bench.wait_until_gone(step)

    @case("F23")
    def test_a_job_is_asked_before_it_is_killed(self, bench: Bench) -> None:
        step = bench.holding(POLITE.format(code=3))
        ids = bench.start_up(step)
        bench.launcher.stop(ids)
        (status,) = bench.ends(ids)
        assert status.state is State.CANCELLED
        assert (step.cwd / "asked").exists()

    @case("F19", "F23")
    def test_a_job_that_returns_0_when_stopped_is_not_completed(self, bench: Bench) -> None:
        step = bench.holding(POLITE.format(code=0))
        ids = bench.start_up(step)
        bench.launcher.stop(ids)
        (status,) = bench.ends(ids)
        assert status.state is State.CANCELLED

    @case("F23")
    def test_a_job_that_ignores_the_request_is_killed(self, bench: Bench) -> None:
        step = bench.holding(IGNORE)
        ids = bench.start_up(step)
        bench.launcher.stop(ids)
        (status,) = bench.ends(ids)
        assert status.state is State.CANCELLED
        bench.wait_until_gone(step)

    @case("F23")
    def test_children_are_stopped_with_their_job(self, bench: Bench) -> None:
        step = bench.holding(FORK.format(before="", child="pass"))
        ids = bench.start_up(step)
        bench.launcher.stop(ids)
        bench.ends(ids)
        bench.wait_until_gone(step)

    @case("F23")
    def test_children_in_their_own_group_that_ignore_the_request_are_stopped(
        self, bench: Bench
    ) -> None:
        step = bench.holding(FORK.format(before=IGNORE, child="os.setpgid(0, 0)"))
        ids = bench.start_up(step)
        bench.launcher.stop(ids)
        bench.ends(ids)
        bench.wait_until_gone(step)

    @case("F23")
    def test_children_are_stopped_when_their_parent_leaves_at_once(self, bench: Bench) -> None:
        # The parent obeys, the child does not: what is left of the job must be found.
        child = "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.setpgid(0, 0)"
        step = bench.holding(FORK.format(before="", child=child))
        ids = bench.start_up(step)
        bench.launcher.stop(ids)
        bench.ends(ids)
        bench.wait_until_gone(step)

    @case("F11", "F23")
    def test_a_job_stopped_while_it_starts_does_not_live_on(self, bench: Bench) -> None:
        steps = [bench.holding() for _ in range(10)]
        for step in steps:
            ids = bench.start(step)
            bench.launcher.stop(ids)
            (status,) = bench.ends(ids)
            assert status.state is State.CANCELLED
        for step in steps:
            bench.wait_until_gone(step)

    @case("F09")
    def test_jobs_stopped_before_they_could_run_leave_nothing_behind(self, bench: Bench) -> None:
        steps = [bench.holding() for _ in range(20)]
        ids = bench.start(*steps)
        bench.launcher.stop(ids)
        assert {status.state for status in bench.ends(ids)} == {State.CANCELLED}
        for step in steps:
            bench.wait_until_gone(step)

    @case("F09")
    def test_stopping_twice_is_no_error(self, bench: Bench) -> None:
        step = bench.holding()
        ids = bench.start_up(step)
        bench.launcher.stop(ids)
        bench.launcher.stop(ids)
        bench.ends(ids)
        bench.launcher.stop(ids)
        (status,) = bench.ends(ids)
        assert status.state is State.CANCELLED

    @case("F04", "F09")
    def test_stopping_what_is_unknown_is_no_error(self, bench: Bench, tmp_path: Path) -> None:
        bench.launcher.stop([JobId(text) for text in UNKNOWN.values()])
        assert not (Path.cwd() / "pwned").exists()

    @case("F09")
    def test_stopping_nothing_is_no_error(self, bench: Bench) -> None:
        bench.launcher.stop([])

    @case("F04", "F09")
    def test_unknown_and_ended_ids_do_not_save_a_job_from_being_stopped(self, bench: Bench) -> None:
        step = bench.holding()
        (job,) = bench.start_up(step)
        (ended,) = bench.start(bench.sh("exit 0"))
        bench.ends([ended])
        bench.launcher.stop([JobId("nonsense"), ended, job, JobId("999999999.5")])
        (status,) = bench.ends([job])
        assert status.state is State.CANCELLED
        bench.wait_until_gone(step)

    @case("F22", "F19")
    def test_stopping_what_has_ended_changes_nothing(self, bench: Bench) -> None:
        ids = bench.start(bench.sh("exit 0"), bench.sh("exit 3"))
        bench.ends(ids)
        bench.launcher.stop(ids)
        found = [(status.state, status.returncode) for status in bench.ends(ids)]
        assert found == [(State.COMPLETED, 0), (State.FAILED, 3)]

    @case("F22")
    def test_stopping_what_ends_just_now_never_hides_how_it_ended(self, bench: Bench) -> None:
        # The file is made by the shell's last act, so that the end and the stop meet.
        steps = [bench.sh("touch done; exit 3") for _ in range(10)]
        for step in steps:
            ids = bench.start(step)
            bench.wait_until((step.cwd / "done").exists, "the step's file")
            bench.launcher.stop(ids)
            (status,) = bench.ends(ids)
            assert status.state in {State.FAILED, State.CANCELLED}
            assert (status.state is State.CANCELLED) or status.returncode == 3

    @case("F23")
    def test_only_what_was_named_is_stopped(self, bench: Bench) -> None:
        first, second = bench.holding(), bench.holding()
        ids = bench.start_up(first, second)
        bench.launcher.stop(ids[:1])
        bench.ends(ids[:1])
        bench.wait_until_gone(first)
        answer = bench.launcher.status(ids)[ids[1]]
        assert isinstance(answer, Status)
        assert not answer.is_terminal
        assert alive(second)

    @case("F23")
    def test_the_driver_and_its_other_children_survive_a_stop(self, bench: Bench) -> None:
        bystander = os.spawnvp(os.P_NOWAIT, "sleep", ["sleep", "1000"])
        try:
            ids = bench.start_up(bench.holding())
            bench.launcher.stop(ids)
            bench.ends(ids)
            assert os.waitpid(bystander, os.WNOHANG) == (0, 0)
        finally:
            os.kill(bystander, 9)
            if os.waitid(os.P_PID, bystander, os.WEXITED | os.WNOWAIT) is not None:
                os.waitpid(bystander, 0)
