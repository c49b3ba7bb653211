"""``smartcore ps`` and ``gc`` with drivers, keepers and models that are killed or go on."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from smartcore.housekeeping import own_processes
from smartcore.launch import journal, proc
from smartcore.launch.link import Place, read_facts

# What it starts: a model that forks, one that ends and leaves a process behind, and a plain one.
DRIVER = """
import sys
from smartcore import Experiment
exp = Experiment("exp", launcher="local")
sh = lambda name, text: exp.create_model(name, exp.create_run_settings("sh", ["-c", text]))
exp.start(sh("left", "sleep 1000 & exit 0"), sh("bad", "exit 3"))
exp.start(sh("forks", "sleep 1000 & wait"), block=False)
exp.start(exp.create_model("plain", exp.create_run_settings("sleep", "1000")), block=False)
print("ready", flush=True)
sys.stdin.read()
"""
SLEEPS = 3


@dataclass
class Lab:
    """A runtime directory of its own, and what is started in it."""

    where: Path
    tags: set[str] = field(default_factory=set)

    @property
    def path(self) -> Path:
        return self.where / "exp"

    @property
    def environment(self) -> dict[str, str]:
        runtime = {"SMARTCORE_RUNTIME_DIR": str(self.where / "rt"), "SMARTCORE_STOP_GRACE": "1"}
        return {**os.environ, **runtime, "SMARTCORE_PROGRESS": "never"}

    def start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER],
            cwd=self.where,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        assert any(line.startswith("ready") for line in process.stdout)
        self.tags |= {run.step.tag for run in journal.read(self.path).runs}
        return process

    def run(self, *argv: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "smartcore", *map(str, argv)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *argv: object) -> Any:
        done = self.run(*argv, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def alive(self) -> int:
        """How many ``sleep`` of the models there are."""
        names = [Path(f"/proc/{one.pid}/comm") for one in own_processes() if one.tag in self.tags]
        return sum(name.read_text().strip() == "sleep" for name in names)

    def keeper(self) -> int:
        facts = read_facts(Place(self.path, self.path))
        assert facts is not None
        return facts.pid

    def forge(self, host: str, tag: str, job: str, at: float = 2e9) -> Path:
        """The journal of a dead driver that launched one model.

        :param at: when, in seconds since the epoch; a time to come is after the boot
        """
        dead = subprocess.Popen(["true"])
        dead.wait()
        path = self.where / "forged"
        run: dict[str, object] = {"tag": tag, "name": "m", "kind": "Model", "run_id": 0}
        run |= dict.fromkeys(("cwd", "out", "err"), str(path))
        rows: list[dict[str, object]] = [
            {"what": "open", "experiment": "forged", "launcher": "local", "host": host}
            | {"pid": dead.pid, "born": 1},
            {"what": "launch", "runs": [run]},
            {"what": "started", "jobs": {tag: job}},
        ]
        file = path / journal.DIRECTORY / f"{host}-{dead.pid}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"v": 1, "at": at + i, **row}) for i, row in enumerate(rows)]
        file.write_text("\n".join(lines) + "\n")
        return path


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    for process in own_processes():
        if process.tag in lab.tags:
            os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def driver(lab: Lab) -> Iterator[subprocess.Popen[str]]:
    process = lab.start()
    yield process
    process.kill()
    process.communicate(timeout=20)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """Somebody else's process with the command line of a model."""
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    yield process
    process.kill()
    process.wait(20)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(20)


def kill_keeper(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    wait_gone(descriptor)


def wait_gone(descriptor: int) -> None:
    import select

    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    assert poller.poll(20_000)
    os.close(descriptor)


# -- ps -----------------------------------------------------------------------------------------


def test_a_driven_experiment_is_shown_with_its_driver_and_its_counts(
    lab: Lab, driver: subprocess.Popen[str]
) -> None:
    (row,) = lab.json("ps")
    assert (row["experiment"], row["path"]) == ("exp", str(lab.path))
    assert row["driver"] == {"host": os.uname().nodename, "pid": driver.pid, "living": True}
    assert row["keeper"] == lab.keeper()
    counts = {key: row[key] for key in ("queued", "running", "stale", "ended", "failed")}
    assert counts == {"queued": 0, "running": 2, "stale": 0, "ended": 1, "failed": 1}
    assert 0 <= row["age"] < 60
    shown = lab.run("ps").stdout
    assert all(word in shown for word in ("exp", str(driver.pid), str(lab.path), " s"))


def test_an_experiment_without_driver_is_shown_as_long_as_something_runs(
    lab: Lab, driver: subprocess.Popen[str]
) -> None:
    kill(driver)
    (row,) = lab.json("ps")
    assert (row["driver"]["living"], row["running"]) == (False, 2)
    assert f"{driver.pid} (gone)" in lab.run("ps").stdout
    assert lab.run("stop", lab.path).returncode == 0
    assert lab.json("ps") == []
    assert "smartcore ps --all" in lab.run("ps").stdout
    (row,) = lab.json("ps", "--all")
    assert (row["running"], row["ended"], row["failed"]) == (0, 3, 1)


def test_one_damaged_journal_does_not_hide_the_others(
    lab: Lab, driver: subprocess.Popen[str]
) -> None:
    forged = lab.forge("h", "t", "1.1")
    (file,) = (forged / journal.DIRECTORY).iterdir()
    file.write_text('{"v": 1, "at": 1, "what": "open"}\n')
    entries = lab.where / "rt" / "experiments"
    (entry,) = entries.iterdir()
    content = json.loads(entry.read_text()) | {"path": str(forged)}
    (entries / f"{os.uname().nodename}-0-1.1.json").write_text(json.dumps(content))
    rows = {row["path"]: row for row in lab.json("ps", "--all")}
    assert "is damaged" in rows[str(forged)]["problem"]
    assert rows[str(lab.path)]["running"] == 2


def test_an_experiment_that_cannot_be_read_is_named(lab: Lab) -> None:
    directory = lab.path / journal.DIRECTORY
    directory.mkdir(parents=True)
    (directory / "h-1.jsonl").write_text('{"v": 99, "at": 1, "what": "open"}\n')
    done = lab.run("gc", lab.path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{directory / 'h-1.jsonl'} was written by a newer smartcore" in done.stderr
    entries = lab.where / "rt" / "experiments"
    entries.mkdir(mode=0o700)
    entry = {"v": 1, "path": str(lab.path), "name": "exp", "driver": "1.1", "at": 1.0}
    (entries / f"{os.uname().nodename}-0-1.1.json").write_text(json.dumps(entry))
    (row,) = lab.json("ps")
    assert "newer smartcore" in row["problem"]
    assert lab.run("gc").returncode == 0


# -- gc: processes ------------------------------------------------------------------------------


def test_what_is_driven_is_left_alone(lab: Lab, driver: subprocess.Popen[str]) -> None:
    done = lab.run("gc", "--yes", "--older-than", "0")
    assert (done.returncode, done.stdout) == (0, "nothing to end, nothing to remove\n")
    assert lab.alive() == SLEEPS


def test_what_a_killed_driver_left_is_ended_and_nothing_else(
    lab: Lab, driver: subprocess.Popen[str], bystander: subprocess.Popen[bytes]
) -> None:
    kill(driver)
    looked = lab.run("gc", "--dry-run")
    assert looked.returncode == 0
    for name in ("left", "forks", "plain"):
        assert name in looked.stdout
    refused = lab.run("gc")
    assert (refused.returncode, "give --yes" in refused.stderr) == (2, True)
    assert lab.alive() == SLEEPS
    keeper = os.pidfd_open(lab.keeper())
    done = lab.run("gc", "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("done\n")
    assert lab.alive() == 0
    assert bystander.poll() is None
    wait_gone(keeper)
    runs = {run["name"]: run["state"] for run in lab.json("status", lab.path)["runs"]}
    assert runs == {"left": "Completed", "bad": "Failed", "forks": "Cancelled"} | {
        "plain": "Cancelled"
    }
    assert lab.json("gc", "--dry-run")["processes"] == []


def test_what_outlived_its_keeper_is_ended_too(
    lab: Lab, driver: subprocess.Popen[str], bystander: subprocess.Popen[bytes]
) -> None:
    kill(driver)
    kill_keeper(lab.keeper())
    assert lab.alive() == SLEEPS
    found = lab.json("gc", lab.path, "--yes")
    assert sorted(one["name"] for one in found["processes"]) == ["forks", "left", "plain"]
    assert (found["done"], found["errors"]) == (True, [])
    assert lab.alive() == 0
    assert bystander.poll() is None


@pytest.mark.parametrize("kept", [True, False], ids=["keeper lives", "keeper killed"])
def test_what_was_started_when_its_driver_could_not_note_it_is_ended(
    lab: Lab, driver: subprocess.Popen[str], kept: bool
) -> None:
    kill(driver)
    (file,) = (lab.path / journal.DIRECTORY).iterdir()
    lines = [line for line in file.read_text().splitlines() if '"started"' not in line]
    file.write_text("\n".join(lines) + "\n")
    if not kept:
        kill_keeper(lab.keeper())
    found = lab.json("gc", "--yes")
    assert {"forks", "plain"} <= {one["name"] for one in found["processes"]}
    assert lab.alive() <= 1  # "left" has ended, and of its pid nothing was noted
    lab.json("gc", "--yes")
    assert lab.alive() <= 1


def test_what_runs_in_a_removed_directory_is_shown_and_ended(
    lab: Lab, driver: subprocess.Popen[str]
) -> None:
    keeper = lab.keeper()
    shutil.rmtree(lab.path)
    assert lab.json("gc", "--yes")["processes"] == []  # its driver lives
    kill(driver)
    (row,) = lab.json("ps")
    assert (row["path"], row["keeper"], row["running"]) == (str(lab.path), keeper, 2)
    assert "removed" in row["problem"]
    descriptor = os.pidfd_open(keeper)
    found = lab.json("gc", "--yes")
    assert sorted(one["name"] for one in found["processes"]) == ["forks", "plain"]
    wait_gone(descriptor)
    assert lab.json("ps") == []
    (entry,) = lab.json("gc", "--yes")["files"]
    assert "index entry" in entry["what"]
    assert lab.json("gc", "--yes")["files"] == []


@pytest.mark.parametrize("answer", ["n", "y"])
def test_a_person_is_asked(lab: Lab, driver: subprocess.Popen[str], answer: str) -> None:
    kill(driver)
    ours, its = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = subprocess.run(
        [sys.executable, "-m", "smartcore", "gc"],
        env=lab.environment,
        stdin=its,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(ours)
    os.close(its)
    assert "End 4 processes? [y/N]:" in done.stdout
    assert done.returncode == (0 if answer == "y" else 1)
    assert lab.alive() == (0 if answer == "y" else SLEEPS)


def test_what_is_taken_up_while_we_ask_is_left_alone(
    lab: Lab, driver: subprocess.Popen[str]
) -> None:
    kill(driver)
    ours, its = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "smartcore", "gc"],
        env=lab.environment,
        stdin=its,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        shown = b""
        while b"[y/N]" not in shown:
            shown += (more := os.read(process.stdout.fileno(), 4096))
            assert more, shown
        (file,) = (lab.path / journal.DIRECTORY).iterdir()
        with file.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # as a driver does
            os.write(ours, b"y\n")
            assert process.wait(60) == 0
    os.close(ours)
    os.close(its)
    assert lab.alive() == SLEEPS


def test_a_process_with_the_number_of_one_of_ours_is_left_alone(
    lab: Lab, bystander: subprocess.Popen[bytes]
) -> None:
    born = proc.start_time(bystander.pid)
    assert born is not None
    path = lab.forge(os.uname().nodename, "m-1", f"{bystander.pid}.{born - 1}")
    assert lab.json("gc", path, "--yes")["processes"] == []
    assert bystander.poll() is None


@pytest.mark.parametrize("tag", ["other-1", "m-1"])
def test_number_start_time_and_tag_must_agree(lab: Lab, tag: str) -> None:
    environment = {**os.environ, "SMARTCORE_TAG": tag}
    with subprocess.Popen(["sleep", "1000"], env=environment, start_new_session=True) as process:
        try:
            born = proc.start_time(process.pid)
            path = lab.forge(os.uname().nodename, "m-1", f"{process.pid}.{born}")
            found = lab.json("gc", path, "--yes")["processes"]
            assert [one["pid"] for one in found] == ([process.pid] if tag == "m-1" else [])
            assert (process.poll() is not None) is (tag == "m-1")
        finally:
            process.kill()


@pytest.mark.parametrize(("at", "ours"), [(1e9, False), (2e9, True)])
def test_without_a_tag_a_launch_before_the_boot_proves_nothing(
    lab: Lab, bystander: subprocess.Popen[bytes], at: float, ours: bool
) -> None:
    born = proc.start_time(bystander.pid)
    path = lab.forge(os.uname().nodename, "m-1", f"{bystander.pid}.{born}", at)
    found = lab.json("gc", path, "--yes")["processes"]
    assert [one["pid"] for one in found] == ([bystander.pid] if ours else [])
    assert (bystander.poll() is not None) is ours


def test_whoever_runs_it_is_not_ended_by_it(lab: Lab) -> None:
    script = 'read -r path && "$0" -m smartcore gc "$path" --yes --json'
    process = subprocess.Popen(
        ["sh", "-c", script, sys.executable],
        env={**lab.environment, "SMARTCORE_TAG": "m-1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    born = proc.start_time(process.pid)
    path = lab.forge(os.uname().nodename, "m-1", f"{process.pid}.{born}")
    shown, _ = process.communicate(f"{path}\n", timeout=60)
    assert process.returncode == 0
    assert json.loads(shown)["processes"] == []


def test_who_only_carries_the_tag_is_left_alone(lab: Lab) -> None:
    path = lab.forge(os.uname().nodename, "m-1", "1.1")
    environment = {**os.environ, "SMARTCORE_TAG": "m-1"}
    with subprocess.Popen(["sleep", "1000"], env=environment, start_new_session=True) as process:
        try:
            assert lab.json("gc", path, "--yes")["processes"] == []
            assert process.poll() is None
        finally:
            process.kill()


def test_a_process_of_another_host_is_only_told(
    lab: Lab, bystander: subprocess.Popen[bytes]
) -> None:
    born = proc.start_time(bystander.pid)
    path = lab.forge("elsewhere", "m-1", f"{bystander.pid}.{born}")
    found = lab.json("gc", path, "--yes")
    assert found["processes"] == []
    assert [one["name"] for one in found["elsewhere"]] == ["m"]
    assert f"m ({bystander.pid}.{born}): smartcore stop {path}" in lab.run("gc", path).stdout
    stopped = lab.run("stop", path)
    assert (stopped.returncode, "can only be stopped on elsewhere" in stopped.stderr) == (1, True)
    assert bystander.poll() is None
    (run,) = lab.json("status", path)["runs"]
    assert (run["state"], run["stale"]) == ("Running", True)
    assert "Running (stale, " in lab.run("status", path).stdout


def test_a_path_that_is_no_experiment_is_named(lab: Lab) -> None:
    done = lab.run("gc", lab.where, "--yes")
    assert done.returncode == 1
    assert f"{lab.where} has no journal" in done.stderr


# -- gc: files ----------------------------------------------------------------------------------


def test_old_files_of_an_ended_experiment_go_and_the_evidence_stays(lab: Lab) -> None:
    program = """
from smartcore import Experiment
with Experiment("exp", launcher="local") as exp:
    exp.start(exp.create_database())
    exp.start(exp.create_model("m", exp.create_run_settings("true")))
"""
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=lab.where,
        env=lab.environment,
        capture_output=True,
        check=True,
        timeout=60,
    )
    own = lab.path / ".smartcore"
    (own / "scripts").mkdir(exist_ok=True)
    (own / "scripts" / "job.d").mkdir()
    for name in ("job.sh", "job.d/0"):
        (own / "scripts" / name).touch()
    (own / "keeper" / f"{os.uname().nodename}-1.begun").touch()
    (own / "keeper" / "other-host-1.begun").touch()
    (lab.path / "orchestrator" / "orchestrator_0.pem").touch()
    before = lab.json("status", lab.path)["runs"]
    assert lab.json("gc", lab.path, "--yes")["files"] == []  # nothing is a week old
    looked = lab.json("gc", "--dry-run", "--older-than", "0")
    names = {Path(one["path"]).name for one in looked["files"]}
    assert {"job.sh", "job.d", "orchestrator.auth.json", "orchestrator.admin.json"} <= names
    assert (own / "scripts" / "job.d" / "0").exists()
    assert lab.json("gc", "--yes", "--older-than", "0")["errors"] == []
    assert [one.name for one in (own / "keeper").iterdir()] == ["other-host-1.begun"]
    assert list((own / "scripts").iterdir()) == []
    assert not list((lab.path / "orchestrator").glob("*.a*.json"))
    assert not (lab.path / "orchestrator" / "orchestrator_0.pem").exists()
    after = lab.json("status", lab.path)["runs"]
    assert [(run["name"], run["state"], run["code"]) for run in after] == [
        (run["name"], run["state"], run["code"]) for run in before
    ]
    assert any((own / "records").iterdir())


def test_secrets_beside_models_and_of_databases_that_never_served_go(lab: Lab) -> None:
    program = """
from pathlib import Path
from smartcore import Experiment
from smartcore.error import DatabaseError
with Experiment("exp", launcher="local") as exp:
    model = exp.create_model("m", exp.create_run_settings("true"))
    model.colocate_db_uds()
    exp.start(model)
    database = exp.create_database()
    Path(database.path).mkdir()
    Path(database.path, "orchestrator_0.rdb").write_text("no dump of a server")
    try:
        exp.start(database)
    except DatabaseError:
        print("failed")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=lab.where,
        env=lab.environment,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert b"failed" in done.stdout
    left = lab.path / "orchestrator"
    (left / "orchestrator_0.pem").touch()
    (lab.path / ".smartcore" / "meetings" / "orchestrator-1").mkdir(parents=True)
    secrets = [lab.path / "m" / "m-db.auth.json", left / "orchestrator.auth.json"]
    assert all(secret.is_file() for secret in secrets)
    assert lab.json("gc", lab.path, "--yes", "--older-than", "0")["errors"] == []
    assert not any(secret.exists() for secret in secrets)
    assert [file.name for file in left.iterdir() if file.suffix in {".json", ".pem"}] == []
    assert not any((lab.path / ".smartcore" / "meetings").iterdir())


def test_sockets_without_a_listener_go_and_others_stay(lab: Lab) -> None:
    lab.json("ps")  # makes the directory
    runtime = lab.where / "rt"
    with (
        socket.socket(socket.AF_UNIX) as listening,
        socket.socket(socket.AF_UNIX) as waiting,
        socket.socket(socket.AF_UNIX) as dead,
    ):
        listening.bind(str(runtime / "living"))
        listening.listen(0)
        waiting.connect(str(runtime / "living"))  # nobody else gets in
        dead.bind(str(runtime / "keeper-1.1"))
        found = lab.json("gc", "--yes")
    assert [Path(one["path"]).name for one in found["files"]] == ["keeper-1.1"]
    assert (runtime / "living").exists()
    assert not (runtime / "keeper-1.1").exists()
