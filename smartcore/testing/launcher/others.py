"""Jobs, and processes other than the one that started them: an id is all that a caller keeps."""

# mypy: disable-error-code="type-abstract"

from __future__ import annotations

import threading
from pathlib import Path

from smartcore.spec import ABSENT, Attaches, Closes, JobId, State, Status, Watches

from ..context import launcher_context
from ..contract import case
from ..elsewhere import elsewhere
from ..running import Bench, alive, wait_for_ends
from .base import LauncherCases, able, close


class OthersCases(LauncherCases):
    @case("F23")
    def test_another_process_sees_that_a_job_runs(self, bench: Bench, experiment: Path) -> None:
        step = bench.waiting()
        (job,) = bench.start_up(step)
        with elsewhere(self.factory, experiment) as other:
            answer = other.status([job])[job]
        bench.release(step)
        assert isinstance(answer, Status)
        assert answer.state in {State.RUNNING, State.QUEUED, State.UNKNOWN}

    @case("F03")
    def test_another_process_calls_an_unknown_id_absent(
        self, bench: Bench, experiment: Path
    ) -> None:
        job = JobId("999999999.5")
        with elsewhere(self.factory, experiment) as other:
            assert other.status([job]) == {job: ABSENT}

    @case("F21", "F23")
    def test_another_process_never_calls_a_failure_completed(
        self, bench: Bench, experiment: Path
    ) -> None:
        ids = bench.start(bench.sh("exit 3"))
        bench.ends(ids)
        with elsewhere(self.factory, experiment) as other:
            answer = other.status(ids)[ids[0]]
        assert answer is ABSENT or answer.state in {State.FAILED, State.LOST}

    @case("F21", "F23")
    def test_another_process_learns_how_jobs_ended(self, bench: Bench, experiment: Path) -> None:
        ids = bench.start(bench.sh("exit 0"), bench.sh("exit 3"))
        bench.ends(ids)
        with elsewhere(self.factory, experiment) as other:
            answers = other.status(ids)
        assert [_code(answers[job]) for job in ids] == [0, 3]

    @case("F21", "F23")
    def test_another_process_follows_a_job_to_its_end_and_exit_code(
        self, bench: Bench, experiment: Path
    ) -> None:
        step = bench.waiting("sys.exit(7)")
        (job,) = bench.start_up(step)
        with elsewhere(self.factory, experiment) as other:
            assert _code(other.status([job])[job]) is None
            bench.release(step)
            answers = other.follow([job], self.patience)
        assert _code(answers[job]) == 7

    @case("F23")
    def test_another_process_stops_a_job(self, bench: Bench, experiment: Path) -> None:
        step = bench.holding()
        ids = bench.start_up(step)
        with elsewhere(self.factory, experiment) as other:
            other.stop(ids)
        (status,) = bench.ends(ids)
        # This launcher may not have heard who stopped it; it must not think that all went well.
        assert status.state in {State.CANCELLED, State.FAILED}
        bench.wait_until_gone(step)

    @case("F23")
    def test_a_job_outlives_a_driver_that_is_killed(self, bench: Bench, experiment: Path) -> None:
        step = bench.holding()
        with elsewhere(self.factory, experiment) as other:
            (job,) = other.start([step])
            bench.wait_until((step.cwd / "up").exists, "the start of the step")
            other.kill()
        answer = bench.launcher.status([job])[job]
        assert isinstance(answer, Status)
        assert not answer.is_terminal
        assert alive(step)
        bench.launcher.stop([job])
        bench.wait_until_gone(step)

    @case("F23", "F21")
    def test_what_a_killed_driver_left_is_followed_to_its_end_and_exit_code(
        self, bench: Bench, experiment: Path
    ) -> None:
        step = bench.waiting("sys.exit(7)")
        with elsewhere(self.factory, experiment) as other:
            (job,) = other.start([step])
            bench.wait_until((step.cwd / "up").exists, "the start of the step")
            other.kill()
        if isinstance(bench.launcher, Attaches):
            bench.launcher.attach([job])
        bench.release(step)
        (status,) = bench.ends([job])
        assert status.returncode == 7

    @case("F21", "F23")
    def test_what_ended_after_its_driver_was_killed_is_told_truly(
        self, bench: Bench, experiment: Path
    ) -> None:
        step = bench.waiting("print('end', flush=True); open('end', 'w').close(); sys.exit(7)")
        with elsewhere(self.factory, experiment) as other:
            (job,) = other.start([step])
            bench.wait_until((step.cwd / "up").exists, "the start of the step")
            other.kill()
        bench.release(step)
        bench.wait_until((step.cwd / "end").exists, "the end of the step")
        (status,) = bench.ends([job])
        assert status.returncode == 7

    @case("F24", "F23")
    def test_a_job_outlives_the_thread_that_started_it(self, bench: Bench) -> None:
        step = bench.waiting("sys.exit(4)")
        ids: list[JobId] = []
        thread = threading.Thread(target=lambda: ids.extend(bench.start_up(step)))
        thread.start()
        thread.join()
        bench.release(step)
        assert [status.returncode for status in bench.ends(ids)] == [4]

    @case("F23")
    def test_closing_leaves_jobs_running(self, bench: Bench, experiment: Path) -> None:
        context = launcher_context(experiment)
        launcher = self.make(context)
        able(launcher, Closes)
        step = bench.holding()
        (started,) = launcher.start([step])
        assert started.id is not None
        bench.wait_until((step.cwd / "up").exists, "the start of the step")
        close(launcher, context)
        close(launcher, context)  # twice is no error
        assert alive(step)
        bench.launcher.stop([started.id])
        bench.wait_until_gone(step)

    @case("F23")
    def test_attaching_to_what_is_unknown_is_absent(self, bench: Bench) -> None:
        unknown = JobId("999999999.5")
        assert able(bench.launcher, Attaches).attach([unknown]) == {unknown: ABSENT}

    @case("F22")
    def test_attaching_to_a_job_of_ones_own_changes_nothing(self, bench: Bench) -> None:
        step = bench.waiting("sys.exit(4)")
        (job,) = bench.start_up(step)
        launcher = able(bench.launcher, Attaches)
        answers = [launcher.attach([job])[job] for _ in range(2)]
        assert all(isinstance(answer, Status) and not answer.is_terminal for answer in answers)
        bench.release(step)
        assert [status.returncode for status in bench.ends([job])] == [4]

    @case("F22")
    def test_attaching_is_enough_to_be_told_of_the_end(
        self, bench: Bench, experiment: Path
    ) -> None:
        launcher = able(bench.launcher, Attaches)
        able(bench.launcher, Watches)
        step = bench.waiting()
        with elsewhere(self.factory, experiment) as other:
            (job,) = other.start([step])
            bench.wait_until((step.cwd / "up").exists, "the start of the step")
            launcher.attach([job])
            bench.release(step)
            wait_for_ends(bench.launcher, [job], self.patience)
            bench.wait_until(lambda: bool(bench.heard(job)), "the event of the end")
        assert sum(status.is_terminal for status in bench.heard(job)) == 1


def _code(answer: object) -> int | None:
    assert isinstance(answer, Status), f"the job is {answer}"
    return answer.returncode
