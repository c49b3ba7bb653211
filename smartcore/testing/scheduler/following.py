"""Asking and stopping while commands fail, lag, lie in form, or say too much."""

from __future__ import annotations

import pytest

from smartcore.error import LauncherError
from smartcore.spec import State, Status

from ..contract import case
from ..fakewlm.cluster import FakeCluster
from ..launcher.asking import HABITS
from ..running import Bench, alive
from .base import SchedulerCases, answer_of, wait_for_state

# What a query can do wrong, as the fake cluster's fault script says it.
FAULTS: dict[str, dict[str, object]] = {
    "fail": {"do": "fail", "text": "connection refused"},
    "time out": {"do": "fail", "text": "Socket timed out on send/recv operation"},
    "empty": {"do": "empty"},
    "garbage": {"do": "garbage", "text": "<html>502 Bad Gateway</html>\n"},
    "binary": {"do": "binary"},
    "huge": {"do": "huge", "seconds": 1},
    "unknown word": {"do": "word", "text": "NEWLY_INVENTED"},
}
faults = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)


class FollowingCases(SchedulerCases):
    @case("F01", "F16", "F28")
    @faults
    def test_a_query_that_goes_wrong_ends_no_job(
        self, bench: Bench, fake: FakeCluster, fault: dict[str, object]
    ) -> None:
        step = bench.waiting("sys.exit(3)")
        (job,) = bench.start_up(step)
        wait_for_state(bench, job, State.RUNNING)
        fake.script({"on": "query", **fault}, {"on": "account", **fault})
        before = fake.calls.get("query", 0)

        def asked_again() -> bool:
            answer = answer_of(bench, job)
            assert not (isinstance(answer, Status) and answer.is_terminal), answer
            return fake.calls.get("query", 0) >= before + 4

        bench.wait_until(asked_again, "four queries that go wrong")
        fake.script()
        bench.release(step)
        assert bench.ends([job])[0].returncode == 3

    @case("F01", "F03")
    @faults
    def test_an_end_is_seen_although_a_query_goes_wrong_for_a_while(
        self, bench: Bench, fake: FakeCluster, fault: dict[str, object]
    ) -> None:
        fake.script({"on": "query", "times": 4, **fault})
        ends = bench.run(bench.sh("exit 0"), bench.sh("exit 3"))
        assert [status.returncode for status in ends] == [0, 3]

    @case("F07", "F02")
    def test_a_query_that_hangs_is_given_up(
        self, bench: Bench, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        step = bench.waiting("sys.exit(3)")
        (job,) = bench.start_up(step)
        fake.script({"on": "query", "do": "hang", "times": 1})
        answer_of(bench, job)
        bench.release(step)
        assert bench.ends([job])[0].returncode == 3

    @case("F15")
    def test_the_users_habits_do_not_reach_the_parsers(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in {**HABITS, "LC_ALL": "de_DE", **self.habits}.items():
            monkeypatch.setenv(name, value)
        step = bench.waiting("sys.exit(3)")
        (job,) = bench.start_up(step)
        wait_for_state(bench, job, State.RUNNING)
        bench.release(step)
        assert bench.ends([job])[0].returncode == 3

    @case("F07", "F08")
    def test_many_jobs_are_asked_about_in_one_query(self, bench: Bench, fake: FakeCluster) -> None:
        steps = [bench.waiting() for _ in range(10)]
        ids = bench.start_up(*steps)
        for job in ids:
            wait_for_state(bench, job, State.RUNNING)
        before = fake.calls.get("query", 0)

        def asked() -> bool:
            bench.launcher.status(ids)
            return fake.calls.get("query", 0) > before

        bench.wait_until(asked, "the next query")
        assert fake.calls.get("query", 0) == before + 1
        answers = bench.launcher.status(ids)
        assert {answer.state for answer in answers.values() if isinstance(answer, Status)} == {
            State.RUNNING
        }
        bench.release(*steps)

    @case("F09")
    def test_many_jobs_are_stopped_by_one_command(self, bench: Bench, fake: FakeCluster) -> None:
        steps = [bench.holding() for _ in range(10)]
        ids = bench.start_up(*steps)
        bench.launcher.stop(ids)
        assert {status.state for status in bench.ends(ids)} == {State.CANCELLED}
        assert fake.calls["cancel"] <= 2
        for step in steps:
            bench.wait_until_gone(step)

    @case("F09")
    def test_a_stop_that_fails_at_first_is_tried_again(
        self, bench: Bench, fake: FakeCluster
    ) -> None:
        fake.script({"on": "cancel", "do": "fail", "times": 1, "text": "Socket timed out"})
        step = bench.holding()
        ids = bench.start_up(step)
        bench.launcher.stop(ids)
        assert bench.ends(ids)[0].state is State.CANCELLED
        bench.wait_until_gone(step)

    @case("F09", "F04")
    def test_one_id_that_has_gone_does_not_save_the_others_from_a_stop(self, bench: Bench) -> None:
        step = bench.holding()
        ids = [*bench.start(bench.sh("exit 0")), *bench.start_up(step)]
        bench.launcher.stop(ids)
        assert bench.ends(ids[1:])[0].state is State.CANCELLED
        bench.wait_until_gone(step)

    @case("F09", "F33")
    def test_a_job_that_is_stopped_in_the_queue_never_runs(
        self, bench: Bench, fake: FakeCluster
    ) -> None:
        fake.set(start_delay=1000.0)
        step = bench.sh("touch ran")
        (job,) = bench.start(step)
        wait_for_state(bench, job, State.QUEUED)
        bench.launcher.stop([job])
        assert bench.ends([job])[0].state is State.CANCELLED
        assert not (step.cwd / "ran").exists()

    @case("F18")
    def test_a_suspended_job_is_paused_and_alive(self, bench: Bench, fake: FakeCluster) -> None:
        fake.script({"on": "job", "do": "suspend", "seconds": 0.2})
        step = bench.holding()
        (job,) = bench.start_up(step)
        wait_for_state(bench, job, State.PAUSED)
        assert alive(step)

    @case("F03", "F22")
    def test_a_running_job_that_the_queue_forgets_has_not_ended(
        self, bench: Bench, fake: FakeCluster
    ) -> None:
        step = bench.waiting("sys.exit(3)")
        fake.script({"on": "job", "do": "vanish"})
        (job,) = bench.start_up(step)
        for _ in range(20):
            answer = answer_of(bench, job)
            assert not (isinstance(answer, Status) and answer.is_terminal), answer
        bench.release(step)
        assert bench.ends([job])[0].returncode == 3

    @case("F21", "F03", "F05")
    def test_records_and_output_that_come_after_a_job_has_left_the_queue_are_waited_for(
        self, bench: Bench, fake: FakeCluster
    ) -> None:
        step = bench.waiting("print('late'); sys.exit(3)")
        fake.set(accounting="off")
        fake.script({"on": "job", "do": "vanish", "seconds": 0.1})
        # On a busy host it is gone before anybody has seen it run.
        (job,) = bench.start_up(step)
        before = fake.calls.get("query", 0)

        def asked_again() -> bool:
            answer = answer_of(bench, job)
            assert not (isinstance(answer, Status) and answer.is_terminal), answer
            return fake.calls.get("query", 0) >= before + 30

        bench.wait_until(asked_again, "thirty queries, of which the last know nothing of the job")
        bench.release(step)
        assert bench.ends([job])[0].returncode == 3
        assert step.stdout.read_text() == "late\n"

    @case("F08")
    def test_jobs_that_have_ended_are_not_asked_about(
        self, bench: Bench, fake: FakeCluster
    ) -> None:
        ids = bench.start(*(bench.sh("exit 0") for _ in range(5)))
        bench.ends(ids)
        before = fake.calls
        for _ in range(10):
            bench.launcher.status(ids)
        assert fake.calls == before

    @case("F01")
    def test_a_cluster_that_does_not_answer_at_all_is_an_error_not_an_end(
        self, bench: Bench, fake: FakeCluster
    ) -> None:
        step = bench.waiting("sys.exit(3)")
        (job,) = bench.start_up(step)
        fake.script({"on": "query", "do": "fail", "text": "connection refused"})

        def is_told() -> bool:
            try:
                bench.launcher.status([job])
            except LauncherError:
                return True
            return False

        bench.wait_until(is_told, "an error that says that nothing can be known")
        fake.script()
        bench.release(step)
        assert bench.ends([job])[0].returncode == 3
