"""Running processes through a keeper, as launchers do; what every launcher must do is elsewhere."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from smartcore.error import LauncherError
from smartcore.launch import link, proc, spawn
from smartcore.launch.keeping import KeeperProcesses
from smartcore.spec import ABSENT, Cause, Command, JobId, State, Status, Step, Tag

Events = queue.SimpleQueue[tuple[JobId, Status]]
MakeStep = Callable[..., Step]


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exp")


@pytest.fixture
def processes(place: Path) -> Iterator[tuple[KeeperProcesses, Events]]:
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


def run(processes: tuple[KeeperProcesses, Events], step: Step) -> Status:
    service, events = processes
    (started,) = service.start([step])
    assert started.id is not None, started.error
    job, status = events.get(timeout=20)
    assert job == started.id
    return status


def test_a_child_has_its_own_session_directory_and_no_input_or_descriptors(
    processes: tuple[KeeperProcesses, Events], step: MakeStep, tmp_path: Path
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


def test_what_a_private_step_writes_is_for_its_owner_only(
    processes: tuple[KeeperProcesses, Events], step: MakeStep, tmp_path: Path
) -> None:
    mask = os.umask(0)
    try:
        assert run(processes, step("touch", "public")).state is State.COMPLETED
        (tmp_path / "m.out").unlink()
        private = replace(step("touch", "private"), private=True)
        assert run(processes, private).state is State.COMPLETED
    finally:
        os.umask(mask)
    assert (tmp_path / "public").stat().st_mode & 0o077
    for name in ("private", "m.out"):
        assert not (tmp_path / name).stat().st_mode & 0o077


def test_an_unknown_id_is_absent_and_not_done(processes: tuple[KeeperProcesses, Events]) -> None:
    service, _ = processes
    own = JobId(f"{os.getpid()}.1")  # the pid lives, but was born at another time
    ids = [JobId("nonsense"), JobId("999999999.5"), own]
    assert set(service.status(ids).values()) == {ABSENT}
    service.stop(ids)


def test_stop_is_polite_first(
    processes: tuple[KeeperProcesses, Events], step: MakeStep, tmp_path: Path
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


def test_what_ends_by_itself_after_it_was_announced_was_stopped(
    processes: tuple[KeeperProcesses, Events], step: MakeStep, place: Path, tmp_path: Path
) -> None:
    service, events = processes
    go = tmp_path / "go"
    os.mkfifo(go)
    (started,) = service.start([step("sh", "-c", "read line <go")])
    assert started.id is not None
    service.announce([started.id])
    go.write_text("now\n")
    job, status = events.get(timeout=20)
    assert (job, status.state, status.returncode) == (started.id, State.CANCELLED, 0)
    # Also for who comes later.
    other = KeeperProcesses(place, place)
    answer = other.attach([started.id])[started.id]
    assert isinstance(answer, Status)
    assert answer.state is State.CANCELLED
    other.close()


def test_stop_insists_and_takes_the_whole_session_along(
    processes: tuple[KeeperProcesses, Events], step: MakeStep, tmp_path: Path
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
    processes: tuple[KeeperProcesses, Events],
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
        assert "known to the experiment that started it" in lost.reason


def test_nothing_is_left_open_after_many_ends(
    processes: tuple[KeeperProcesses, Events], step: MakeStep
) -> None:
    service, events = processes
    run(processes, step("true"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    started = service.start([step("true")] * 50)
    for _ in started:
        events.get(timeout=20)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_keeper_spawns_waits_without_asking_and_is_small(
    processes: tuple[KeeperProcesses, Events], step: MakeStep, place: Path
) -> None:
    service, _ = processes
    (started,) = service.start([step("sleep", "1000")])
    assert started.id is not None
    child = Path("/proc", started.id.partition(".")[0])
    keeper = Path("/proc", str(keeper_of(place)))
    assert (child / "stat").read_text().rpartition(")")[2].split()[1] == keeper.name
    # Number of the call, then its arguments: the fourth of epoll_wait(2) is the timeout; see
    # proc(5). A minus one has no end, however often we look.
    found = wait_for_call(keeper / "syscall")
    lines = dict(line.split(":", 1) for line in (keeper / "status").read_text().splitlines())
    service.stop([started.id])  # in a thread of the keeper's, for as long as it takes
    assert int(found[4], 16) & 0xFFFFFFFF == 0xFFFFFFFF
    assert int(lines["VmRSS"].split()[0]) < 20_000  # kB
    assert int(lines["Threads"]) == 1


def wait_for_call(path: Path, seconds: float = 20) -> list[str]:
    # It runs for a moment after it has answered.
    deadline = time.monotonic() + seconds
    while True:
        try:
            words = path.read_text().split()
        except OSError:
            pytest.skip("the kernel does not tell in which call a process is")
        if len(words) > 5:
            return words
        assert time.monotonic() < deadline, f"it never waits: {words}"


# Stands where a keeper would be, and fails if it is told anything.
IMPOSTOR = """
import socket, sys
with socket.socket(socket.AF_UNIX) as listening:
    listening.bind(sys.argv[1])
    listening.listen()
    print("up", flush=True)
    connection, _ = listening.accept()
    with connection:
        sys.exit(len(connection.recv(1 << 20)))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_keeper_of_somebody_else_is_told_nothing(
    processes: tuple[KeeperProcesses, Events], step: MakeStep, place: Path
) -> None:
    service, _ = processes
    with tempfile.TemporaryDirectory(prefix="k") as open_to_all:
        Path(open_to_all).chmod(0o777)
        address = f"{open_to_all}/socket"
        argv = ["/usr/bin/env", "python3", "-c", IMPOSTOR, address]
        with subprocess.Popen(argv, user=65534, stdout=subprocess.PIPE) as impostor:
            assert impostor.stdout is not None
            impostor.stdout.readline()
            facts = {"pid": impostor.pid, "born": proc.birth(impostor.pid)}
            info = link.Place(place, place).info
            info.parent.mkdir(parents=True)
            info.write_text(json.dumps({**facts, "socket": address, "version": 1}))
            with pytest.raises(LauncherError, match="belongs to another user"):
                service.start([step("true")])
            assert impostor.wait(20) == 0  # it was told nothing


def wait_for(path: Path, seconds: float = 20) -> None:
    # Only for what a child writes by itself: nobody can tell us but the file.
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.005)


def keeper_of(place: Path) -> int:
    facts = link.read_facts(link.Place(place, place))
    assert facts is not None
    return facts.pid
