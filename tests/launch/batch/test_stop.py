"""Stops, in a simulation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from smartcore.error import LauncherError
from smartcore.launch.batch.record import ExitRecord
from smartcore.spec import ABSENT, Cause, Job, JobId, State, Status, Tag
from smartcore.testing.fakewlm.simulation import Program

if TYPE_CHECKING:
    from tests.launch.batch.conftest import Simulated


def test_a_stop_returns_when_the_jobs_have_left_the_queue(simulated: Simulated) -> None:
    """F09."""
    simulated.programs(polite=Program(1000), stubborn=Program(1000, on_term=None))
    jobs = simulated.start("polite", "stubborn")
    simulated.sim.sleep(2)
    simulated.launcher.stop(jobs)
    assert {one.state for one in simulated.sim.wlm.jobs.values()} == {"CANCELLED"}
    for job in jobs:
        ended = simulated.ended(job)
        assert (ended.state, ended.cause) == (State.CANCELLED, Cause.STOPPED)


def test_many_are_cancelled_in_few_commands(simulated: Simulated) -> None:
    """F09."""
    simulated.sim.usual = Program(1000)
    simulated.scheduler.rates = replace(simulated.scheduler.rates, submit_burst=1000)
    simulated.launcher = simulated.make()
    jobs = simulated.start(*(f"m{number}" for number in range(250)))
    simulated.launcher.stop(jobs)
    assert [len(one.argv) - 1 for one in simulated.sim.called("fdel")] == [100, 100, 50]
    assert {one.state for one in simulated.sim.wlm.jobs.values()} == {"CANCELLED"}


def test_survivors_are_named(simulated: Simulated) -> None:
    """F09."""
    simulated.sim.usual = Program(1000)
    (job,) = simulated.start("m")
    simulated.sim.script({"on": "cancel", "do": "fail", "text": "permission denied"})
    before = simulated.sim.clock()
    with pytest.raises(LauncherError, match=r"live on: 1: .*permission denied"):
        simulated.launcher.stop([job])
    assert simulated.sim.clock() - before < 60
    answer = simulated.status(job)
    assert isinstance(answer, Status)
    assert answer.state is State.RUNNING


def test_a_cancel_that_fails_for_a_moment_is_repeated(simulated: Simulated) -> None:
    """F09."""
    simulated.sim.usual = Program(1000)
    (job,) = simulated.start("m")
    simulated.sim.script({"on": "cancel", "do": "fail", "times": 1})
    simulated.launcher.stop([job])
    assert simulated.ended(job).state is State.CANCELLED


def test_what_has_ended_or_is_unknown_is_no_error(simulated: Simulated) -> None:
    simulated.sim.usual = Program(1)
    (job,) = simulated.start("m")
    simulated.ended(job)
    simulated.launcher.stop([job, JobId("99#gone-1"), JobId("nonsense")])
    assert simulated.ended(job).state is State.COMPLETED


@pytest.mark.parametrize("accounting", ["on", "off"])
def test_a_job_that_had_not_begun_is_cancelled(simulated: Simulated, accounting: str) -> None:
    simulated.sim.settings.slots = 0
    simulated.sim.settings.accounting = accounting
    (job,) = simulated.start("m")
    simulated.launcher.stop([job])
    ended = simulated.ended(job, within=5)
    assert (ended.state, ended.cause) == (State.CANCELLED, Cause.STOPPED)


def test_a_job_that_was_not_submitted_yet_never_is(simulated: Simulated) -> None:
    simulated.sim.script({"on": "submit", "do": "fail", "text": "connection refused"})
    (job,) = simulated.start("m")
    simulated.sim.script()
    simulated.launcher.stop([job])
    assert simulated.ended(job).state is State.CANCELLED
    simulated.after(100, job)
    assert simulated.sim.wlm.jobs == {}


def test_a_job_that_may_have_been_submitted_is_looked_up_and_stopped(simulated: Simulated) -> None:
    """F11."""
    simulated.sim.usual = Program(1000)
    simulated.sim.script(
        {"on": "submit", "do": "lose", "times": 1}, {"on": "query", "do": "fail", "times": 20}
    )
    (job,) = simulated.start("m")
    assert job == "#m-1"
    simulated.sim.script()
    simulated.launcher.stop([job])
    assert simulated.ended(job).state is State.CANCELLED
    assert [one.state for one in simulated.sim.wlm.jobs.values()] == ["CANCELLED"]


def test_a_member_of_an_array_is_stopped_alone(simulated: Simulated) -> None:
    simulated.sim.usual = Program(100)
    _, members = simulated.array("arr", 3)
    simulated.launcher.stop([members[1]])
    states = [simulated.ended(member).state for member in members]
    assert states == [State.COMPLETED, State.CANCELLED, State.COMPLETED]


def test_a_whole_array_is_one_id(simulated: Simulated) -> None:
    """F09."""
    simulated.sim.usual = Program(100)
    job, members = simulated.array("arr", 300)
    simulated.launcher.stop(members)
    assert [one.argv for one in simulated.sim.called("fdel")] == [("fdel", "1")]
    assert simulated.ended(job).state is State.CANCELLED


def test_one_step_of_several_cannot_be_stopped_alone(simulated: Simulated) -> None:
    simulated.sim.usual = Program(100)
    steps = (simulated.step("a"), simulated.step("b"))
    (started,) = simulated.launcher.start([Job("m", Tag("m-1"), steps)])
    with pytest.raises(LauncherError, match="cannot be stopped alone"):
        simulated.launcher.stop(started.members[:1])
    simulated.launcher.stop(started.members)
    assert [one.state for one in simulated.sim.wlm.jobs.values()] == ["CANCELLED"]


def test_the_steps_that_are_left_of_several_are_stopped(simulated: Simulated) -> None:
    (dead, *left) = three_steps(simulated)
    simulated.sim.records.end("m-1.0", ExitRecord(-9))
    simulated.make().stop(left)
    assert [one.state for one in simulated.sim.wlm.jobs.values()] == ["CANCELLED"]
    assert [simulated.ended(step).cause for step in left] == [Cause.STOPPED] * 2
    assert simulated.ended(dead).is_terminal


def test_a_step_that_failed_is_told_of_while_the_others_run(simulated: Simulated) -> None:
    """F20."""
    (dead, *left) = three_steps(simulated)
    simulated.sim.records.end("m-1.0", ExitRecord(-9))
    simulated.sim.records.end("m-1.1", ExitRecord(-15, interrupted=True))
    ended = simulated.ended(dead, within=10)
    assert (ended.state, ended.returncode) == (State.FAILED, -9)
    for step in left:
        answer = simulated.status(step)
        assert isinstance(answer, Status)
        assert answer.state is State.RUNNING


def test_a_job_that_somebody_cancelled_ends_all_its_steps_at_once(simulated: Simulated) -> None:
    steps = three_steps(simulated)
    for index in range(3):
        simulated.sim.records.end(f"m-1.{index}", ExitRecord(0, interrupted=True))
    (job,) = simulated.sim.wlm.jobs.values()
    simulated.sim.wlm.cancel(job)
    simulated.sim.sleep(10)  # it leaves the queue
    simulated.ended(steps[0])
    answers = simulated.launcher.status(steps)
    states = [answer.state for answer in answers.values() if isinstance(answer, Status)]
    assert states == [State.CANCELLED] * 3


def three_steps(simulated: Simulated) -> tuple[JobId, ...]:
    """One job that runs for long."""
    simulated.sim.usual = Program(1000)
    steps = tuple(simulated.step(name) for name in "abc")
    (started,) = simulated.launcher.start([Job("m", Tag("m-1"), steps)])
    simulated.status(started.members[0])
    simulated.sim.sleep(2)
    return started.members


def test_another_process_stops_by_the_id_alone_and_all_call_it_a_stop(simulated: Simulated) -> None:
    simulated.sim.usual = Program(1000)
    (job,) = simulated.start("m")
    simulated.make().stop([job])
    assert simulated.ended(job).cause is Cause.STOPPED


def test_closing_tells_what_was_never_submitted(
    simulated: Simulated, caplog: pytest.LogCaptureFixture
) -> None:
    simulated.sim.script({"on": "submit", "do": "fail", "text": "try again"})
    (job,) = simulated.start("m")
    simulated.launcher.close()
    assert "1 jobs were never submitted: m" in caplog.text
    assert simulated.status(job) is ABSENT
    simulated.launcher.close()
