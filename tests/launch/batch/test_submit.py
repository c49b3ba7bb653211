"""Submits that go wrong, in a simulation."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from smartcore.launch.batch import Ceiling
from smartcore.spec import Job, State, Status, Tag
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
    assert simulated.ended(job).state is State.COMPLETED
    assert len(simulated.sim.called("fsub")) == 2
    lookups = [one for one in simulated.sim.called("fstat") if "--comment=m-1" in one.argv]
    assert len(lookups) == 3


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


def test_an_array_over_the_limit_is_refused_before_it_is_submitted(simulated: Simulated) -> None:
    steps = tuple(simulated.step(f"m{index}") for index in range(1001))
    (started,) = simulated.launcher.start([Job("m", Tag("m-1"), steps, array=True)])
    assert "at most 1000 members, not 1001" in started.error
    assert simulated.sim.called("fsub") == []


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
