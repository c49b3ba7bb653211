"""What ended a job: its program, or something that the program cannot know of."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from smartcore.spec import Cause, Job, Resources, State

from ..contract import case
from ..fakewlm.cluster import FakeCluster
from ..running import Bench
from .base import SchedulerCases, wait_for_state

# By incarnation: what is left behind tells how often the program was begun.
TWICE = "if [ -e again ]; then exit 3; fi; touch again; exec sleep 1000"


class JobEndsCases(SchedulerCases):
    @case("F19", "F20")
    def test_the_programs_own_exit_codes_and_signals_are_told(self, bench: Bench) -> None:
        codes = (0, 1, 2, 127, 137, 143, 255)
        signals = (6, 9, 11, 15)
        steps = [bench.sh(f"exit {code}") for code in codes]
        steps += [bench.sh(f"kill -{number} $$") for number in signals]
        ends = bench.run(*steps)
        assert [status.returncode for status in ends] == [*codes, *(-n for n in signals)]
        assert {status.state for status in ends[1:]} == {State.FAILED}
        assert ends[0].state is State.COMPLETED

    @case("F05", "F03")
    def test_without_accounting_exit_codes_are_known_nevertheless(
        self, bench: Bench, fake: FakeCluster
    ) -> None:
        fake.set(accounting="off")
        ends = bench.run(bench.sh("exit 0"), bench.sh("exit 3"))
        assert [status.returncode for status in ends] == [0, 3]

    @case("F06")
    def test_accounting_that_comes_late_delays_the_end_and_does_not_change_it(
        self, bench: Bench, fake: FakeCluster
    ) -> None:
        fake.set(accounting_lag=0.5)
        ends = bench.run(bench.sh("exit 0"), bench.sh("exit 3"))
        assert [status.returncode for status in ends] == [0, 3]

    @case("F03", "F22")
    @pytest.mark.parametrize("keep", [0.0, 300.0], ids=["gone at once", "kept"])
    def test_a_job_may_leave_the_queue_at_once_or_stay(
        self, bench: Bench, fake: FakeCluster, keep: float
    ) -> None:
        fake.set(keep=keep)
        ends = bench.run(bench.sh("exit 0"), bench.sh("exit 3"))
        assert [status.returncode for status in ends] == [0, 3]

    @case("F19")
    @pytest.mark.parametrize("lag", [0.0, 0.5], ids=["told at once", "told late"])
    def test_a_job_at_its_limit_of_time_is_a_timeout(
        self, bench: Bench, fake: FakeCluster, lag: float
    ) -> None:
        fake.set(accounting_lag=lag)
        step = bench.holding()
        limit = Resources(walltime=timedelta(seconds=1))
        (status,) = bench.run(replace(step, resources=limit))
        assert (status.state, status.cause) == (State.TIMEOUT, Cause.TIME_LIMIT)
        bench.wait_until_gone(step)

    @case("F19")
    def test_a_job_at_its_limit_that_returns_0_is_a_timeout(
        self, bench: Bench, fake: FakeCluster
    ) -> None:
        # It was told to end and did so properly: the scheduler's word stands.
        setup = "signal.signal(signal.SIGTERM, lambda *_: os._exit(0))"
        step = bench.holding(setup)
        fake.script({"on": "job", "do": "limit", "seconds": 0.5})
        (status,) = bench.run(step)
        assert status.state is State.TIMEOUT

    @case("F20")
    def test_a_job_that_uses_too_much_memory_is_told_so(
        self, bench: Bench, fake: FakeCluster
    ) -> None:
        fake.script({"on": "job", "do": "memory", "seconds": 0.3})
        (status,) = bench.run(bench.holding())
        assert (status.state, status.cause) == (State.FAILED, Cause.OUT_OF_MEMORY)

    @case("F18", "F20")
    @pytest.mark.parametrize("verdict", ["preempt", "node"])
    def test_a_job_that_is_begun_again_ends_as_its_last_incarnation_did(
        self, bench: Bench, fake: FakeCluster, verdict: str
    ) -> None:
        fake.script({"on": "job", "do": verdict, "seconds": 0.5, "restart": 0})
        (job,) = bench.start(bench.sh(TWICE))
        status = wait_for_state(bench, job, State.FAILED)
        assert status.returncode == 3
        (shown,) = fake.jobs.values()
        assert shown["restarts"] == 1

    @case("F18", "F20")
    @pytest.mark.parametrize(
        ("verdict", "cause"),
        [("preempt", Cause.PREEMPTED), ("node", Cause.NODE_FAILURE)],
        ids=["preempted", "node failure"],
    )
    def test_a_job_that_lost_its_node_and_is_not_begun_again_has_failed_for_that(
        self, bench: Bench, fake: FakeCluster, verdict: str, cause: Cause
    ) -> None:
        fake.set(requeue=False)
        fake.script({"on": "job", "do": verdict, "seconds": 0.3})
        step = bench.holding()
        (status,) = bench.run(step)
        assert (status.state, status.cause) == (State.FAILED, cause)
        bench.wait_until_gone(step)

    @case("F18", "F20")
    def test_a_job_that_must_not_be_begun_again_is_not(
        self, bench: Bench, fake: FakeCluster
    ) -> None:
        fake.script({"on": "job", "do": "node", "seconds": 0.3})
        step = bench.holding()
        (status,) = bench.run(Job(step.name, step.tag, (step,), requeue=False))
        assert (status.state, status.cause) == (State.FAILED, Cause.NODE_FAILURE)
        bench.wait_until_gone(step)

    @case("F18")
    def test_a_job_that_waits_to_be_begun_again_has_not_failed(
        self, bench: Bench, fake: FakeCluster
    ) -> None:
        fake.script({"on": "job", "do": "preempt", "seconds": 0.3, "restart": 0})
        step = bench.sh("trap 'exit 1' TERM; touch begun; while :; do sleep 0.05; done")
        (job,) = bench.start(step)
        bench.wait_until((step.cwd / "begun").exists, "the first incarnation")
        fake.set(start_delay=1000.0)
        wait_for_state(bench, job, State.QUEUED)
        for _ in range(20):
            wait_for_state(bench, job, State.QUEUED)

    @case("F17", "F20")
    def test_a_job_that_somebody_else_cancelled_is_cancelled(
        self, bench: Bench, fake: FakeCluster
    ) -> None:
        step = bench.holding()
        (job,) = bench.start_up(step)
        (name,) = fake.jobs
        fake.end(name, "CANCELLED")
        (status,) = bench.ends([job])
        assert status.state is State.CANCELLED
        bench.wait_until_gone(step)

    @case("F19", "F23")
    def test_a_stopped_job_that_returns_0_is_cancelled(self, bench: Bench) -> None:
        step = bench.holding("signal.signal(signal.SIGTERM, lambda *_: os._exit(0))")
        ids = bench.start_up(step)
        bench.launcher.stop(ids)
        assert bench.ends(ids)[0].state is State.CANCELLED

    @case("F21", "F23")
    def test_a_launcher_that_never_saw_the_job_knows_how_it_ended(
        self, bench: Bench, experiment: Path
    ) -> None:
        ids = bench.start(bench.sh("exit 0"), bench.sh("exit 3"))
        bench.ends(ids)
        other = Bench(self.make(experiment), bench.path / "other", self.patience)
        assert [status.returncode for status in other.ends(ids)] == [0, 3]

    @case("F34")
    def test_a_job_that_ends_while_nobody_asks_is_told_truly(
        self, bench: Bench, experiment: Path
    ) -> None:
        step = bench.waiting("open('end', 'w').close(); sys.exit(3)")
        (job,) = bench.start_up(step)
        bench.release(step)
        bench.wait_until((step.cwd / "end").exists, "the end of the step")
        other = Bench(self.make(experiment), bench.path / "other", self.patience)
        assert other.ends([job])[0].returncode == 3
