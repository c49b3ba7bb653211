"""Keepers that are killed, and what becomes of what they kept."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from homes import Home, halt, kill_keeper, killed_driver, one, pid_of

from smartcore.launch import proc, spawn
from smartcore.spec import (
    Cause,
    JobId,
    State,
)


def test_what_a_killed_keeper_kept_runs_on_and_is_lost_only_when_it_ends(home: Home) -> None:
    driver = home.driver()
    step, open_gate = home.gate("g", 0)
    (job,) = driver.start(step)
    killed = kill_keeper(home)
    assert one(driver.processes.status([job]), job).state is State.RUNNING
    open_gate()
    ended, status = driver.next()
    assert (ended, status.state, status.cause) == (job, State.LOST, Cause.UNSEEN)
    assert status.returncode is None
    assert f"keeper {killed} was killed" in status.reason


def test_another_process_follows_what_a_killed_keeper_left(home: Home) -> None:
    step, open_gate = home.gate("g", 0)
    job = killed_driver(home, step)
    killed = kill_keeper(home)
    later = home.driver()
    assert one(later.processes.attach([job]), job).state is State.RUNNING
    open_gate()
    status = later.next()[1]
    assert (status.state, status.cause) == (State.LOST, Cause.UNSEEN)
    assert f"keeper {killed} was killed" in status.reason


def test_an_end_that_a_killed_keeper_wrote_down_is_not_lost(home: Home) -> None:
    driver = home.driver()
    (first,) = driver.start(home.step("sh", "-c", "exit 5"))
    driver.next()
    step, open_gate = home.gate("g", 0)
    (second,) = driver.start(step)
    kill_keeper(home)
    later = home.driver()
    answers = later.processes.attach([first, second])
    assert one(answers, first).returncode == 5
    assert one(answers, second).state is State.RUNNING
    open_gate()
    assert driver.next()[0] == later.next()[0] == second


def test_what_a_killed_keeper_left_can_be_stopped_and_is_cancelled(home: Home) -> None:
    driver = home.driver()
    (job,) = driver.start(home.step("sleep", "1000"))
    kill_keeper(home)
    driver.processes.stop([job])
    status = driver.next()[1]
    assert (status.state, status.cause) == (State.CANCELLED, Cause.STOPPED)
    assert proc.start_time(pid_of(job)) is None


def test_a_child_that_dies_with_its_keeper_is_lost(home: Home) -> None:
    driver = home.driver()
    (job,) = driver.start(home.step("sleep", "1000"))
    pid = home.keeper()
    halt(pid)
    os.kill(pid_of(job), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    status = driver.next()[1]
    assert (status.state, status.cause) == (State.LOST, Cause.UNSEEN)
    assert f"keeper {pid} was killed" in status.reason


def test_the_next_start_makes_a_new_keeper_and_removes_what_the_old_one_left(home: Home) -> None:
    driver = home.driver()
    driver.start(home.step("true"))
    driver.next()
    killed = kill_keeper(home)
    (left,) = home.path.glob("keeper-*.*")
    (job,) = driver.start(home.step("sh", "-c", "exit 4"))
    assert driver.next() == (job, one(driver.processes.status([job]), job))
    assert home.keeper() != killed
    assert not left.exists()


def test_a_keeper_killed_in_the_middle_of_a_start_loses_and_doubles_nothing(home: Home) -> None:
    driver = home.driver()
    mark = f"1000.{os.getpid()}"
    killer = home.step("sh", "-c", f"kill -KILL $PPID; exec sleep {mark}999", name="killer")
    steps = [home.step("sleep", f"{mark}{i:03}", name=f"s{i}") for i in range(100)]
    steps.insert(20, killer)
    started = driver.processes.start(steps)
    jobs = [one.id for one in started if one.id is not None]
    doubtful = [one.error for one in started if one.id is None]
    for job in jobs:
        wait_for_program(job)
    running = [line for _, line in command_lines() if line.startswith(f"sleep\0{mark}")]
    driver.processes.stop(jobs)
    for pid, line in command_lines():
        if mark in line:
            os.kill(pid, signal.SIGKILL)
    # The one that was being started just then is in doubt, and said to be.
    assert len(doubtful) <= 1
    assert all("may be running" in error for error in doubtful)
    assert len(jobs) + len(doubtful) == len(steps)
    assert len(set(running)) == len(running) >= len(jobs) - 1
    assert {driver.next()[0] for _ in jobs} == set(jobs)


def wait_for_program(job: JobId) -> None:
    # Whoever starts a process hears of its execve(2) a moment before it has its arguments.
    with contextlib.suppress(OSError):
        while spawn.alive(job) and not Path(f"/proc/{pid_of(job)}/cmdline").read_bytes():
            pass


def command_lines() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                yield int(entry.name), (entry / "cmdline").read_text()
