"""Running processes through a keeper, as launchers do; what every launcher must do is elsewhere."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from smartcore.launch import proc, spawn
from smartcore.launch.keeping import KeeperProcesses
from smartcore.spec import ABSENT, Cause, Command, JobId, Processes, State, Status, Step, Tag

Events = queue.SimpleQueue[tuple[JobId, Status]]
MakeStep = Callable[..., Step]


@pytest.fixture
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Processes, Events]]:
    place = tmp_path_factory.mktemp("exp")
    service = KeeperProcesses(place, place, timedelta(seconds=0.3))
    events: Events = queue.SimpleQueue()
    service.watch(lambda job, status: events.put((job, status)))
    yield service, events
    service.close()


@pytest.fixture
def step(tmp_path: Path) -> MakeStep:
    def make(*argv: str, **env: str) -> Step:
        command = Command(argv, env)
        return Step("m", Tag("m-1"), command, tmp_path, tmp_path / "m.out", tmp_path / "m.err")

    return make


def run(processes: tuple[Processes, Events], step: Step) -> Status:
    service, events = processes
    (started,) = service.start([step])
    assert started.id is not None, started.error
    job, status = events.get(timeout=20)
    assert job == started.id
    return status


def test_a_child_has_its_own_session_directory_and_no_input_or_descriptors(
    processes: tuple[Processes, Events], step: MakeStep, tmp_path: Path
) -> None:
    code = (
        "import os, sys; fds = [int(f) for f in os.listdir('/proc/self/fd')];"
        "print(os.getsid(0) == os.getpid(), os.getcwd(), repr(sys.stdin.read()),"
        " sum(fd > 2 for fd in fds) - 1)"
    )
    handle = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(handle, True)
    try:
        run(processes, step(sys.executable, "-c", code))
    finally:
        os.close(handle)
    assert (tmp_path / "m.out").read_text().split() == ["True", str(tmp_path), "''", "0"]


def test_an_unknown_id_is_absent_and_not_done(processes: tuple[Processes, Events]) -> None:
    service, _ = processes
    own = JobId(f"{os.getpid()}.1")  # the pid lives, but was born at another time
    ids = [JobId("nonsense"), JobId("999999999.5"), own]
    assert set(service.status(ids).values()) == {ABSENT}
    service.stop(ids)


def test_stop_is_polite_first(
    processes: tuple[Processes, Events], step: MakeStep, tmp_path: Path
) -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3));"
        "open('ready', 'w').close(); signal.pause()"
    )
    service, events = processes
    (started,) = service.start([step(sys.executable, "-c", code)])
    assert started.id is not None
    wait_for(tmp_path / "ready")
    service.stop([started.id])
    status = events.get(timeout=20)[1]
    assert (status.state, status.returncode, status.cause) == (State.CANCELLED, 3, Cause.STOPPED)


def test_stop_insists_and_takes_the_whole_session_along(
    processes: tuple[Processes, Events], step: MakeStep, tmp_path: Path
) -> None:
    # The grandchild ignores TERM and has a process group of its own, as the ranks of an MPI have.
    code = (
        "import os, signal, subprocess, sys, time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "p = subprocess.Popen(['sleep', '1000'], process_group=0);"
        "open('pid', 'w').write(str(p.pid)); os.rename('pid', 'ready'); time.sleep(1000)"
    )
    service, events = processes
    (started,) = service.start([step(sys.executable, "-c", code)])
    assert started.id is not None
    wait_for(tmp_path / "ready")
    grandchild = int((tmp_path / "ready").read_text())
    assert proc.start_time(grandchild) is not None
    service.stop([started.id])
    status = events.get(timeout=20)[1]
    assert (status.state, status.returncode) == (State.CANCELLED, -signal.SIGKILL)
    assert proc.start_time(grandchild) is None


def test_a_process_that_no_keeper_has_is_followed_and_stopped(
    processes: tuple[Processes, Events],
) -> None:
    service, events = processes
    argv = ["sleep", "1000"]
    with (
        subprocess.Popen(argv, start_new_session=True) as first,
        subprocess.Popen(argv, start_new_session=True) as second,
    ):
        ids = [
            JobId(spawn.identity(child.pid, proc.birth(child.pid) or 0))
            for child in (first, second)
        ]
        answers = service.attach(ids)
        assert {answer.state for answer in answers.values() if isinstance(answer, Status)} == {
            State.RUNNING
        }
        service.stop(ids[:1])
        assert events.get(timeout=20)[1].state is State.CANCELLED
        second.kill()
        lost = events.get(timeout=20)[1]
        assert (lost.state, lost.cause, lost.returncode) == (State.LOST, Cause.UNSEEN, None)


def test_nothing_is_left_open_after_many_ends(
    processes: tuple[Processes, Events], step: MakeStep
) -> None:
    service, events = processes
    run(processes, step("true"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    started = service.start([step("true")] * 50)
    for _ in started:
        events.get(timeout=20)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def wait_for(path: Path, seconds: float = 20) -> None:
    # Only for what a child writes by itself: nobody can tell us but the file.
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.005)
