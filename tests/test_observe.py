"""What is known of an experiment from outside, and how old that is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smartcore import Experiment, config
from smartcore.error import EntityExistsError, LauncherError
from smartcore.launch import journal
from smartcore.launch.run import Run
from smartcore.observe import Observer
from smartcore.spec import Command, JobId, State, Step, Tag
from smartcore.testing.fakewlm.cluster import fake_cluster

if TYPE_CHECKING:
    from tests.conftest import Site

HOOKS = """
@hookimpl
def smartcore_register_launchers(registry):
    registry.add("told", "parts:Told")
    registry.add("newer", "parts:Newer")
    registry.add("within", "parts:Within")
    registry.add("fake", "parts:make_fake")
"""
PARTS = '''
from datetime import UTC, datetime, timedelta
from smartcore.error import LauncherError
from smartcore.spec import ABSENT, JobId, Launcher, Started, State, Status
from smartcore.testing.fakewlm.scheduler import FakeScheduler

def make_fake(context):
    return context.batch(FakeScheduler())

class Told(Launcher):
    """Answers what a file says: a state and how many seconds ago it was seen."""

    def __init__(self, context):
        self.answer = context.path / "answer"

    def start(self, work):
        return [Started(JobId(item.tag)) for item in work]

    def stop(self, ids):
        self.answer.write_text("CANCELLED 0")

    def status(self, ids):
        word, _, age = self.answer.read_text().partition(" ")
        if word == "fails":
            raise LauncherError("no connection")
        if word == "absent":
            return dict.fromkeys(ids, ABSENT)
        seen = datetime.now(UTC) - timedelta(seconds=float(age))
        return dict.fromkeys(ids, Status(State[word], seen=seen))

class Within(Told):
    """Says of all that what they ran in has ended."""

    def outlasted(self, ids):
        if self.answer.read_text() == "fails":
            raise LauncherError("no connection")
        return dict.fromkeys(ids, "its allocation 7 has ended")

class Newer(Launcher):
    """Knows nothing of what others have started; what it starts has ended."""

    def __init__(self, context):
        self.own = []

    def start(self, work):
        self.own += [JobId(item.tag) for item in work]
        return [Started(JobId(item.tag)) for item in work]

    def stop(self, ids):
        pass

    def status(self, ids):
        assert set(ids) <= set(self.own)
        return dict.fromkeys(ids, Status(State.COMPLETED, 0))
'''


@pytest.fixture
def plugin(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site.add("told", HOOKS, files={"parts": PARTS})
    monkeypatch.setenv("SMARTCORE_RUNTIME_DIR", str(tmp_path / "rt"))
    return site


@pytest.fixture
def answer(tmp_path: Path) -> Callable[[str], object]:
    """Sets what the launcher answers."""
    path = tmp_path / "exp"
    path.mkdir()
    return (path / "answer").write_text


@pytest.fixture
def observer(plugin: Site, tmp_path: Path, answer: Callable[[str], object]) -> Iterator[Observer]:
    """Of one model, whose driver has gone."""
    answer("RUNNING 0")
    path = tmp_path / "exp"
    run = Run(Step("m", Tag("m-1"), Command(("true",)), path, path / "out", path / "err"), "Model")
    book = journal.Journal(path)
    book.opened("exp", "told")
    book.launch([run])
    run.job = JobId("m-1")
    book.started([run])
    book.close()
    with Observer(tmp_path / "exp", plugin.registry(), config.load()) as observer:
        yield observer


def age(run: Run) -> timedelta:
    return datetime.now(UTC) - run.status.seen


def test_what_the_launcher_confirms_is_not_stale(observer: Observer) -> None:
    (run,) = observer.refresh()
    assert run.status.state is State.RUNNING
    assert not observer.is_stale(run)


def test_what_nobody_confirms_is_stale_until_somebody_does(
    observer: Observer, answer: Callable[[str], object]
) -> None:
    answer("PAUSED 7")
    (confirmed,) = observer.refresh()
    answer("fails")
    (run,) = observer.refresh()
    assert observer.is_stale(run)
    # The last answer, and not what the journal says of the start.
    assert run.status == confirmed.status
    assert timedelta(seconds=7) <= age(run) < timedelta(seconds=60)
    answer("RUNNING 0")
    (run,) = observer.refresh()
    assert (run.status.state, observer.is_stale(run)) == (State.RUNNING, False)


def test_the_journal_tells_when_nobody_ever_answered(
    observer: Observer, answer: Callable[[str], object]
) -> None:
    answer("fails")
    (run,) = observer.refresh()
    assert run.status.state is State.RUNNING
    assert observer.is_stale(run)


@pytest.mark.parametrize(("seconds", "stale"), [(30, False), (3600, True)])
def test_an_old_answer_is_stale(
    observer: Observer, answer: Callable[[str], object], seconds: int, stale: bool
) -> None:
    """A launcher that asks its scheduler now and then answers what it knows."""
    answer(f"RUNNING {seconds}")
    (run,) = observer.refresh()
    assert observer.is_stale(run) is stale


def test_what_has_ended_is_never_stale(observer: Observer, answer: Callable[[str], object]) -> None:
    answer("COMPLETED 3600")
    (run,) = observer.refresh()
    assert not observer.is_stale(run)
    answer("fails")
    (run,) = observer.refresh()
    assert (run.status.state, observer.is_stale(run)) == (State.COMPLETED, False)


def test_a_job_that_the_scheduler_does_not_know_yet_is_stale_not_lost(
    observer: Observer, answer: Callable[[str], object]
) -> None:
    answer("absent")
    (run,) = observer.refresh()
    assert (run.status.state, observer.is_stale(run)) == (State.RUNNING, True)


def test_a_job_that_was_known_long_ago_and_is_no_more_is_lost(
    observer: Observer, answer: Callable[[str], object]
) -> None:
    answer("RUNNING 3600")
    observer.refresh()
    answer("absent")
    (run,) = observer.refresh()
    assert run.status.state is State.LOST


def test_a_process_of_another_host_is_lost_when_what_it_ran_in_has_ended(
    plugin: Site, tmp_path: Path, answer: Callable[[str], object]
) -> None:
    path = tmp_path / "exp"
    run = Run(Step("m", Tag("m-1"), Command(("true",)), path, path / "out", path / "err"), "Model")
    book = journal.Journal(path)
    book.opened("exp", "within")
    book.launch([run])
    run.job = JobId("12.34")
    book.started([run])
    (file,) = (path / journal.DIRECTORY).glob("*.jsonl")
    opening, *lines = file.read_text().splitlines()
    there = json.dumps(json.loads(opening) | {"host": "there"})
    with file.open("r+") as same:  # it is locked
        same.write("\n".join([there, *lines, ""]))
        same.truncate()
    answer("RUNNING 0")
    with Observer(path, plugin.registry(), config.load()) as observer:
        (seen,) = observer.refresh()
        # Its driver lives, and knows more of its end.
        assert seen.status.state is State.RUNNING
        book.close()
        answer("fails")
        (seen,) = observer.refresh()
        assert (seen.status.state, observer.is_stale(seen)) == (State.RUNNING, True)
        answer("RUNNING 0")
        (seen,) = observer.refresh()
        assert seen.status.state is State.LOST
        assert "its allocation 7 has ended, and nobody told how it ended" in seen.status.reason
    with Experiment.attach(str(path), registry=plugin.registry()) as experiment:
        assert experiment.status("m").state is State.LOST


def test_jobs_of_a_workload_manager_are_seen_and_stopped_from_outside(
    plugin: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "exp"
    path.mkdir()
    with fake_cluster(tmp_path / "cluster") as cluster:
        for name, value in cluster.environment().items():
            monkeypatch.setenv(name, value)
        with Experiment("exp", str(path), "fake", registry=plugin.registry()) as experiment:
            run = experiment.create_run_settings("sleep", "1000")
            experiment.start(experiment.create_model("long", run), block=False)
            with Observer(path, plugin.registry(), config.load()) as observer:
                (seen,) = observer.refresh()
                assert seen.active
                assert not observer.is_stale(seen)
                assert [one.name for one in observer.stop()] == ["long"]
            experiment.wait("long", timeout=60)
            assert experiment.status("long").state is State.CANCELLED


def test_who_chose_another_launcher_asks_the_earlier_one(
    plugin: Site, tmp_path: Path, observer: Observer, answer: Callable[[str], object]
) -> None:
    path = tmp_path / "exp"
    with Experiment("exp", str(path), "newer", registry=plugin.registry()) as experiment:
        model = experiment.create_model("m", experiment.create_run_settings("true"))
        with pytest.raises(EntityExistsError, match="earlier driver and still running"):
            experiment.start(model)
        answer("fails")
        with pytest.raises(LauncherError, match="no connection"):
            experiment.start(model)
        answer("FAILED 0")
        experiment.start(model)
        assert experiment.status(model).state is State.COMPLETED
        assert [run.run_id for run in experiment._session.history] == [1]
