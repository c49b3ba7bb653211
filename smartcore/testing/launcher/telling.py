"""What a launcher tells by itself, and what it says of this host."""

# mypy: disable-error-code="type-abstract"

from __future__ import annotations

import os
import signal
import threading
import time
from functools import partial

import pytest

from smartcore.spec import Detection, JobId, Limits, State, Status, Watches

from ..context import load
from ..contract import case
from ..running import Bench
from .base import LauncherCases, able


class TellingCases(LauncherCases):
    def told(self, bench: Bench, ids: list[JobId]) -> list[Status]:
        """What was told at last of each job, after all of it has ended."""
        ends = []
        for job in ids:
            has_ended = partial(self.has_ended, bench, job)
            bench.wait_until(has_ended, f"the event for the end of {job}")
            ends.append(bench.heard(job)[-1])
        return ends

    def has_ended(self, bench: Bench, job: JobId) -> bool:
        return any(status.is_terminal for status in bench.heard(job))

    @case("F02", "F22")
    def test_every_end_is_told_exactly_once(self, bench: Bench) -> None:
        able(bench.launcher, Watches)
        ids = bench.start(*(bench.sh(f"exit {code}") for code in range(50)))
        ends = self.told(bench, ids)
        bench.launcher.status(ids)
        self.told(bench, bench.start(bench.sh("exit 0")))  # whatever comes late has come by now
        assert [status.returncode for status in ends] == list(range(50))
        counts = [sum(status.is_terminal for status in bench.heard(job)) for job in ids]
        assert counts == [1] * 50

    @case("F22")
    def test_what_was_told_and_what_is_answered_agree(self, bench: Bench) -> None:
        able(bench.launcher, Watches)
        ids = bench.start(bench.sh("exit 0"), bench.sh("exit 3"), bench.sh("kill -9 $$"))
        for job, told in zip(ids, self.told(bench, ids), strict=True):
            answer = bench.launcher.status([job])[job]
            assert isinstance(answer, Status)
            assert (answer.state, answer.returncode) == (told.state, told.returncode)

    @case("F22")
    def test_nothing_is_told_of_a_job_after_its_end(self, bench: Bench) -> None:
        able(bench.launcher, Watches)
        ids = bench.start(*(bench.sh("exit 0") for _ in range(10)))
        self.told(bench, ids)
        bench.launcher.stop(ids)
        bench.launcher.status(ids)
        self.told(bench, bench.start(bench.sh("exit 0")))
        assert all(bench.heard(job)[-1].is_terminal for job in ids)

    @case("F22")
    def test_a_stop_is_told_as_a_cancellation(self, bench: Bench) -> None:
        able(bench.launcher, Watches)
        ids = bench.start_up(bench.holding())
        bench.launcher.stop(ids)
        assert [status.state for status in self.told(bench, ids)] == [State.CANCELLED]

    @case("F21")
    def test_output_is_whole_when_an_end_is_told(self, bench: Bench) -> None:
        able(bench.launcher, Watches)
        step = bench.sh("seq 5000")
        self.told(bench, bench.start(step))
        assert step.stdout.read_text().splitlines()[-1] == "5000"

    @case("F24")
    def test_questions_and_stops_about_the_unknown_are_told_to_nobody(self, bench: Bench) -> None:
        able(bench.launcher, Watches)
        before = len(bench.events)
        bench.launcher.status([JobId("nonsense")])
        bench.launcher.stop([JobId("nonsense")])
        self.told(bench, bench.start(bench.sh("exit 0")))
        assert len({job for job, _ in bench.events[before:]}) == 1

    @case("F34")
    def test_a_limit_lets_at_least_one_run(self, bench: Bench) -> None:
        assert able(bench.launcher, Limits).max_running >= 1

    @case("F24")
    def test_no_signal_handler_is_changed(self, bench: Bench) -> None:
        before = {number: signal.getsignal(number) for number in signal.valid_signals()}
        ids = bench.start_up(bench.holding())
        bench.launcher.status(ids)
        bench.launcher.stop(ids)
        bench.ends(ids)
        after = {number: signal.getsignal(number) for number in signal.valid_signals()}
        assert after == before

    @case("F24")
    def test_it_works_off_the_main_thread(self, bench: Bench) -> None:
        found: list[int | None] = []

        def work() -> None:
            found.extend(status.returncode for status in bench.run(bench.sh("exit 3")))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert found == [3]


class DetectionCases(LauncherCases):
    @pytest.mark.parametrize(
        "environment",
        [{}, {"PATH": ""}, {"PATH": "/no/such/directory"}, dict(os.environ)],
        ids=["no variables", "empty PATH", "wrong PATH", "this host"],
    )
    @case("F29", "F05")
    def test_a_detector_always_answers_with_its_evidence(
        self, machine: None, environment: dict[str, str]
    ) -> None:
        if not self.detect:
            pytest.skip("it has no detector")
        begun = time.monotonic()
        found = load(self.detect)(environment)
        assert isinstance(found, Detection)
        assert found.evidence.strip()
        assert 0 <= found.score <= 100
        assert time.monotonic() - begun < 10  # two seconds are promised; a slow host is no fault

    @case("F29")
    def test_a_detector_changes_nothing(self, machine: None) -> None:
        if not self.detect:
            pytest.skip("it has no detector")
        environment = dict(os.environ)
        before = dict(os.environ)
        load(self.detect)(environment)
        assert environment == before == dict(os.environ)
