from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from smartcore.error import LauncherError, WaitTimeoutError
from smartcore.launch import inquiry
from smartcore.launch.engine import Engine
from smartcore.launch.run import Run
from smartcore.spec import (
    ABSENT,
    Answer,
    Cause,
    Command,
    EventSink,
    File,
    JobId,
    Launcher,
    Started,
    State,
    Status,
    Step,
    Tag,
    Work,
)


class Telling(Launcher):
    """A launcher in memory that tells of ends when the test says so."""

    def __init__(self) -> None:
        self.sink: EventSink = lambda job, status: None
        self.batches: list[list[str]] = []
        self.stopped: list[list[JobId]] = []
        self.refuse: set[str] = set()
        self.changed = threading.Condition()

    def watch(self, sink: EventSink, /) -> None:
        self.sink = sink

    def start(self, work: Sequence[Work], /) -> Sequence[Started]:
        with self.changed:
            self.batches.append([item.name for item in work])
            self.changed.notify_all()
        return [
            Started(error="no room") if item.name in self.refuse else Started(JobId(item.name))
            for item in work
        ]

    def status(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        return dict.fromkeys(ids, ABSENT)

    def stop(self, ids: Collection[JobId], /) -> None:
        self.stopped.append(list(ids))
        for job in ids:
            self.sink(job, Status(State.CANCELLED, -15, Cause.STOPPED))

    def end(self, *names: str, code: int = 0) -> None:
        for name in names:
            state = State.FAILED if code else State.COMPLETED
            self.sink(JobId(name), Status(state, code))

    def wait_batches(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.batches) >= count, 20), self.batches


class Asked(Telling):
    """One that must be asked; answers are scripted, the last one stays."""

    watch = None  # type: ignore[assignment]

    def __init__(self, answers: list[Answer | LauncherError]) -> None:
        super().__init__()
        self.answers = answers
        self.questions = 0

    def status(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        self.questions += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, LauncherError):
            raise answer
        return dict.fromkeys(ids, answer)


@pytest.fixture
def launcher() -> Telling:
    return Telling()


@pytest.fixture
def engine(launcher: Telling) -> Iterator[Engine]:
    made = Engine(launcher)
    yield made
    made.close()


def runs(*names: str, limited: bool = True) -> list[Run]:
    where = Path("/nowhere")
    return [
        Run(Step(name, Tag(name), Command(("x",)), where, where, where), "Model", limited=limited)
        for name in names
    ]


def test_what_is_handed_over_together_is_started_together(
    launcher: Telling, engine: Engine
) -> None:
    engine.submit(runs("a", "b", "c"))
    launcher.wait_batches(1)
    assert launcher.batches == [["a", "b", "c"]]


def test_no_more_run_than_the_limit_and_the_next_starts_when_one_ends(launcher: Telling) -> None:
    engine = Engine(launcher, max_running=2)
    work = runs("a", "b", "c", "d")
    engine.submit(work)
    launcher.wait_batches(1)
    assert launcher.batches == [["a", "b"]]
    assert [run.status.state for run in work[2:]] == [State.QUEUED, State.QUEUED]
    launcher.end("b")
    launcher.wait_batches(2)
    assert launcher.batches[1] == ["c"]
    launcher.end("a", "c")
    launcher.wait_batches(3)
    launcher.end("d")
    engine.wait(work, timedelta(seconds=20))
    engine.close()


def test_databases_do_not_count_against_the_limit(launcher: Telling) -> None:
    engine = Engine(launcher, max_running=1)
    engine.submit(runs("db", limited=False))
    engine.submit(runs("a"))
    launcher.wait_batches(2)
    assert launcher.batches == [["db"], ["a"]]
    engine.close()


def test_a_database_does_not_wait_behind_models_that_the_limit_holds_back(
    launcher: Telling,
) -> None:
    engine = Engine(launcher, max_running=1)
    engine.submit(runs("a", "b", "c"))
    engine.submit(runs("db_0", "db_1", limited=False))
    assert launcher.batches == [["a"], ["db_0", "db_1"]]
    engine.close()


def test_wait_returns_when_its_own_have_ended_and_not_for_others(
    launcher: Telling, engine: Engine
) -> None:
    mine, other = runs("mine", "other")
    engine.submit([mine, other])
    launcher.wait_batches(1)
    launcher.end("mine", code=3)
    engine.wait([mine], timedelta(seconds=20))
    assert (mine.status.returncode, other.active) == (3, True)
    with pytest.raises(WaitTimeoutError, match=r"other \(Running\)"):
        engine.wait([other], timedelta(seconds=0.01))


def test_an_end_that_is_known_before_the_launcher_tells_is_told_once(launcher: Telling) -> None:
    heard: list[str] = []
    engine = Engine(launcher, max_running=1, on_end=lambda run: heard.append(run.name))
    a, b = work = runs("a", "b")
    engine.submit(work)
    engine.forestall(a, lambda: None)
    assert a.active
    engine.forestall(a, lambda: Status(State.FAILED, -9, Cause.SIGNAL))
    engine.wait([a], timedelta(seconds=20))
    assert (a.remains, b.status.state) == (True, State.QUEUED)  # its place is not free yet
    launcher.sink(JobId("a"), Status(State.RUNNING))
    launcher.end("a", code=137)
    launcher.wait_batches(2)
    assert (a.status.returncode, a.remains) == (-9, False)
    engine.forestall(a, lambda: Status(State.FAILED, 1))
    launcher.end("b")
    engine.wait([b], timedelta(seconds=20))
    assert heard == ["a", "b"]
    engine.close()


def test_what_remains_of_one_that_has_ended_can_be_stopped(
    launcher: Telling, engine: Engine
) -> None:
    (run,) = runs("a")
    engine.submit([run])
    engine.forestall(run, lambda: Status(State.FAILED, -9, Cause.SIGNAL))
    engine.wait([run], timedelta(seconds=20))
    engine.stop([run])
    assert launcher.stopped == [[JobId("a")]]
    engine.stop([run])
    assert launcher.stopped == [[JobId("a")]]
    assert run.status.state is State.FAILED


def test_an_asked_launcher_is_not_hurried_by_what_has_ended_already() -> None:
    launcher = Asked([Status(State.RUNNING)])
    engine = Engine(launcher)
    a, b = work = runs("a", "b")
    engine.submit(work)
    engine.forestall(a, lambda: Status(State.FAILED, -9, Cause.SIGNAL))
    engine.wait([a], timedelta(seconds=20))
    with pytest.raises(WaitTimeoutError):
        engine.wait([b], timedelta(seconds=1))
    # At 0.05 s, and twice as late each time; it began anew once.
    assert launcher.questions <= 8
    assert (a.status.state, b.status.state) == (State.FAILED, State.RUNNING)
    engine.close()


def test_one_that_cannot_start_fails_alone(launcher: Telling, engine: Engine) -> None:
    launcher.refuse = {"b"}
    a, b = work = runs("a", "b")
    engine.submit(work)
    engine.wait([b], timedelta(seconds=20))
    assert (b.status.state, b.status.cause) == (State.FAILED, Cause.START_FAILURE)
    assert b.status.reason == "no room"
    assert a.active


def test_a_launcher_that_raises_fails_its_batch_and_the_engine_lives(
    launcher: Telling, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(work: Sequence[Work], /) -> Sequence[Started]:
        raise RuntimeError("boom")

    with monkeypatch.context() as patch:
        patch.setattr(launcher, "start", explode)
        (bad,) = work = runs("bad")
        engine.submit(work)
        engine.wait(work, timedelta(seconds=20))
        assert bad.status.reason == "Telling: boom"
    engine.submit(runs("good"))
    launcher.wait_batches(1)


def test_stop_cancels_what_is_queued_without_starting_it(launcher: Telling) -> None:
    engine = Engine(launcher, max_running=1)
    a, b = work = runs("a", "b")
    engine.submit(work)
    engine.stop(work)
    assert [a.status.state, b.status.state] == [State.CANCELLED, State.CANCELLED]
    assert launcher.stopped == [[JobId("a")]]
    assert b.job is None
    assert launcher.batches == [["a"]]
    engine.stop(work)
    engine.close()


def test_a_failing_question_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    running, done = Status(State.RUNNING), Status(State.COMPLETED, 0)
    asked = Asked([running, LauncherError("socket timed out"), running, done])
    engine = Engine(asked)
    (run,) = work = runs("a")
    seen: list[State] = []
    with caplog.at_level(logging.WARNING, "smartcore"):
        engine.submit(work)
        engine.wait(work, timedelta(seconds=20), tick=lambda: seen.append(run.status.state))
    assert "socket timed out" in caplog.text
    assert run.status == done
    assert State.FAILED not in seen
    assert asked.questions == 4
    engine.close()


def test_an_unknown_job_is_lost_after_a_while_and_never_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inquiry, "ABSENCE_GRACE", 0.2)
    asked = Asked([Status(State.RUNNING), ABSENT])
    engine = Engine(asked)
    (run,) = work = runs("a")
    engine.submit(work)
    engine.wait(work, timedelta(seconds=20))
    assert (run.status.state, run.status.returncode) == (State.LOST, None)
    assert asked.questions > 2
    engine.close()


def test_listeners_hear_of_an_end_before_waiters_and_may_fail(
    launcher: Telling, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    def listen(run: Run) -> None:
        heard.append(run.name)
        raise ValueError("listener")

    engine = Engine(launcher, on_end=listen)
    work = runs("a")
    engine.submit(work)
    launcher.wait_batches(1)
    launcher.end("a")
    engine.wait(work, timedelta(seconds=20))
    assert heard == ["a"]
    assert "a listener for the end of a failed" in caplog.text
    engine.close()


@pytest.mark.parametrize("answer", [[], None, [Started(JobId("a"))] * 3])
def test_a_launcher_that_answers_for_too_few_or_many_fails_its_batch_and_hangs_nobody(
    launcher: Telling, engine: Engine, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    monkeypatch.setattr(launcher, "start", lambda work: answer)
    work = runs("a", "b")
    engine.submit(work)
    engine.wait(work, timedelta(seconds=20))
    assert {run.status.cause for run in work} == {Cause.START_FAILURE}
    assert "Telling.start was given 2 steps and answered" in work[0].status.reason


def test_files_are_there_before_the_launcher_is_called(
    launcher: Telling, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def look(work: Sequence[Work], /) -> Sequence[Started]:
        seen.append((tmp_path / "conf").read_text())
        return [Started(JobId(item.name)) for item in work]

    monkeypatch.setattr(launcher, "start", look)
    good, bad = runs("good", "bad")
    good.step = replace(good.step, command=Command(("x",), files=(File(tmp_path / "conf", "k"),)))
    (tmp_path / "file").touch()
    blocked = File(tmp_path / "file" / "conf", "k")
    bad.step = replace(bad.step, command=Command(("x",), files=(blocked,)))
    engine.submit([good, bad])
    engine.wait([bad], timedelta(seconds=20))
    assert seen == ["k"]
    assert bad.status.cause is Cause.START_FAILURE
    assert "file: File exists" in bad.status.reason


def test_submit_returns_when_what_the_limit_allows_has_started(launcher: Telling) -> None:
    engine = Engine(launcher, max_running=1)
    work = runs("a", "b")
    engine.submit(work)
    assert [run.job for run in work] == ["a", None]
    engine.close()
