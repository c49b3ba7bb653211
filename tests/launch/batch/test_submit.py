"""Submits that go wrong, in a simulation."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from smartcore.launch.batch import Ceiling
from smartcore.launch.batch.script import SECOND
from smartcore.spec import Cause, Command, Job, State, Status, Tag
from smartcore.testing.fakewlm.simulation import Program

if TYPE_CHECKING:
    from tests.launch.batch.conftest import Simulated


@pytest.mark.parametrize("text", ["invalid account 'x'", "invalid queue", "unknown option '--q'"])
def test_a_permanent_refusal_is_an_error_at_once(simulated: Simulated, text: str) -> None:
    """F32."""
    simulated.sim.script({"on": "submit", "do": "fail", "text": text})
    (started,) = simulated.launcher.start([simulated.step("m")])
    assert started.id is None
    assert text in started.error
    assert len(simulated.sim.called("fsub")) == 1


@pytest.mark.parametrize("text", ["connection refused", "server busy, try again"])
def test_a_transient_refusal_is_tried_again(simulated: Simulated, text: str) -> None:
    """F10."""
    simulated.sim.script({"on": "submit", "do": "fail", "text": text, "times": 3})
    (job,) = simulated.start("m")
    assert job == "1#m-1"
    assert len(simulated.sim.called("fsub")) == 4
    assert simulated.sim.called("fstat") == []  # it was certainly not accepted


def test_attempts_are_spread(simulated: Simulated) -> None:
    """F10: many drivers that failed together do not come back together."""
    waits = set()
    for name in ("a", "b", "c", "d"):
        simulated.sim.script({"on": "submit", "do": "fail", "text": "try again", "times": 1})
        before = simulated.sim.clock()
        simulated.start(name)
        waits.add(round(simulated.sim.clock() - before, 6))
    assert len(waits) > 1
    assert all(0.3 < wait < 0.7 for wait in waits)


def test_what_cannot_be_submitted_for_long_is_kept_and_submitted_later(
    simulated: Simulated, caplog: pytest.LogCaptureFixture
) -> None:
    simulated.sim.script({"on": "submit", "do": "fail", "text": "connection refused"})
    before = simulated.sim.clock()
    with caplog.at_level(logging.WARNING):
        (job,) = simulated.start("m")
    assert simulated.sim.clock() - before <= 20  # a start is bounded
    assert "1 jobs are not submitted yet" in caplog.text
    answer = simulated.status(job)
    assert isinstance(answer, Status)
    assert answer.state is State.QUEUED
    assert "connection refused" in answer.reason
    simulated.sim.script()
    assert simulated.ended(job).state is State.COMPLETED
    assert len(simulated.sim.wlm.jobs) == 1


def test_over_a_quota_a_job_waits_until_there_is_room(simulated: Simulated) -> None:
    simulated.sim.settings.quota = 1
    simulated.programs(a=Program(100), b=Program(1))
    first, second = simulated.start("a", "b")
    answer = simulated.after(50, second)
    assert isinstance(answer, Status)
    assert "job limit of 1 reached" in answer.reason
    assert simulated.ended(first).state is State.COMPLETED
    assert simulated.ended(second).state is State.COMPLETED


@pytest.mark.parametrize("seconds", [0, 1.5])
def test_a_submit_that_fails_after_it_was_accepted_is_adopted(
    simulated: Simulated, seconds: float
) -> None:
    """F11: also if the job is listed only after a while."""
    simulated.sim.script({"on": "submit", "do": "lose", "times": 1, "seconds": seconds})
    (job,) = simulated.start("m")
    assert job == "1#m-1"
    assert simulated.ended(job).state is State.COMPLETED
    assert len(simulated.sim.wlm.jobs) == 1


def test_a_job_that_ended_before_it_was_looked_up_is_adopted(simulated: Simulated) -> None:
    """F11."""
    simulated.programs(m=Program(0.1))
    simulated.sim.script({"on": "submit", "do": "lose", "times": 1})
    (job,) = simulated.start("m")
    assert simulated.ended(job).state is State.COMPLETED
    assert len(simulated.sim.wlm.jobs) == 1


def test_an_ambiguous_submit_that_left_nothing_is_submitted_again(simulated: Simulated) -> None:
    """F11."""
    simulated.sim.script({"on": "submit", "do": "fail", "text": "timed out", "times": 1})
    (job,) = simulated.start("m")
    assert len(simulated.sim.called("fsub")) == 2
    lookups = [one for one in simulated.sim.called("fstat") if "--comment=m-1" in one.argv]
    assert len(lookups) == 3
    assert simulated.ended(job).state is State.COMPLETED


def test_nothing_is_submitted_again_while_the_look_up_fails(simulated: Simulated) -> None:
    """F11: an error is not the answer that there is no such job."""
    simulated.sim.script(
        {"on": "submit", "do": "lose", "times": 1},
        {"on": "query", "do": "fail", "times": 30},
    )
    simulated.programs(m=Program(1000))
    (job,) = simulated.start("m")
    assert len(simulated.sim.called("fsub")) == 1
    simulated.sim.script()
    assert simulated.ended(job, within=3000).state is State.COMPLETED
    assert len(simulated.sim.wlm.jobs) == 1


def test_a_submit_that_hangs_is_looked_up(simulated: Simulated) -> None:
    """F07, F11."""
    simulated.sim.script({"on": "submit", "do": "hang", "times": 1})
    (job,) = simulated.start("m")
    assert simulated.ended(job).state is State.COMPLETED
    assert len(simulated.sim.wlm.jobs) == 1


@pytest.mark.parametrize(
    "text", ["Welcome to host 42", "You will be charged 999", "7 jobs\n  8", "123", "12;alpha"]
)
@pytest.mark.parametrize("cluster", ["", "alpha"])
def test_chatter_around_the_id_does_not_change_it(
    simulated: Simulated, text: str, cluster: str
) -> None:
    """F12: what cannot be told from an id is looked up, not guessed."""
    simulated.sim.settings.cluster = cluster
    simulated.sim.script({"on": "submit", "do": "chatter", "text": text})
    (job,) = simulated.start("m")
    assert job == ("1;alpha#m-1" if cluster else "1#m-1")
    assert len(simulated.sim.wlm.jobs) == 1


def test_a_missing_program_is_an_error_that_names_it(simulated: Simulated) -> None:
    simulated.launcher.world = simulated.launcher.commands.world = type(simulated.launcher.world)(
        environment={"PATH": "/nowhere"}
    )
    (started,) = simulated.launcher.start([simulated.step("m")])
    assert started.id is None
    assert "cannot run fsub" in started.error


def test_one_refused_job_does_not_keep_others_from_starting(simulated: Simulated) -> None:
    simulated.sim.script({"on": "submit", "do": "fail", "text": "invalid queue", "skip": 1})
    answers = simulated.launcher.start([simulated.step(name) for name in "abc"])
    assert [one.id is None for one in answers] == [False, True, True]


def test_submits_are_not_faster_than_allowed(simulated: Simulated) -> None:
    """F10: the rest is kept, and start stays bounded."""
    simulated.ceiling = Ceiling(submits_per_second=1)
    simulated.launcher = simulated.make()
    jobs = simulated.start(*(f"m{number}" for number in range(30)))
    assert simulated.sim.clock() <= 11
    assert 5 <= len(simulated.sim.called("fsub")) <= 16
    for job in jobs:
        assert simulated.ended(job).state is State.COMPLETED
    assert len(simulated.sim.wlm.jobs) == 30
    times = sorted(job.submitted for job in simulated.sim.wlm.jobs.values())
    assert all(times[n + 10] - times[n] >= 4 for n in range(20))


def test_no_submit_inherits_the_job_that_the_driver_is_in(simulated: Simulated) -> None:
    """F26."""
    simulated.environment |= {"FAKE_CPU_BIND": "mask", "FAKE_CONF": "/c", "FAKE_JOB_ID": "9"}
    simulated.start("m")
    assert dict(simulated.sim.environments[0]) == {"FAKE_CONF": "/c"}


def test_an_array_over_the_limit_is_several_submits_and_one_id(simulated: Simulated) -> None:
    """F10."""
    simulated.sim.usual = Program(100)
    job, members = simulated.array("m", 2500)
    assert job == "1 2 3#m-1[2500:834]"
    assert (members[0], members[834], members[2499]) == (
        "1#m-1.0[834]/0",
        "2#m-1.1[834]/0",
        "3#m-1.2[832]/831",
    )
    assert len(set(members)) == 2500
    assert len(simulated.sim.called("fsub")) == 3
    simulated.sim.sleep(1)
    answers = simulated.launcher.status([job, *members])
    assert len(simulated.sim.called("fstat")) == 1
    assert {one.state for one in answers.values() if isinstance(one, Status)} <= {
        State.RUNNING,
        State.QUEUED,
    }
    simulated.launcher.stop([members[900]])
    assert [one.argv for one in simulated.sim.called("fdel")] == [("fdel", "2_66")]
    assert simulated.ended(members[900]).state is State.CANCELLED
    assert simulated.ended(members[901], 2000).state is State.COMPLETED
    assert simulated.ended(job, 2000).state is State.CANCELLED
    other = simulated.make()
    answers = other.status([job, members[900], members[901]])
    assert [one.state.value for one in answers.values() if isinstance(one, Status)] == [
        "Cancelled",
        "Cancelled",
        "Completed",
    ]


def test_a_split_array_is_stopped_whole_by_its_id_alone(simulated: Simulated) -> None:
    simulated.sim.usual = Program(1000)
    job, _ = simulated.array("m", 1001)
    other = simulated.make()
    other.stop([job])
    assert [one.argv for one in simulated.sim.called("fdel")] == [("fdel", "1", "2")]
    assert simulated.ended(job).state is State.CANCELLED


def test_without_arrays_members_are_jobs_of_their_own(simulated: Simulated) -> None:
    simulated.scheduler.rates = replace(simulated.scheduler.rates, array_limit=0)
    simulated.launcher = simulated.make()
    simulated.sim.usual = Program(5)
    job, members = simulated.array("m", 3)
    assert members == ("1#m-1.0", "2#m-1.1", "3#m-1.2")
    assert simulated.ended(job).state is State.COMPLETED


def test_a_piece_that_must_wait_is_queued_and_the_others_run(simulated: Simulated) -> None:
    """F10, F32."""
    simulated.sim.usual = Program(100)
    simulated.sim.settings.quota = 1000
    job, members = simulated.array("m", 1500)
    assert job == "1 #m-1[1500:750]"
    simulated.sim.sleep(1)
    answers = simulated.launcher.status([members[0], members[750], job])
    states = [one.state for one in answers.values() if isinstance(one, Status)]
    assert states == [State.RUNNING, State.QUEUED, State.RUNNING]
    assert simulated.ended(members[750], 1000).state is State.COMPLETED
    assert simulated.ended(job).state is State.COMPLETED


def test_a_piece_that_is_refused_has_failed_and_the_others_are_not_lost(
    simulated: Simulated,
) -> None:
    """F32, F40."""
    simulated.sim.script({"on": "submit", "do": "fail", "text": "invalid account", "skip": 1})
    steps = tuple(simulated.step(f"m{index}") for index in range(2500))
    (started,) = simulated.launcher.start([Job("m", Tag("m-1"), steps, array=True)])
    assert started.id == "1  #m-1[2500:834]"
    assert "invalid account" in started.error
    assert len(simulated.sim.called("fsub")) == 2
    assert simulated.ended(started.members[0]).state is State.COMPLETED
    failed = simulated.ended(started.members[2499])
    assert (failed.state, failed.cause) == (State.FAILED, Cause.START_FAILURE)
    assert simulated.ended(started.id).state is State.FAILED


def test_a_split_array_that_is_refused_at_once_is_an_error(simulated: Simulated) -> None:
    """F32."""
    simulated.sim.script({"on": "submit", "do": "fail", "text": "invalid account"})
    steps = tuple(simulated.step(f"m{index}") for index in range(1001))
    (started,) = simulated.launcher.start([Job("m", Tag("m-1"), steps, array=True)])
    assert (started.id, started.members) == (None, ())
    assert "invalid account" in started.error


def test_a_member_that_no_script_can_hold_keeps_all_pieces_from_starting(
    simulated: Simulated,
) -> None:
    steps = [simulated.step(f"m{index}") for index in range(1001)]
    steps[1000] = replace(steps[1000], command=Command(("a\0b",)))
    (started,) = simulated.launcher.start([Job("m", Tag("m-1"), tuple(steps), array=True)])
    assert "m1000: the program has a NUL" in started.error
    assert simulated.sim.called("fsub") == []


def living(simulated: Simulated) -> list[str]:
    return [job.id for job in simulated.sim.wlm.jobs.values() if job.ended is None]


@pytest.mark.parametrize("which", ["first runs", "second runs"])
def test_a_launch_that_has_become_two_jobs_is_one_again(
    simulated: Simulated, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    """F11: the first submit worked, and was listed when it had been given up."""
    simulated.sim.usual = Program(300)
    simulated.sim.settings.slots = 0
    simulated.sim.script({"on": "submit", "do": "lose", "times": 1, "seconds": 9})
    (job,) = simulated.start("m")
    assert job == "2#m-1"
    if which == "second runs":
        simulated.sim.wlm._pending.rotate()
    simulated.sim.settings.slots = 1
    simulated.sim.wlm._fill()
    assert len(living(simulated)) == 2
    simulated.after(40, job)
    assert living(simulated) == (["1"] if which == "first runs" else ["2"])
    assert "m-1 was submitted twice" in caplog.text
    answer = simulated.status(job)
    assert isinstance(answer, Status)
    assert answer.state is State.RUNNING
    assert simulated.ended(job, 1000).returncode == 0


def test_a_second_job_that_does_nothing_is_no_end(simulated: Simulated) -> None:
    """F11: the one that is followed came second; its scheduler says that it has failed."""
    simulated.sim.usual = Program(60)
    simulated.sim.settings.accounting = "off"
    simulated.sim.settings.keep = 1000
    simulated.sim.settings.slots = 0
    simulated.sim.script({"on": "submit", "do": "lose", "times": 1, "seconds": 55})
    (job,) = simulated.start("m")
    assert job == "2#m-1"
    simulated.sim.settings.slots = 2
    simulated.sim.wlm._fill()
    simulated.sim.sleep(1)
    assert simulated.sim.wlm.jobs["2"].code == SECOND
    for _ in range(20):
        simulated.sim.sleep(2)
        answer = simulated.status(job)
        assert not (isinstance(answer, Status) and answer.is_terminal), answer
    ended = simulated.ended(job)
    assert (ended.state, ended.returncode) == (State.COMPLETED, 0)


def test_two_jobs_that_are_found_at_once_become_one(
    simulated: Simulated, caplog: pytest.LogCaptureFixture
) -> None:
    """F11: the second submit was lost, too."""
    simulated.sim.usual = Program(300)
    simulated.sim.settings.slots = 0
    simulated.sim.script(
        {"on": "submit", "do": "lose", "times": 1, "seconds": 9},
        {"on": "submit", "do": "lose", "times": 1, "seconds": 6},
    )
    (job,) = simulated.start("m")
    simulated.after(60, job)
    assert len(simulated.sim.wlm.jobs) == 2
    assert len(living(simulated)) == 1
    assert caplog.text.count("was submitted twice") == 1
    simulated.sim.settings.slots = 1
    simulated.sim.wlm._fill()
    assert simulated.ended(job, 1000).state is State.COMPLETED


def test_an_array_of_one_is_a_plain_job(simulated: Simulated) -> None:
    (started,) = simulated.launcher.start(
        [Job("m", Tag("m-1"), (simulated.step("m"),), array=True)]
    )
    assert started.id == "1#m-1"


@pytest.mark.parametrize("name", ["9lives", "a b", "a/b", "ü", "-n", "", "x" * 300, "a\nb"])
def test_a_job_of_any_name_is_accepted(simulated: Simulated, name: str) -> None:
    step = simulated.step("m")
    (started,) = simulated.launcher.start([Job(name, Tag("m-1"), (step,))])
    assert started.error == ""
