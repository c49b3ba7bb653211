"""``smartcore gc``: processes that nobody drives any more."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smartcore import Experiment
from smartcore.launch import journal, proc
from smartcore.spec import Cause, State

if TYPE_CHECKING:
    from tests.housekeeping.conftest import Lab

SLEEPS = 3  # of the models that the driver starts


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(20)


def kill_keeper(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    wait_gone(descriptor)


def wait_gone(descriptor: int) -> None:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    assert poller.poll(20_000)
    os.close(descriptor)


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


def test_who_takes_up_a_process_of_another_host_is_told_that_it_may_still_run(
    lab: Lab,
    bystander: subprocess.Popen[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SMARTCORE_RUNTIME_DIR", str(tmp_path / "rt"))
    born = proc.start_time(bystander.pid)
    path = lab.forge("elsewhere", "m-1", f"{bystander.pid}.{born}")
    with Experiment.attach(str(path)) as exp:
        status = exp.statuses()["m"]
    assert (status.state, status.cause) == (State.LOST, Cause.UNSEEN)
    assert "m is lost: it was started on elsewhere, where it may still run" in caplog.text
    assert bystander.poll() is None
    (run,) = lab.json("status", path)["runs"]
    assert (run["state"], run["reason"]) == ("Lost", status.reason)


def test_a_path_that_is_no_experiment_is_named(lab: Lab) -> None:
    done = lab.run("gc", lab.where, "--yes")
    assert done.returncode == 1
    assert f"{lab.where} has no journal" in done.stderr
