"""What a keeper may hold, and what is left of it and its drivers."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from homes import Home, pid_of

from smartcore.launch import keeper
from smartcore.spec import (
    State,
)


def test_a_start_beyond_the_limit_of_open_files_names_the_limit(home: Home) -> None:
    driver = home.driver()
    driver.processes.start([home.step("true")])
    driver.next()
    _, hard = resource.prlimit(home.keeper(), resource.RLIMIT_NOFILE)
    resource.prlimit(home.keeper(), resource.RLIMIT_NOFILE, (keeper.SPARE + 6, hard))
    started = driver.processes.start([home.step("sleep", "1000", name=f"s{i}") for i in range(5)])
    assert [bool(one.error) for one in started] == [False] * 3 + [True] * 2
    assert "RLIMIT_NOFILE" in started[3].error
    assert "ulimit -n" in started[3].error
    driver.processes.stop([one.id for one in started if one.id is not None])
    assert {driver.next()[1].state for _ in range(3)} == {State.CANCELLED}


def test_a_keeper_has_no_descriptors_or_zombies_left_after_many_ends(home: Home) -> None:
    driver = home.driver()
    driver.start(home.step("true"))
    driver.next()
    pid = home.keeper()
    before = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    jobs = driver.start(*[home.step("true")] * 100, *[home.step("sleep", "1000")] * 20)
    driver.processes.stop(jobs[100:])
    for _ in jobs:
        driver.next()
    assert len(list(Path(f"/proc/{pid}/fd").iterdir())) == before
    assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""


def test_a_driver_has_no_threads_descriptors_or_children_left_after_close(home: Home) -> None:
    code = (
        "import os, queue, sys, threading; from pathlib import Path;"
        "from smartcore.launch.keeping import KeeperProcesses;"
        "from smartcore.spec import Command, Step, Tag; path = Path(sys.argv[1]);"
        "step = Step('m', Tag('m-1'), Command(('true',)), path, path / 'm.out', path / 'm.err')\n"
        "def fds(): return len(os.listdir('/proc/self/fd'))\n"
        "for _ in range(3):\n"
        "    before = fds(); service = KeeperProcesses(path, path); events = queue.SimpleQueue()\n"
        "    service.watch(lambda job, status: events.put(status))\n"
        "    service.start([step]); events.get(timeout=20); service.close(); service.close()\n"
        "    assert fds() == before, os.listdir('/proc/self/fd')\n"
        "    assert threading.active_count() == 1\n"
        "try:\n    os.wait()\nexcept ChildProcessError:\n    print('fine')\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(home.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("fine\n", "")


def test_the_keeper_holds_nothing_of_the_drivers(home: Home, tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(handle, True)
    os.environ["SECRET_TOKEN_OF_THE_DRIVER"] = "1"
    try:
        driver = home.driver()
        (job,) = driver.start(home.step("sh", "-c", "test $SECRET_TOKEN_OF_THE_DRIVER = 1"))
        pid = home.keeper()
        held = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}
        assert driver.next()[1].state is State.COMPLETED
    finally:
        os.close(handle)
        del os.environ["SECRET_TOKEN_OF_THE_DRIVER"]
    assert str(tmp_path) not in held
    assert b"SECRET_TOKEN" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert os.getsid(pid) not in {os.getsid(0), pid_of(job)}
    assert str(Path(f"/proc/{pid}/cwd").readlink()) == "/"
