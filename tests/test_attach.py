"""The journal, and what another process makes of it after the driver is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartcore import Experiment
from smartcore.error import ConfigError, InputError, PathNotFoundError
from smartcore.launch import journal, proc
from smartcore.launch.run import Run
from smartcore.spec import Cause, Command, JobId, Source, State, Status, Step, Tag

DRIVER = """
import sys, time
from smartcore import Experiment
exp = Experiment("exp", launcher="local")
sh = lambda name, text: exp.create_model(name, exp.create_run_settings("sh", ["-c", text]))
db = exp.create_database()
exp.start(db)
exp.start(sh("before", "exit 3"))
exp.start(sh("long", "echo going; sleep 1000"), sh("soon", "sleep 0.3; exit 4"), block=False)
print("ready", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "driver.py").write_text(DRIVER)
    process = subprocess.Popen(
        [sys.executable, "driver.py"],
        cwd=tmp_path,
        env={**os.environ, "SMARTCORE_PROGRESS": "never"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready"):
            break
    yield process
    process.kill()
    process.communicate(timeout=20)
    with Experiment.attach(str(tmp_path / "exp")):
        pass  # its end stops what runs


def make_run(name: str, tag: str) -> Run:
    where = Path("/nowhere")
    step = Step(
        name, Tag(tag), Command(("secret-program",), {"TOKEN": "secret"}), where, where, where
    )
    return Run(step, "Model")


# -- the journal --------------------------------------------------------------------------------


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    book = journal.Journal(tmp_path)
    book.opened("exp", "local")
    done, going = make_run("done", "t1"), make_run("going", "t2")
    book.launch([done, going])
    done.job, going.job = JobId("1.1"), JobId("2.2")
    book.started([done, going])
    done.status = Status(State.FAILED, 3, Cause.EXIT_CODE, "exit code 3", Source.PROCESS, host="h")
    book.ended(done)
    book.database("mine", "/exp/mine/smartcore_db.json")
    book.uses("theirs", "/other/theirs/smartcore_db.json")
    book.close()
    story = journal.read(tmp_path)
    assert (story.name, story.launcher) == ("exp", "local")
    assert story.databases == {"mine": "/exp/mine/smartcore_db.json"}
    assert story.uses == {"theirs": "/other/theirs/smartcore_db.json"}
    first, second = story.runs
    assert first.status == done.status
    assert (second.name, second.job, second.status.state) == ("going", "2.2", State.RUNNING)


def test_nothing_secret_is_in_the_journal(tmp_path: Path) -> None:
    book = journal.Journal(tmp_path)
    book.launch([make_run("m", "t")])
    book.close()
    (file,) = (tmp_path / journal.DIRECTORY).iterdir()
    assert "secret" not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_journals_of_several_drivers_are_merged_in_time(tmp_path: Path) -> None:
    directory = tmp_path / journal.DIRECTORY
    directory.mkdir(parents=True)

    def lines(host: str, at: float, name: str, launcher: str) -> None:
        run: dict[str, object] = {"tag": host, "name": name, "kind": "Model", "run_id": 0}
        run |= dict.fromkeys(("cwd", "out", "err"), "/x")
        opening: dict[str, object] = {
            "experiment": "exp",
            "launcher": launcher,
            "host": host,
            "pid": 1,
        }
        rows: list[dict[str, object]] = [
            {"what": "open", **opening},
            {"what": "launch", "runs": [run]},
        ]
        text = "".join(json.dumps({"v": 1, "at": at, **row}) + "\n" for row in rows)
        (directory / f"{host}-1.jsonl").write_text(text)

    lines("a", 20.0, "later", "newer")
    lines("b", 10.0, "earlier", "older")
    story = journal.read(tmp_path)
    assert [run.name for run in story.runs] == ["earlier", "later"]
    assert story.launcher == "newer"
    assert [driver.living for driver in story.drivers] == [False, False]


def test_a_torn_last_line_is_tolerated(tmp_path: Path) -> None:
    book = journal.Journal(tmp_path)
    book.opened("exp", "local")
    book.launch([make_run("m", "t")])
    book.close()
    (file,) = (tmp_path / journal.DIRECTORY).iterdir()
    with file.open("a") as stream:
        stream.write('{"v": 1, "at": 1e9, "what": "sta')
    assert [run.name for run in journal.read(tmp_path).runs] == ["m"]


def test_a_journal_of_a_newer_version_is_refused_politely(tmp_path: Path) -> None:
    directory = tmp_path / journal.DIRECTORY
    directory.mkdir(parents=True)
    (directory / "h-1.jsonl").write_text('{"v": 99, "at": 1, "what": "open"}\n')
    with pytest.raises(ConfigError, match=r"newer smartcore \(format 99.*upgrade"):
        journal.read(tmp_path)


def test_a_directory_without_a_journal_is_named(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match="has no journal"):
        Experiment.attach(str(tmp_path))


# -- attach -------------------------------------------------------------------------------------


def test_a_second_living_driver_is_refused_by_pid_and_host(
    driver: subprocess.Popen[str], tmp_path: Path
) -> None:
    host = os.uname().nodename
    words = f"another driver of .* is running: process {driver.pid} on {host}"
    with pytest.raises(InputError, match=words):
        Experiment.attach(str(tmp_path / "exp"))
    second = Experiment("exp", str(tmp_path / "exp"), launcher="local")
    model = second.create_model("new", second.create_run_settings("touch", "ran"))
    with pytest.raises(InputError, match=words):
        second.start(model)
    assert not (tmp_path / "exp" / "new").exists()


def test_a_killed_drivers_experiment_is_taken_up_with_the_truth(
    driver: subprocess.Popen[str], tmp_path: Path
) -> None:
    driver.kill()
    driver.wait(20)
    exp = Experiment.attach(str(tmp_path / "exp"))
    try:
        statuses = exp.statuses()
        assert (statuses["before"].state, statuses["before"].returncode) == (State.FAILED, 3)
        assert statuses["long"].state is State.RUNNING
        exp.wait("soon", timeout=20)
        soon = exp.status("soon")
        assert (soon.state, soon.returncode) == (State.FAILED, 4)
        assert statuses["orchestrator_0"].state is State.RUNNING
        table = exp.summary()
        assert all(name in table for name in ("before", "long", "soon", "orchestrator_0"))
    finally:
        exp.stop(*exp.statuses())
    assert exp.status("long").state is State.CANCELLED
    assert exp.statuses()["orchestrator_0"].state is State.CANCELLED


def test_an_attached_database_serves_new_models(
    driver: subprocess.Popen[str], tmp_path: Path
) -> None:
    driver.kill()
    driver.wait(20)
    with Experiment.attach(str(tmp_path / "exp")) as exp:
        model = exp.create_model("env", exp.create_run_settings("env"))
        exp.start(model)
        assert "SSDB=127.0.0.1:" in (Path(model.path) / "env.out").read_text()
    assert not any(status.state is State.RUNNING for status in exp.statuses().values())


def test_what_ended_while_nobody_watched_is_known_from_its_record(
    driver: subprocess.Popen[str], tmp_path: Path
) -> None:
    driver.kill()
    driver.wait(20)
    os.killpg(pid_of(tmp_path / "exp", "long"), signal.SIGKILL)
    with Experiment.attach(str(tmp_path / "exp")) as exp:
        exp.wait("long", timeout=20)
        status = exp.status("long")
        assert (status.state, status.returncode) == (State.FAILED, -signal.SIGKILL)


def test_what_ended_after_its_keeper_was_killed_is_lost_and_never_done(
    driver: subprocess.Popen[str], tmp_path: Path
) -> None:
    driver.kill()
    driver.wait(20)
    (facts,) = (tmp_path / "exp" / ".smartcore" / "keeper").glob("*.json")
    os.kill(json.loads(facts.read_text())["pid"], signal.SIGKILL)
    pid = pid_of(tmp_path / "exp", "long")
    os.killpg(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while proc.start_time(pid) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    with Experiment.attach(str(tmp_path / "exp")) as exp:
        status = exp.status("long")
        assert (status.state, status.returncode) == (State.LOST, None)
        assert exp.statuses()["orchestrator_0"].state is State.RUNNING


def pid_of(experiment: Path, name: str) -> int:
    (job,) = [run.job for run in journal.read(experiment).runs if run.name == name]
    assert job is not None
    return int(job.split(".")[0])
