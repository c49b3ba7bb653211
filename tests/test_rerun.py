"""A driver script that is run again while what its earlier run started goes on."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smartcore import Experiment, config
from smartcore.error import ConfigError, EntityExistsError
from smartcore.launch import journal, link, spawn
from smartcore.launch.run import Run
from smartcore.observe import Observer
from smartcore.registry import default_registry
from smartcore.spec import Cause, Command, State, Step, Tag

if TYPE_CHECKING:
    from tests.conftest import Drives

DRIVER = """
import os, sys
from smartcore import Experiment
exp = Experiment("exp", launcher="local", max_running=2)
sh = lambda name, text: exp.create_model(name, exp.create_run_settings("sh", ["-c", text]))
exp.start(exp.create_database())
exp.start(sh("done", "echo done"), sh("bad", "exit 3"))
os.mkdir("exp/soon")
os.mkfifo("exp/soon/go")
exp.start(sh("m", "echo going; sleep 1000"), sh("soon", "read x < go; exit 0"), block=False)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTCORE_RUNTIME_DIR", str(tmp_path / "rt"))
    monkeypatch.setenv("SMARTCORE_STOP_GRACE", "1")
    monkeypatch.setenv("SMARTCORE_PROGRESS", "never")


@pytest.fixture
def left(tmp_path: Path, drive: Drives) -> Path:
    """The experiment of a driver that was killed."""
    driver = drive(DRIVER)
    assert driver.stdout is not None
    assert any(line.startswith("ready") for line in driver.stdout)
    driver.kill()
    driver.wait(20)
    return tmp_path / "exp"


@pytest.fixture
def again(left: Path) -> Iterator[Experiment]:
    """The same experiment in another driver."""
    made = Experiment("exp", str(left), launcher="local")
    yield made
    made._session.stops.stop_all()
    made._session.close()


def jobs(path: Path, name: str) -> list[str]:
    return [run.job or "" for run in journal.read(path).runs if run.name == name]


def test_what_an_earlier_driver_left_running_is_not_started_again(
    left: Path, again: Experiment
) -> None:
    words = f"'m'.*earlier driver and still running; .*attach.*smartcore stop {left}"
    model = again.create_model("m", again.create_run_settings("echo", "again"))
    other = again.create_model("other", again.create_run_settings("echo", "again"))
    with pytest.raises(EntityExistsError, match=words):
        again.start(other, model)
    assert (left / "m" / "m.out").read_text() == "going\n"
    assert not (left / "other").exists()
    assert len(jobs(left, "m")) == 1
    with pytest.raises(EntityExistsError, match=r"orchestrator_0.*still running"):
        again.start(again.create_database())
    with pytest.raises(EntityExistsError, match=r"'m'.*still running"):
        again.start(model, skip_completed=True)


def test_the_directory_of_what_still_runs_is_not_made_anew(left: Path, again: Experiment) -> None:
    model = again.create_model("m", again.create_run_settings("echo", "again"))
    with pytest.raises(EntityExistsError, match=r"'m'.*earlier driver and still running"):
        again.generate(model, overwrite=True)
    assert (left / "m" / "m.out").exists()


def test_what_has_ended_is_started_again_with_the_next_number(
    left: Path, again: Experiment
) -> None:
    bad = again.create_model("bad", again.create_run_settings("true"))
    again.start(bad)
    assert [run.run_id for run in again._session.history] == [1]
    again.start(bad)
    assert [run.run_id for run in again._session.history] == [1, 2]


def test_what_ended_after_its_driver_is_known_when_it_is_started_again(
    left: Path, again: Experiment
) -> None:
    with until_its_end(left, "soon") as go:
        go.write_text("\n")
    model = again.create_model("soon", again.create_run_settings("echo", "again"))
    again.start(model, skip_completed=True)
    assert (left / "soon" / "soon.out").read_text() == ""
    assert again.status(model).state is State.COMPLETED


def test_what_an_earlier_driver_completed_is_skipped(left: Path, again: Experiment) -> None:
    done = again.create_model("done", again.create_run_settings("echo", "again"))
    bad = again.create_model("bad", again.create_run_settings("echo", "again"))
    again.start(done, bad, skip_completed=True)
    assert (left / "done" / "done.out").read_text() == "done\n"
    assert (left / "bad" / "bad.out").read_text() == "again\n"
    assert again.finished(done)
    again.start(done)
    assert (left / "done" / "done.out").read_text() == "again\n"


@contextmanager
def until_its_end(path: Path, name: str) -> Iterator[Path]:
    (job,) = jobs(path, name)
    held = spawn.open_process(job)
    assert held is not None
    yield path / name / "go"
    poll = select.poll()
    poll.register(held.pidfd, select.POLLIN)
    assert poll.poll(20_000)
    os.close(held.pidfd)


# -- duplicates, in journals of older versions --------------------------------------------------


@pytest.fixture
def twice(left: Path) -> Path:
    """With two living runs of one name, of which the older one was written down first."""
    (file,) = (left / journal.DIRECTORY).iterdir()
    text = file.read_text().replace('"name": "soon"', '"name": "m"')
    file.write_text(text)
    assert len(jobs(left, "m")) == 2
    return left


def test_all_living_runs_of_a_name_are_seen_and_stopped(twice: Path) -> None:
    with Observer(twice, default_registry(), config.load()) as observer:
        seen = [run for run in observer.refresh() if run.name == "m"]
        assert [run.status.state for run in seen] == [State.RUNNING] * 2
        assert {run.job for run in observer.stop(["m"])} == set(jobs(twice, "m"))
        left_over = [run for run in observer.refresh() if run.name == "m"]
        assert [run.status.state for run in left_over] == [State.CANCELLED]
    assert not any(map(spawn.alive, jobs(twice, "m")))


def test_all_living_runs_of_a_name_are_taken_up(twice: Path) -> None:
    with Experiment.attach(str(twice)) as exp:
        exp.stop("m")
        assert not any(map(spawn.alive, jobs(twice, "m")))
        exp.start(exp.create_model("m", exp.create_run_settings("true")))


def test_the_shell_counts_all_living_runs(twice: Path) -> None:
    (view,) = json.loads(smartcore("ps", "--json"))
    assert view["running"] == 3
    assert smartcore("stop", str(twice), "m").count("stopped m") == 2


# -- what was never started ---------------------------------------------------------------------

QUEUES = """
import sys
from smartcore import Experiment
exp = Experiment("exp", launcher="local", max_running=1)
sh = lambda name, text: exp.create_model(name, exp.create_run_settings("sh", ["-c", text]))
exp.start(sh("m", "sleep 1000"), sh("waits", "true"), block=False)
print("ready", flush=True)
sys.stdin.read() if len(sys.argv) > 1 else None
"""


@pytest.mark.parametrize("killed", [False, True])
def test_what_waited_when_its_driver_ended_is_cancelled(
    tmp_path: Path, drive: Drives, killed: bool
) -> None:
    driver = drive(QUEUES.replace("len(sys.argv) > 1", str(killed)))
    assert driver.stdout is not None
    assert any(line.startswith("ready") for line in driver.stdout)
    if killed:
        driver.kill()
    driver.wait(20)
    path = tmp_path / "exp"
    with Observer(path, default_registry(), config.load()) as observer:
        states = {run.name: run.status for run in observer.refresh()}
    assert states["m"].state is State.RUNNING
    assert states["waits"].state is State.CANCELLED
    assert states["waits"].reason == "its driver ended before it was started"
    with Experiment.attach(str(path)) as exp:
        assert exp.status("waits").state is State.CANCELLED
        assert exp.statuses()["waits"].reason == "its driver ended before it was started"
    with Observer(path, default_registry(), config.load()) as observer:
        assert {run.status.state for run in observer.refresh()} == {State.CANCELLED}


def test_what_was_handed_over_without_an_answer_is_lost(tmp_path: Path) -> None:
    step = Step("m", Tag("m-1"), Command(()), tmp_path, tmp_path / "out", tmp_path / "err")
    book = journal.Journal(tmp_path)
    book.opened("exp", "local")
    run = Run(step, "Model")
    book.launch([run])
    book.handed([run])
    book.close()
    with Observer(tmp_path, default_registry(), config.load()) as observer:
        (seen,) = observer.refresh()
    assert (seen.status.state, seen.status.cause) == (State.LOST, Cause.UNSEEN)


# -- what a shell has stopped -------------------------------------------------------------------


def kill_keeper(path: Path) -> None:
    facts = link.read_facts(link.Place(path, path))
    assert facts is not None
    os.kill(facts.pid, signal.SIGKILL)
    link.wait_gone(facts.identity)


def smartcore(*argv: str) -> str:
    command = [sys.executable, "-m", "smartcore", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout


@pytest.mark.parametrize("command", [["stop"], ["gc", "--yes"]])
def test_what_a_shell_stopped_without_a_keeper_is_cancelled(left: Path, command: list[str]) -> None:
    kill_keeper(left)
    (job,) = jobs(left, "m")
    smartcore(*command, str(left))
    assert not spawn.alive(job)
    with Observer(left, default_registry(), config.load()) as observer:
        states = {run.name: run.status for run in observer.refresh()}
    assert (states["m"].state, states["m"].cause) == (State.CANCELLED, Cause.STOPPED)
    assert states["bad"].state is State.FAILED
    with Experiment.attach(str(left)) as exp:
        assert exp.status("m").state is State.CANCELLED
    assert {run.status.state for run in journal.read(left).runs if run.name == "m"} == {
        State.CANCELLED
    }


def test_a_living_driver_hears_of_what_a_shell_stopped_without_a_keeper(tmp_path: Path) -> None:
    path = tmp_path / "exp"
    path.mkdir()
    with Experiment("exp", str(path)) as exp:
        model = exp.create_model("m", exp.create_run_settings("sleep", "1000"))
        exp.start(model, block=False, retries=1)
        kill_keeper(path)
        assert smartcore("stop", str(path)).startswith("stopped m")
        exp.wait(model, timeout=20)
        assert exp.status(model).state is State.CANCELLED
        assert len(jobs(path, "m")) == 1


# -- databases ----------------------------------------------------------------------------------


def test_a_database_whose_server_died_is_started_again(tmp_path: Path) -> None:
    path = tmp_path / "exp"
    path.mkdir()
    with Experiment("exp", str(path)) as exp:
        database = exp.create_database()
        exp.start(database)
        (job,) = jobs(path, "orchestrator_0")
        os.kill(spawn.parse(job)[0], signal.SIGKILL)
        exp._session.wait(exp._session.roster.started([database]))
        exp.start(database)
        assert database.is_active()
        assert [run.run_id for run in exp._session.history] == [0, 1]


# -- journals that cannot be read ---------------------------------------------------------------


def test_a_start_beside_a_journal_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "exp" / journal.DIRECTORY
    directory.mkdir(parents=True)
    (directory / "h-1.jsonl").write_text('{"v": 99, "at": 1, "what": "open"}\n')
    exp = Experiment("exp", str(tmp_path / "exp"))
    with pytest.raises(ConfigError, match="newer smartcore"):
        exp.start(exp.create_model("m", exp.create_run_settings("true")))
    assert not (tmp_path / "exp" / "m").exists()


# -- time ---------------------------------------------------------------------------------------


def times(exp: Experiment) -> dict[str, str]:
    rows = [row.split("|") for row in exp.summary().splitlines()]
    return {row[2].strip(): row[6] for row in rows}


def test_time_counts_from_the_start_and_not_from_when_somebody_took_it_up(left: Path) -> None:
    (file,) = (left / journal.DIRECTORY).iterdir()
    earlier = re.sub(
        r'"at": ([0-9.]+)', lambda at: f'"at": {float(at[1]) - 4000}', file.read_text()
    )
    file.write_text(earlier)
    explained = json.loads(smartcore("explain", str(left), "m", "--json"))
    assert explained["elapsed"] == "67 min"
    with Experiment.attach(str(left)) as exp:
        took = times(exp)
        assert 3990 < float(took["m"]) < 4100
        assert float(took["bad"]) < 60
        exp.stop("m")
        took = times(exp)
        assert float(took["m"]) < 60  # what was measured


def test_of_what_ended_unseen_nobody_knows_how_long_it_ran(left: Path) -> None:
    kill_keeper(left)
    with until_its_end(left, "soon") as go:
        go.write_text("\n")
    with Experiment.attach(str(left)) as exp:
        assert exp.status("soon").state is State.LOST
        assert times(exp)["soon"].strip() == ""
