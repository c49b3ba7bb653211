"""What is decided of jobs that have run, wait or are gone, in a simulation."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from smartcore.error import LauncherError
from smartcore.spec import ABSENT, Cause, Job, JobId, Resources, Source, State, Status, Tag
from smartcore.testing.fakewlm.simulation import Program

if TYPE_CHECKING:
    from tests.launch.batch.conftest import Simulated


def test_an_end_is_seen_although_the_queue_does_not_answer(simulated: Simulated) -> None:
    """F02: between the attempts the exit records still tell."""
    simulated.programs(m=Program(20))
    (job,) = simulated.start("m")
    simulated.sim.sleep(1)
    assert simulated.state(job) is State.RUNNING
    simulated.sim.script({"on": "query", "do": "fail"})
    seen = []
    for _ in range(40):
        simulated.sim.sleep(1)
        try:
            seen.append(simulated.state(job))
        except LauncherError:
            continue
    assert seen[-1] is State.COMPLETED


def test_a_job_that_leaves_the_queue_unseen_completes_by_its_record(simulated: Simulated) -> None:
    """F03, F05."""
    simulated.sim.settings.accounting = "off"
    simulated.programs(m=Program(0.5), n=Program(0.5, code=3))
    good, bad = simulated.start("m", "n")
    simulated.sim.sleep(5)
    assert simulated.ended(good).state is State.COMPLETED
    ended = simulated.ended(bad)
    assert (ended.state, ended.returncode) == (State.FAILED, 3)


def test_accounting_that_is_off_is_said_once(
    simulated: Simulated, caplog: pytest.LogCaptureFixture
) -> None:
    """F05."""
    simulated.sim.settings.accounting = "off"
    simulated.sim.usual = Program(1.5, code=1)
    with caplog.at_level(logging.WARNING):
        for job in simulated.start("a", "b", "c"):
            simulated.ended(job)
    assert caplog.text.count("has no accounting here") == 1
    assert len(simulated.sim.called("facct")) == 1


def test_a_job_that_nobody_knows_is_absent(simulated: Simulated) -> None:
    """F03, F06."""
    simulated.programs(m=Program(5))
    simulated.sim.script({"on": "job", "do": "vanish"})
    simulated.sim.records.lag = 1e9
    (job,) = simulated.start("m")
    assert simulated.after(120, job) is ABSENT
    assert simulated.status(JobId("777#gone-1")) is ABSENT
    assert simulated.status(JobId("nonsense")) is ABSENT


def test_late_accounting_is_waited_for(simulated: Simulated) -> None:
    """F06."""
    simulated.sim.settings.accounting_lag = 9
    simulated.programs(m=Program(100, on_term=-15))
    (job,) = simulated.start("m", walltime=5)
    assert simulated.after(7, job) is ABSENT  # not failed
    ended = simulated.ended(job)
    assert (ended.state, ended.cause) == (State.TIMEOUT, Cause.TIME_LIMIT)
    assert (ended.returncode, ended.source) == (-15, Source.ACCOUNTING)


def test_failing_accounting_is_asked_again(simulated: Simulated) -> None:
    """F05."""
    simulated.sim.script({"on": "account", "do": "fail", "text": "timed out", "times": 3})
    (job,) = simulated.start("m", walltime=5)
    assert simulated.ended(job).state is State.TIMEOUT


def test_a_late_record_is_waited_for(simulated: Simulated) -> None:
    """F21."""
    simulated.sim.records.lag = 6
    simulated.programs(m=Program(5, code=3))
    (job,) = simulated.start("m")
    ended = simulated.ended(job)
    assert (ended.returncode, ended.source) == (3, Source.RECORD)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("node", Cause.NODE_FAILURE),
        ("preempt", Cause.PREEMPTED),
        ("memory", Cause.OUT_OF_MEMORY),
        ("limit", Cause.TIME_LIMIT),
    ],
)
@pytest.mark.parametrize("keep", [0, 300])
def test_the_cause_of_an_end_is_told(
    simulated: Simulated, fault: str, cause: Cause, keep: float
) -> None:
    """F19, F20: whether the queue tells of it or the accounting."""
    simulated.sim.settings.keep = keep
    simulated.sim.script({"on": "job", "do": fault, "seconds": 3})
    (started,) = simulated.launcher.start([_without_requeue(simulated)])
    assert started.id is not None
    ended = simulated.ended(started.id)
    assert ended.cause is cause
    assert ended.state is (State.TIMEOUT if fault == "limit" else State.FAILED)


def _without_requeue(simulated: Simulated) -> Job:
    return Job("m", Tag("m-1"), (simulated.step("m"),), arguments={"no-requeue": None})


@pytest.mark.parametrize("fault", ["node", "preempt"])
def test_a_requeued_job_goes_on_and_ends_once(simulated: Simulated, fault: str) -> None:
    """F18: the record of its first incarnation is ignored."""
    simulated.sim.settings.start_delay = 20
    simulated.programs(m=Program(30))
    simulated.sim.script({"on": "job", "do": fault, "seconds": 5})
    (job,) = simulated.start("m")
    seen: list[State] = []
    for _ in range(200):
        answer = simulated.status(job)
        assert isinstance(answer, Status)
        if not seen or seen[-1] is not answer.state:
            seen.append(answer.state)
        if answer.is_terminal:
            break
        simulated.sim.sleep(1)
    expected = [State.QUEUED, State.RUNNING, State.QUEUED, State.RUNNING, State.COMPLETED]
    assert seen == expected
    assert simulated.ended(job).returncode == 0


def test_one_unknown_job_does_not_hide_the_others(simulated: Simulated) -> None:
    """F04."""
    simulated.programs(a=Program(1), b=Program(1000))
    ended, running = simulated.start("a", "b")
    for _ in range(10):
        simulated.sim.sleep(5)
        answers = simulated.launcher.status([ended, running, JobId("99#x-1")])
    assert isinstance(answers[running], Status)
    assert answers[JobId("99#x-1")] is ABSENT


def test_a_job_that_waits_for_what_cannot_come_is_told_of_once_and_left_alone(
    simulated: Simulated, caplog: pytest.LogCaptureFixture
) -> None:
    """F33."""
    simulated.sim.settings.nodes = 4
    step = replace(simulated.step("m"), resources=Resources(nodes=5))
    (started,) = simulated.launcher.start([step])
    fine = simulated.start("n")[0]
    assert started.id is not None
    answer = simulated.after(600, started.id)
    assert isinstance(answer, Status)
    assert (answer.state, answer.reason) == (State.QUEUED, "NodeLimit")
    (warning,) = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert "job 1 (m-1) waits for what will not come: NodeLimit" in warning
    assert simulated.sim.called("fdel") == []
    simulated.launcher.stop([started.id])
    assert simulated.ended(started.id).state is State.CANCELLED
    assert simulated.ended(fine).state is State.COMPLETED


def test_where_records_come_late_a_missing_one_is_waited_for_longer(simulated: Simulated) -> None:
    """F21."""
    simulated.sim.settings.keep = 1000
    simulated.sim.records.lag = 8
    simulated.sim.usual = Program(5, code=3)
    assert simulated.ended(simulated.start("m")[0]).returncode == 3
    simulated.sim.records.lag = 18
    ended = simulated.ended(simulated.start("n")[0])
    assert (ended.returncode, ended.source) == (3, Source.RECORD)


def test_where_records_come_at_once_a_missing_one_is_not_waited_for_long(
    simulated: Simulated,
) -> None:
    simulated.sim.settings.keep = 1000
    simulated.sim.usual = Program(1, code=3)
    simulated.programs(killed=Program(5, code=3))
    _, members = simulated.array("m", 30)
    for member in members:
        simulated.ended(member)
    (job,) = simulated.start("killed")
    simulated.sim.records.lag = 1e9
    before = simulated.sim.clock() + 5
    ended = simulated.ended(job)
    assert (ended.returncode, ended.source) == (3, Source.ACCOUNTING)
    assert simulated.sim.clock() - before < 8


def test_a_member_that_is_asked_about_later_is_not_taken_for_gone(simulated: Simulated) -> None:
    simulated.sim.usual = Program(1000)
    _, members = simulated.array("m", 3)
    simulated.after(60, members[0])
    assert simulated.state(members[2]) is State.RUNNING


def test_an_unknown_state_changes_nothing_and_is_said_once(
    simulated: Simulated, caplog: pytest.LogCaptureFixture
) -> None:
    """F16, F17."""
    simulated.sim.script({"on": "query", "do": "word", "text": "REBOOTING"})
    simulated.programs(m=Program(100))
    (job,) = simulated.start("m")
    with caplog.at_level(logging.WARNING):
        answer = simulated.after(50, job)
    assert isinstance(answer, Status)
    assert answer.state is State.UNKNOWN
    assert caplog.text.count("REBOOTING") == 1
    assert simulated.ended(job).state is State.COMPLETED


def test_an_empty_answer_is_no_end(simulated: Simulated) -> None:
    """F03."""
    simulated.sim.script({"on": "query", "do": "empty"}, {"on": "account", "do": "empty"})
    simulated.programs(m=Program(100))
    (job,) = simulated.start("m")
    assert simulated.after(50, job) is ABSENT
    assert simulated.ended(job).state is State.COMPLETED


def test_a_suspended_job_is_paused(simulated: Simulated) -> None:
    simulated.sim.script({"on": "job", "do": "suspend", "seconds": 1})
    (job,) = simulated.start("m")
    answer = simulated.after(5, job)
    assert isinstance(answer, Status)
    assert answer.state is State.PAUSED


def test_a_waiting_job_tells_what_it_waits_for(simulated: Simulated) -> None:
    """F33."""
    simulated.sim.settings.slots = 0
    (job,) = simulated.start("m")
    answer = simulated.after(3, job)
    assert isinstance(answer, Status)
    assert (answer.state, answer.reason) == (State.QUEUED, "Priority")


def test_another_process_answers_by_the_id_alone(simulated: Simulated) -> None:
    simulated.programs(bad=Program(5, code=3), long=Program(500))
    bad, long = simulated.start("bad", "long")
    job, members = simulated.array("arr", 3)
    simulated.sim.sleep(20)
    other = simulated.make()
    answers = other.attach([bad, long, job, *members])
    found = {name: a.state for name, a in answers.items() if isinstance(a, Status)}
    assert found[long] is State.RUNNING
    assert {found[one] for one in (job, *members)} == {State.COMPLETED}
    simulated.launcher = other
    assert simulated.ended(bad).returncode == 3


def test_members_that_wait_are_queued_and_others_run(simulated: Simulated) -> None:
    simulated.sim.settings.slots = 2
    simulated.programs(arr=Program(100))
    _, members = simulated.array("arr", 5)
    simulated.sim.sleep(1)
    answers = simulated.launcher.status(members)
    states = [one.state for one in answers.values() if isinstance(one, Status)]
    assert states == [State.RUNNING] * 2 + [State.QUEUED] * 3
