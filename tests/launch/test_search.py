from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartcore.launch import proc, spawn
from smartcore.launch.keeping import KeeperProcesses
from smartcore.launch.link import Place, read_facts
from smartcore.launch.search import find_tagged
from smartcore.spec import Command, JobId, Source, State, Status, Step, Tag

TAG = Tag("m-1")
# Asks for three starts, of which the second kills this very driver.
DRIVER = """
import os, sys
from pathlib import Path
from smartcore.launch.keeping import KeeperProcesses
from smartcore.spec import Command, Step, Tag
path = Path(sys.argv[1])
def step(name, *argv):
    return Step(name, Tag(f"{name}-1"), Command(argv), path, path / "out", path / "err")
KeeperProcesses(path, path).start([
    step("m", "sleep", "1000"),
    step("killer", "sh", "-c", f"kill -KILL {os.getpid()}; exit 4"),
    *[step(f"n{number}", "true") for number in range(1000)],
])
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An experiment whose driver was killed before it heard of any id."""
    done = subprocess.run([sys.executable, "-c", DRIVER, str(tmp_path)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    return tmp_path


@pytest.fixture
def processes(path: Path) -> Iterator[KeeperProcesses]:
    """Another driver of it, which leaves nothing behind."""
    service = KeeperProcesses(path, path)
    yield service
    service.stop(service.find([TAG]).values())
    service.close()


def kill_keeper(path: Path) -> int:
    facts = read_facts(Place(path, path))
    assert facts is not None
    pidfd = os.pidfd_open(facts.pid)
    os.kill(facts.pid, signal.SIGKILL)
    os.close(pidfd)
    while spawn.alive(facts.identity):
        pass
    return facts.pid


def test_what_a_killed_driver_never_heard_of_is_found_by_its_tag(
    processes: KeeperProcesses,
) -> None:
    found = processes.find([TAG, Tag("killer-1"), Tag("never-1")])
    assert found.keys() == {TAG, "killer-1"}
    answers = processes.attach([found[TAG]])
    status = answers[found[TAG]]
    assert isinstance(status, Status)
    assert status.state is State.RUNNING


def test_what_a_killed_driver_asked_for_is_not_started_behind_the_next_ones_back(
    processes: KeeperProcesses,
) -> None:
    tags = [Tag(f"n{number}-1") for number in range(1000)]
    found = processes.find(tags)
    assert len(found) < len(tags)
    assert processes.find(tags) == found


def test_a_request_that_a_killed_driver_left_unread_is_not_obeyed(
    processes: KeeperProcesses, path: Path
) -> None:
    facts = read_facts(Place(path, path))
    assert facts is not None
    step = {"name": "n", "tag": "n-1", "argv": ["touch", str(path / "began")], "cwd": str(path)}
    files = {"stdin": None, "stdout": str(path / "n.out"), "stderr": str(path / "n.err")}
    message = {
        "n": 1,
        "do": "start",
        "key": "k",
        "env": {},
        "steps": [{**step, **files, "env": {}, "private": False}],
    }
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(facts.socket)
        assert b"keeper" in client.recv(1000)
        halt(facts.pid)
        client.sendall(json.dumps(message).encode() + b"\n")
    os.kill(facts.pid, signal.SIGCONT)
    assert processes.find([Tag("n-1")]) == {}
    assert not (path / "n.out").exists()


def halt(pid: int) -> None:
    # The signal takes its time on a busy host, and nobody but a parent is told.
    os.kill(pid, signal.SIGSTOP)
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        pass


def test_it_is_found_also_when_the_keeper_was_killed(
    processes: KeeperProcesses, path: Path
) -> None:
    before = processes.find([TAG])
    kill_keeper(path)
    assert KeeperProcesses(path, path).find([TAG]) == before


def test_a_process_whose_id_nobody_noted_is_found_in_its_environment(
    processes: KeeperProcesses, path: Path
) -> None:
    before = processes.find([TAG])
    killed = kill_keeper(path)
    notes = Place(path, path).begun(killed)
    lines = notes.read_text().splitlines()
    notes.write_text("\n".join(line for line in lines if '"id"' not in line or TAG not in line))
    assert KeeperProcesses(path, path).find([TAG]) == before


def test_a_descendant_with_a_session_of_its_own_is_not_taken_for_it() -> None:
    with subprocess.Popen(
        ["sh", "-c", "setsid sleep 1000 & echo $!; wait"],
        env={**os.environ, spawn.TAG_VARIABLE: "unique-7"},
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as leader:
        assert leader.stdout is not None
        descendant = int(leader.stdout.readline())
        born = proc.start_time(leader.pid)
        assert born is not None
        found = find_tagged({Tag("unique-7")})
        os.kill(descendant, signal.SIGKILL)
    assert found == {"unique-7": spawn.identity(leader.pid, born)}


def test_the_keeper_that_was_killed_is_named_and_no_other(
    processes: KeeperProcesses, path: Path
) -> None:
    job = processes.find([TAG])[TAG]
    killed = kill_keeper(path)
    step = Step("k", Tag("k-1"), Command(("sleep", "1000")), path, path / "out", path / "err")
    (other,) = processes.start([step])
    assert other.id is not None
    os.kill(int(job.split(".")[0]), signal.SIGKILL)
    while spawn.alive(job):
        pass
    later = KeeperProcesses(path, path)
    status = later.attach([job])[job]
    later.close()
    processes.stop([other.id])
    assert isinstance(status, Status)
    assert (status.state, status.source) == (State.LOST, Source.PROCESS)
    assert f"the keeper {killed} was killed" in status.reason


def test_a_start_that_nobody_knows_of_is_lost_and_not_failed(tmp_path: Path) -> None:
    # Only the first note of the start is there, and no such process.
    service = KeeperProcesses(tmp_path, tmp_path)
    notes = Place(tmp_path, tmp_path).begun(1)
    notes.parent.mkdir(parents=True)
    notes.write_text('\n{"key": "k", "index": 0, "tag": "gone-1"}')
    told: list[tuple[JobId, Status]] = []
    service.watch(lambda job, status: told.append((job, status)))
    (started,) = service._begun(1, "k").values()
    service.close()
    ((job, status),) = told
    assert (job, status.state, status.returncode) == (started.id, State.LOST, None)
    assert "the keeper 1 was killed" in status.reason
