"""Submitting: one job for each piece of work, whatever the scheduler says about it."""

from __future__ import annotations

import stat
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from smartcore.spec import Job, JobId, State, Status, Step, Tag, run_command
from smartcore.spec.scheduler import CommandLineScheduler

from ..context import batch_launcher
from ..contract import case
from ..fakewlm.cluster import FakeCluster
from ..launcher.names import NAMES
from ..running import Bench, alive, wait_for_ends
from .base import SchedulerCases, wait_for_state

CHATTER = {
    "charge": "You will be charged 12 units for job 4711",
    "cluster": "Submitting on cluster slaking, queue 7",
    "numbers": "0 jobs before you, 12 nodes free",
    "banner": "*** Maintenance on 2026-12-24 ***",
}


class SubmittingCases(SchedulerCases):
    @case("F12")
    @pytest.mark.parametrize("text", CHATTER.values(), ids=CHATTER)
    def test_chatter_around_the_id_is_not_read_as_an_id(
        self, bench: Bench, fake: FakeCluster, text: str
    ) -> None:
        fake.script({"on": "submit", "do": "chatter", "text": text})
        step = bench.waiting("sys.exit(3)")
        (job,) = bench.start_up(step)
        # An exit record is found by the tag; that it runs is known by the right id only.
        wait_for_state(bench, job, State.RUNNING)
        bench.release(step)
        assert bench.ends([job])[0].returncode == 3
        assert len(fake.jobs) == 1

    @case("F11")
    def test_a_submit_that_fails_after_it_was_accepted_is_one_job(
        self, bench: Bench, fake: FakeCluster
    ) -> None:
        fake.script({"on": "submit", "do": "lose", "times": 1})
        (status,) = bench.run(bench.sh("sleep 1; exit 3"))
        assert status.returncode == 3
        assert len(fake.jobs) == 1

    @case("F11", "F12")
    @pytest.mark.parametrize("fault", ["empty", "garbage"])
    def test_an_answer_without_an_id_that_left_no_job_is_submitted_again(
        self, bench: Bench, fake: FakeCluster, fault: str
    ) -> None:
        fake.script({"on": "submit", "do": fault, "times": 1, "text": "the weather is fine\n"})
        (status,) = bench.run(bench.sh("exit 3"))
        assert status.returncode == 3
        assert len(fake.jobs) == 1

    @case("F10", "F32")
    def test_a_failure_that_passes_is_tried_again(self, bench: Bench, fake: FakeCluster) -> None:
        for text in self.refusals:
            before = len(fake.jobs)
            fake.script({"on": "submit", "do": "fail", "times": 1, "text": text})
            (status,) = bench.run(bench.sh("exit 3"))
            assert status.returncode == 3
            assert len(fake.jobs) == before + 1

    @case("F32")
    def test_what_can_never_be_accepted_is_an_error_at_once(
        self, bench: Bench, cluster: FakeCluster
    ) -> None:
        step = bench.sh("exit 0")
        job = Job("never", step.tag, (step,), arguments=dict(self.refused))
        (answer,) = bench.launcher.start([job])
        assert answer.id is None
        assert answer.error
        assert cluster.calls.get("submit", 1) == 1

    @case("F32", "F10")
    def test_a_job_over_the_limit_waits_for_its_turn(self, bench: Bench, fake: FakeCluster) -> None:
        first = bench.waiting("sys.exit(1)")
        (one,) = bench.start_up(first)
        fake.set(quota=1)

        def make_room() -> None:
            bench.wait_until(lambda: fake.calls["submit"] >= 2, "a submit that is refused")
            bench.release(first)

        helper = threading.Thread(target=make_room)
        helper.start()
        (two,) = bench.start(bench.sh("exit 2"))
        helper.join()
        assert [status.returncode for status in bench.ends([one, two])] == [1, 2]
        assert len(fake.jobs) == 2

    @case("F25", "F12")
    def test_a_job_of_any_name_is_accepted(self, bench: Bench) -> None:
        ends = bench.run(*(bench.sh("exit 3", name=name) for name in NAMES.values()))
        assert [status.returncode for status in ends] == [3] * len(NAMES)

    @case("F11")
    def test_a_job_is_found_by_its_tag_and_not_by_a_part_of_it(
        self, bench: Bench, plugin: CommandLineScheduler
    ) -> None:
        steps = [bench.waiting(), bench.waiting()]
        steps[1] = replace(steps[1], tag=Tag(f"{steps[0].tag}1"))
        bench.start_up(*steps)
        for tag, count in ((steps[0].tag, 1), (steps[1].tag, 1), (Tag(steps[0].tag[:-1]), 0)):
            invocation = plugin.lookup(tag)
            answer = run_command(invocation.argv, timeout=timedelta(seconds=30))
            assert len(plugin.parse_lookup(answer, tag)) == count
        bench.release(*steps)

    @case("F26")
    def test_a_job_submitted_from_inside_a_job_has_facts_of_its_own(
        self, bench: Bench, plugin: CommandLineScheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = [name for name in (plugin.variables.job_id, plugin.variables.index) if name]
        for name in names:
            monkeypatch.setenv(name, "outer")
        step = bench.sh("".join(f'echo "${{{name}-}}";' for name in names))
        bench.run(step)
        assert "outer" not in step.stdout.read_text()

    @case("F26")
    def test_other_variables_of_the_driver_reach_the_job(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CONTRACT_VALUE", "a, 'b' = \"c\"\nd")
        step = bench.sh('printf %s "$CONTRACT_VALUE"')
        bench.run(step)
        assert step.stdout.read_text() == "a, 'b' = \"c\"\nd"

    @case("F25", "F35")
    def test_scripts_are_for_their_owner_only(self, bench: Bench, experiment: Path) -> None:
        step = bench.step("true", env={"CONTRACT_VALUE": "secret"})
        bench.run(step)
        holding = [file for file in experiment.rglob("*") if file.is_file() and _holds(file)]
        assert all(stat.S_IMODE(file.stat().st_mode) & 0o077 == 0 for file in holding)

    @case("F10", "F13")
    def test_an_array_is_one_submit_and_its_members_have_their_own_ends(
        self, bench: Bench, cluster: FakeCluster
    ) -> None:
        steps = tuple(bench.sh(f"echo {number}; exit {number}") for number in range(6))
        job = Job("array", steps[0].tag, steps, array=True)
        (started,) = bench.launcher.start([job])
        assert started.id is not None, started.error
        assert len(started.members) == 6
        found = bench.ends(list(started.members))
        assert [status.returncode for status in found] == list(range(6))
        assert [step.stdout.read_text() for step in steps] == [f"{n}\n" for n in range(6)]
        assert cluster.calls.get("submit", 1) == 1
        (whole,) = bench.ends([started.id])
        assert whole.state is State.FAILED

    @case("F13", "F09")
    def test_each_member_of_an_array_answers_and_is_stopped_for_itself_only(
        self, bench: Bench
    ) -> None:
        steps = tuple(bench.holding() for _ in range(3))
        (started,) = bench.launcher.start([Job("array", steps[0].tag, steps, array=True)])
        members = started.members
        assert len({started.id, *members}) == 4
        for step in steps:
            bench.wait_until((step.cwd / "up").exists, "the start of every member")
        for member in members:
            wait_for_state(bench, member, State.RUNNING)
        bench.launcher.stop(members[1:2])
        assert bench.ends(members[1:2])[0].state is State.CANCELLED
        bench.wait_until_gone(steps[1])
        for number in (0, 2):
            assert alive(steps[number])
            wait_for_state(bench, members[number], State.RUNNING)
        bench.launcher.stop(members)
        ended = bench.ends(members)
        assert [status.state for status in ended] == [State.CANCELLED] * 3

    @case("F10", "F13")
    def test_an_array_over_the_limit_is_one_job_in_several_submits(
        self, bench: Bench, plugin: CommandLineScheduler, experiment: Path
    ) -> None:
        plugin.rates = replace(plugin.rates, array_limit=2)
        launcher = batch_launcher(experiment, plugin)
        steps = tuple(bench.sh(f"exit {number}") for number in range(5))
        (started,) = launcher.start([Job("array", steps[0].tag, steps, array=True)])
        assert started.id is not None, started.error
        ids = [*started.members, started.id]
        ended = wait_for_ends(launcher, ids, self.patience)
        assert [ended[job].returncode for job in ids[:5]] == list(range(5))
        assert ended[started.id].state is State.FAILED

    @case("F14")
    def test_a_cluster_with_a_name_is_asked_by_it(self, bench: Bench, fake: FakeCluster) -> None:
        fake.set(cluster="west")
        steps: list[Step] = [bench.sh("exit 3"), bench.holding()]
        ids = bench.start(*steps)
        assert bench.ends(ids[:1])[0].returncode == 3
        bench.wait_until((steps[1].cwd / "up").exists, "the start of the step")
        bench.launcher.stop(ids[1:])
        assert bench.ends(ids[1:])[0].state is State.CANCELLED

    @case("F33")
    def test_a_job_that_waits_is_queued_with_the_schedulers_reason(
        self, bench: Bench, fake: FakeCluster
    ) -> None:
        fake.set(start_delay=1000.0)
        (job,) = bench.start(bench.sh("exit 0"))
        wait_for_state(bench, job, State.QUEUED)
        bench.wait_until(lambda: bool(_reason(bench, job)), "a reason for waiting")


def _reason(bench: Bench, job: JobId) -> str:
    answer = bench.launcher.status([job])[job]
    return answer.reason if isinstance(answer, Status) else ""


def _holds(file: Path) -> bool:
    return b"secret" in file.read_bytes()
