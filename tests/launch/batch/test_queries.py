"""How often the scheduler is asked, in what pieces, and what a failed question leads to."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from smartcore.error import LauncherError
from smartcore.launch.batch import Ceiling
from smartcore.launch.batch.queries import UnansweredError
from smartcore.spec import ABSENT, Job, JobId, Source, State, Status, Tag
from smartcore.testing.fakewlm.simulation import Program

if TYPE_CHECKING:
    from tests.launch.batch.conftest import Simulated


@pytest.mark.parametrize(
    "fault",
    [
        {"do": "fail", "text": "timed out"},
        {"do": "hang"},
        {"do": "garbage", "text": "Internal error\n"},
        {"do": "garbage", "text": '{"id": "1", "sta'},
    ],
)
def test_a_failed_query_changes_nothing_and_is_told(
    simulated: Simulated, fault: dict[str, object]
) -> None:
    """F01, F07."""
    simulated.programs(m=Program(1000))
    (job,) = simulated.start("m")
    simulated.sim.sleep(1)
    assert simulated.state(job) is State.RUNNING
    simulated.sim.script({"on": "query", **fault})
    errors = 0
    for _ in range(60):
        simulated.sim.sleep(1)
        try:
            assert simulated.state(job) is State.RUNNING
        except LauncherError:
            errors += 1
    assert errors > 0
    simulated.sim.script()
    assert simulated.ended(job, 2000).state is State.COMPLETED


def test_one_query_serves_a_thousand_jobs(simulated: Simulated) -> None:
    """F07."""
    simulated.programs(sweep=Program(1000))
    job, members = simulated.array("sweep", 1000)
    simulated.sim.sleep(1)
    answers = simulated.launcher.status([job, *members])
    assert len(simulated.sim.called("fstat")) == 1
    assert all(isinstance(one, Status) for one in answers.values())


def test_queries_become_rare_when_nothing_changes(simulated: Simulated) -> None:
    """F08."""
    simulated.programs(m=Program(100_000))
    (job,) = simulated.start("m")
    for _ in range(3600):
        simulated.sim.sleep(1)
        simulated.status(job)
    assert 3600 / 40 <= len(simulated.sim.called("fstat")) <= 3600 / 25


def test_the_longer_an_answer_is_the_rarer_it_is_asked_for(simulated: Simulated) -> None:
    """F08."""
    simulated.sim.settings.slots = 10_000
    simulated.programs(**{f"a{number}": Program(5 + 5 * number) for number in range(6)})
    members = [member for n in range(6) for member in simulated.array(f"a{n}", 1000)[1]]
    for _ in range(30):
        simulated.sim.sleep(1)
        simulated.launcher.status(members)
    # Without regard to the length, every change would be followed by a query a second later.
    assert 4 <= len(simulated.sim.called("fstat")) <= 12


@pytest.mark.parametrize("seconds", [2, 8])
def test_asking_takes_at_most_a_tenth_of_the_time(simulated: Simulated, seconds: float) -> None:
    """F07, F08."""
    simulated.sim.script({"on": "query", "do": "slow", "seconds": seconds})
    simulated.sim.settings.slots = 1
    simulated.sim.usual = Program(15)
    jobs = simulated.start(*(f"m{number}" for number in range(40)))
    began = simulated.sim.clock()
    for _ in range(600):  # something changes all the time
        simulated.sim.sleep(1)
        simulated.launcher.status(jobs)
    asked = len(simulated.sim.called("fstat"))
    assert 0.05 < asked * seconds / (simulated.sim.clock() - began) <= 0.11


def test_jobs_of_others_neither_slow_nor_hurry_the_questions(simulated: Simulated) -> None:
    """F08: they are in the answer, because one question is about all jobs of the user."""
    simulated.programs(m=Program(10_000), other=Program(7))
    (job,) = simulated.start("m")
    simulated.sim.settings.slots = 3
    others = simulated.make(runtime="elsewhere")
    steps = tuple(simulated.step(f"other_{index}") for index in range(900))
    others.start([Job("other", Tag("other-1"), steps, array=True)])
    simulated.sim.script({"on": "query", "do": "huge", "seconds": 20})
    for _ in range(30):
        simulated.sim.sleep(1)
        simulated.status(job)
    asked = len(simulated.sim.called("fstat"))
    assert asked >= 5  # not once in twenty seconds
    for _ in range(600):
        simulated.sim.sleep(1)
        simulated.status(job)
    assert len(simulated.sim.called("fstat")) - asked <= 600 / 28  # nor after every change


def failures(simulated: Simulated, job: JobId, seconds: int) -> int:
    count = 0
    for _ in range(seconds):
        simulated.sim.sleep(1)
        try:
            simulated.status(job)
        except UnansweredError as error:
            assert error.reported
            count += 1
    return count


def test_a_scheduler_that_does_not_answer_is_told_of_rarely_and_asked_less_and_less(
    simulated: Simulated, caplog: pytest.LogCaptureFixture
) -> None:
    """F01, F02, F08."""
    simulated.sim.usual = Program(20_000)
    (job,) = simulated.start("m")
    simulated.after(100, job)
    simulated.sim.script({"on": "query", "do": "fail", "text": "connection refused"})
    asked = len(simulated.sim.called("fstat"))
    with caplog.at_level(logging.INFO):
        tried = failures(simulated, job, 7200)
        assert 7200 / 140 <= tried <= 7200 / 100
        assert len(simulated.sim.called("fstat")) - asked == tried
        first, *later = [one.getMessage() for one in caplog.records]
        assert "fakewlm does not answer: fstat failed: fstat: error: connection refused" in first
        assert "what is known is" in first
        assert 4 <= len(later) <= 7
        assert "times in" not in first
        assert "(33 times in 63 min)" in later[-1]
        assert "what is known is 64 min old" in later[-1]
        caplog.clear()
        simulated.sim.script()
        assert failures(simulated, job, 300) == 0
    (message,) = [one for one in caplog.records if one.levelno >= logging.INFO]
    assert message.levelno == logging.INFO
    assert f"fakewlm answers again, after {tried} failures in 2 h" in message.getMessage()


def test_a_scheduler_that_fails_every_other_time_is_not_told_of_every_time(
    simulated: Simulated, caplog: pytest.LogCaptureFixture
) -> None:
    """F01."""
    rates = replace(simulated.scheduler.rates, last_interval=timedelta(seconds=3))
    simulated.scheduler.rates = replace(rates, queries_per_minute=60)
    simulated.launcher = simulated.make()
    simulated.sim.usual = Program(20_000)
    (job,) = simulated.start("m")
    faults = [{"on": "query", "do": "fail", "times": 1, "skip": count} for count in range(1000)]
    simulated.sim.script(*faults)
    with caplog.at_level(logging.INFO):
        tried = failures(simulated, job, 600)
    assert tried > 50
    assert 10 <= len(caplog.records) <= 2 * 600 / 60


def test_a_scheduler_whose_commands_hang_takes_little_time(simulated: Simulated) -> None:
    """F07: a driver that only waits for it does nothing else."""
    simulated.sim.usual = Program(20_000)
    (job,) = simulated.start("m")
    simulated.after(100, job)
    simulated.sim.script({"on": "query", "do": "hang"})
    began = simulated.sim.clock()
    tried = failures(simulated, job, 3600)
    hung = tried * simulated.scheduler.rates.timeout.total_seconds()
    assert 0 < hung / (simulated.sim.clock() - began) < 0.25


def test_asking_without_pause_does_not_press_the_scheduler(simulated: Simulated) -> None:
    """F08."""
    simulated.programs(m=Program(100))
    (job,) = simulated.start("m")
    for _ in range(1000):
        simulated.sim.sleep(0.01)
        simulated.status(job)
    assert len(simulated.sim.called("fstat")) <= 6


def test_experiments_of_one_user_share_the_limit_and_are_not_banned(simulated: Simulated) -> None:
    """F08."""
    simulated.sim.settings.ban_after = 40
    simulated.ceiling = Ceiling(queries_per_minute=20)
    launchers = [simulated.make() for _ in range(4)]
    simulated.programs(**{f"m{number}": Program(10_000) for number in range(4)})
    jobs = []
    for number, launcher in enumerate(launchers):
        (started,) = launcher.start([simulated.step(f"m{number}")])
        assert started.id is not None
        jobs.append(started.id)
    for _ in range(300):
        simulated.sim.sleep(1)
        for launcher, job in zip(launchers, jobs, strict=True):
            assert isinstance(launcher.status([job])[job], Status)
    assert not [one for one in simulated.sim.wlm.jobs.values() if one.state != "RUNNING"]


def test_the_users_environment_does_not_change_the_answer(simulated: Simulated) -> None:
    """F15."""
    simulated.environment |= {"FSTAT_FORMAT": "name state", "LANG": "de_DE.UTF-8"}
    simulated.programs(m=Program(5))
    (job,) = simulated.start("m")
    simulated.sim.sleep(1)
    assert simulated.state(job) is State.RUNNING


@pytest.mark.parametrize("cluster", ["alpha", ""])
def test_the_cluster_of_an_id_is_asked(simulated: Simulated, cluster: str) -> None:
    """F14: the fake refuses questions about any other."""
    simulated.sim.settings.cluster = cluster
    simulated.programs(bad=Program(5, code=3), stopped=Program(1000))
    bad, stopped = simulated.start("bad", "stopped")
    assert simulated.ended(bad).returncode == 3
    simulated.launcher.stop([stopped])
    assert simulated.ended(stopped).state is State.CANCELLED
    _, members = simulated.array("arr", 3)
    assert {simulated.ended(member).state for member in members} == {State.COMPLETED}


@pytest.mark.parametrize("do", ["binary", "huge"])
def test_other_peoples_strange_jobs_do_not_matter(simulated: Simulated, do: str) -> None:
    simulated.sim.script({"on": "query", "do": do, "seconds": 5})
    simulated.programs(m=Program(5))
    (job,) = simulated.start("m")
    simulated.sim.sleep(1)
    assert simulated.state(job) is State.RUNNING
    assert simulated.ended(job).state is State.COMPLETED


def test_nothing_is_said_about_jobs_of_another_process_before_the_queue_has_answered(
    simulated: Simulated,
) -> None:
    """F01: neither absent, nor lost, nor queued; and the scheduler is not pressed."""
    simulated.sim.usual = Program(1000)
    (job,) = simulated.start("m")
    other = simulated.make()
    simulated.sim.script({"on": "query", "do": "fail"})
    before = len(simulated.sim.called("fstat"))
    for _ in range(100):
        with pytest.raises(LauncherError):
            other.status([job])
        simulated.sim.sleep(0.1)
    assert len(simulated.sim.called("fstat")) - before < 10
    simulated.sim.script()
    simulated.sim.sleep(30)
    assert other.status([job])[job] is not ABSENT


@pytest.mark.parametrize("chunk", [100, 7])
def test_what_has_left_the_queue_is_asked_about_in_pieces(simulated: Simulated, chunk: int) -> None:
    """F07: the fake refuses questions about more than a hundred."""
    simulated.scheduler.rates = replace(simulated.scheduler.rates, accounting_chunk=chunk)
    simulated.launcher = simulated.make()
    simulated.sim.records.lag = 1e9
    simulated.sim.usual = Program(5, code=3)
    _, members = simulated.array("m", 250)
    longest = 0.0
    left = set(members)
    while left:
        simulated.sim.sleep(1)
        before = simulated.sim.clock()
        for member, answer in simulated.launcher.status(left).items():
            if isinstance(answer, Status) and answer.is_terminal:
                assert (answer.returncode, answer.source) == (3, Source.ACCOUNTING)
                left.remove(member)
        longest = max(longest, simulated.sim.clock() - before)
    assert longest <= 30  # a call is bounded, although so many commands are not allowed at once
    sizes = [len(one.argv[-1].split(",")) for one in simulated.sim.called("facct")]
    assert max(sizes) == chunk
    assert sum(sizes) == 250


def test_a_question_about_many_is_asked_in_pieces(simulated: Simulated) -> None:
    """F07."""
    simulated.scheduler.rates = replace(simulated.scheduler.rates, query_chunk=4)
    simulated.launcher = simulated.make()
    simulated.sim.usual = Program(1000)
    jobs = simulated.start(*(f"m{number}" for number in range(10)))
    simulated.sim.sleep(1)
    answers = simulated.launcher.status(jobs)
    assert [len(one.argv) - 2 for one in simulated.sim.called("fstat")] == [4, 4, 2]
    assert {one.state for one in answers.values() if isinstance(one, Status)} == {State.RUNNING}


def test_soon_after_a_submit_it_is_asked_again(simulated: Simulated) -> None:
    """F08: however long nothing had happened before."""
    simulated.sim.usual = Program(10_000)
    (first,) = simulated.start("a")
    simulated.after(600, first)
    (second,) = simulated.start("b")
    asked = len(simulated.sim.called("fstat"))
    simulated.sim.sleep(1)
    assert simulated.state(second) is State.RUNNING
    assert len(simulated.sim.called("fstat")) == asked + 1


def test_a_query_about_a_few_does_not_forget_the_others(simulated: Simulated) -> None:
    simulated.scheduler.rates = replace(simulated.scheduler.rates, query_chunk=2)
    simulated.launcher = simulated.make()
    simulated.sim.usual = Program(1000)
    jobs = simulated.start("a", "b", "c")
    simulated.sim.sleep(1)
    simulated.launcher.status(jobs)
    for _ in range(30):
        simulated.sim.sleep(10)
        simulated.launcher.status(jobs[:1])
    assert all(isinstance(one, Status) for one in simulated.launcher.status(jobs).values())
