"""Who outlives whom, and how keepers begin and end."""

from __future__ import annotations

import os
import signal
import time

import pytest
from homes import Home, killed_driver, one, wait_gone

from smartcore.error import LauncherError
from smartcore.launch.keeping import KeeperProcesses
from smartcore.spec import (
    ABSENT,
    Cause,
    Command,
    File,
    JobId,
    Source,
    State,
    Step,
)


def test_what_a_killed_driver_started_goes_on_and_another_process_sees_its_end(home: Home) -> None:
    step, open_gate = home.gate("g", 7)
    job = killed_driver(home, step)
    later = home.driver()
    assert one(later.processes.attach([job]), job).state is State.RUNNING
    open_gate()
    ended, status = later.next()
    assert (ended, status.state, status.returncode) == (job, State.FAILED, 7)
    assert status.source is Source.PROCESS


def test_the_true_exit_code_is_known_when_driver_and_keeper_have_gone(home: Home) -> None:
    step, open_gate = home.gate("g", 7)
    job = killed_driver(home, step)
    kept_by = home.keeper()
    pidfd = os.pidfd_open(kept_by)
    open_gate()
    wait_gone(kept_by, pidfd)
    status = one(home.driver().processes.attach([job]), job)
    assert (status.state, status.returncode) == (State.FAILED, 7)
    assert status.cause is Cause.EXIT_CODE
    assert status.source is Source.RECORD
    assert status.elapsed is not None


def test_a_keeper_with_nothing_to_keep_ends_and_leaves_only_its_records(home: Home) -> None:
    driver = home.driver()
    driver.start(home.step("true"))
    driver.next()
    pid = home.keeper()
    pidfd = os.pidfd_open(pid)
    driver.processes.close()
    wait_gone(pid, pidfd)
    assert not home.place.info.exists()
    assert not list(home.path.glob("keeper-*"))
    assert home.place.errors.read_text() == ""
    assert len(list(home.place.records.iterdir())) == 1


def test_the_keeper_stays_while_a_child_runs_and_ends_with_it(home: Home) -> None:
    driver = home.driver()
    step, open_gate = home.gate("g", 0)
    (job,) = driver.start(step)
    pid = home.keeper()
    pidfd = os.pidfd_open(pid)
    driver.processes.close()
    assert one(home.driver().processes.status([job]), job).state is State.RUNNING
    home.drivers[-1].processes.close()
    open_gate()
    wait_gone(pid, pidfd)
    assert one(home.driver().processes.status([job]), job).state is State.COMPLETED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_signals_end_neither_the_keeper_nor_its_children(home: Home, number: int) -> None:
    driver = home.driver()
    step, open_gate = home.gate("g", 3)
    (job,) = driver.start(step)
    pid = home.keeper()
    os.kill(pid, number)
    assert one(driver.processes.status([job]), job).state is State.RUNNING
    open_gate()
    assert driver.next()[1].returncode == 3
    if number == signal.SIGTERM:  # it leaves as soon as it may, whoever is connected
        wait_gone(pid)
        (job,) = driver.start(home.step("true"))
        assert driver.next() == (job, one(driver.processes.status([job]), job))


def test_children_have_no_signal_ignored_or_blocked(home: Home) -> None:
    driver = home.driver()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        driver.start(home.step("grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    assert driver.next()[1].returncode == 0
    lines = (home.path / "m.out").read_text().split()
    # 32 and 33 are the C library's own (signal(7)), and who runs us may have them ignored.
    usual = (1 << 31) - 1
    assert [int(mask, 16) & usual for mask in lines[1::2]] == [0, 0]


def test_a_warm_keeper_is_there_before_the_first_start(home: Home) -> None:
    driver = home.driver()
    driver.processes.warm_up()
    deadline = time.monotonic() + 20
    while not home.place.info.exists():  # it tells nobody but its own client
        assert time.monotonic() < deadline
        time.sleep(0.005)
    pid = home.keeper()
    driver.start(home.step("true"))
    assert driver.next()[1].state is State.COMPLETED
    assert home.keeper() == pid


def test_nothing_is_started_by_asking(home: Home) -> None:
    processes = home.driver().processes
    assert set(processes.attach([JobId("1.1")]).values()) == {ABSENT}
    assert set(processes.status([JobId("1.1")]).values()) == {ABSENT}
    processes.stop([JobId("999999999.1")])
    assert not home.place.info.exists()


def test_a_keeper_that_cannot_start_says_why(home: Home) -> None:
    runtime = home.path / ("x" * 100)
    runtime.mkdir()
    with pytest.raises(LauncherError, match=r"the keeper did not start: .*too long; see .*\.err"):
        KeeperProcesses(home.path, runtime).start([home.step("true")])


def test_files_of_a_command_are_written_before_it_runs_and_stay_private(home: Home) -> None:
    driver = home.driver()
    secret = File(home.path / "conf", "a\nb")
    step = home.step("cat", "conf")
    command = Command(step.command.argv, files=(secret,))
    driver.start(Step("m", step.tag, command, step.cwd, step.stdout, step.stderr))
    assert driver.next()[1].returncode == 0
    assert (home.path / "m.out").read_text() == "a\nb"
    assert secret.path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_fails_its_own_step_only(home: Home) -> None:
    driver = home.driver()
    bad = home.step("true")
    blocked = File(home.path / "m.err" / "conf", "")
    (home.path / "m.err").touch()
    command = Command(("true",), files=(blocked,))
    first, second = driver.processes.start(
        [Step("m", bad.tag, command, bad.cwd, bad.stdout, bad.stderr), home.step("true", name="n")]
    )
    assert first.id is None
    assert first.error
    assert driver.next()[0] == second.id
