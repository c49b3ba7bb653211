"""Several clients of one keeper."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from homes import DRIVER, GRACE, Home, one, pid_of

from smartcore.launch.keeping import KeeperProcesses
from smartcore.launch.link import read_facts
from smartcore.spec import (
    Cause,
    JobId,
    State,
)


def test_a_second_client_sees_and_stops_what_the_first_started(home: Home) -> None:
    first, second = home.driver(), home.driver()
    (job,) = first.start(home.step("sleep", "1000"))
    assert one(second.processes.attach([job]), job).state is State.RUNNING
    second.processes.stop([job])
    for driver in (first, second):
        ended, status = driver.next()
        assert (ended, status.state, status.cause) == (job, State.CANCELLED, Cause.STOPPED)


def test_a_client_is_not_told_of_what_it_does_not_follow(home: Home) -> None:
    first, second = home.driver(), home.driver()
    first.start(home.step("true"))
    first.next()
    second.start(home.step("true", name="n"))
    assert second.next()[1].state is State.COMPLETED
    first.start(home.step("false"))
    first.next()
    for driver in (first, second):
        driver.processes.status([JobId("1.1")])  # what was told before is heard by now
        assert driver.events.empty()


def test_drivers_that_start_at_the_same_time_share_one_keeper(home: Home) -> None:
    command = [sys.executable, "-c", DRIVER, str(home.path), "sleep", "1000"]
    drivers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    jobs = []
    for driver in drivers:
        assert driver.stdout is not None
        jobs.append(JobId(driver.stdout.readline().strip()))
    for driver in drivers:
        driver.kill()
        driver.communicate()
    parents = {Path(f"/proc/{pid_of(job)}/stat").read_text().split()[3] for job in jobs}
    home.driver().processes.stop(jobs)
    assert len(parents) == 1


def test_a_client_that_talks_nonsense_is_dropped_and_nobody_else(home: Home) -> None:
    driver = home.driver()
    driver.start(home.step("true"))
    driver.next()
    facts = read_facts(home.place)
    assert facts is not None
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(facts.socket)
        with connection.makefile("rwb") as stream:
            assert json.loads(stream.readline())["keeper"] == facts.pid
            stream.write(b"[1]\n")
            stream.flush()
            assert stream.readline() == b""
    driver.start(home.step("true"))
    assert driver.next()[1].state is State.COMPLETED


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_refused(home: Home) -> None:
    # In a directory which, by somebody's mistake, everybody can enter.
    runtime = Path(tempfile.mkdtemp(prefix="k"))
    processes = KeeperProcesses(home.path, runtime, GRACE)
    try:
        (started,) = processes.start([home.step("sleep", "1000")])
        assert started.id is not None
        facts = read_facts(home.place)
        assert facts is not None
        runtime.chmod(0o755)
        Path(facts.socket).chmod(0o777)
        code = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
            "sys.exit(len(s.recv(100)))"
        )
        command = ["/usr/bin/env", "python3", "-c", code, facts.socket]
        assert subprocess.run(command, user=65534, timeout=20, check=False).returncode == 0
        assert subprocess.run(command, timeout=20, check=False).returncode > 0
        processes.stop([started.id])
    finally:
        processes.close()
        shutil.rmtree(runtime)
