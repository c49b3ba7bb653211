from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from smartcore.launch import proc, spawn
from smartcore.launch.unkept import UnkeptProcesses
from smartcore.spec import JobId

Ends = queue.SimpleQueue[JobId]


def identity(child: subprocess.Popen[bytes]) -> JobId:
    return JobId(spawn.identity(child.pid, proc.birth(child.pid) or 0))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def unkept() -> Iterator[tuple[UnkeptProcesses, Ends]]:
    ends: Ends = queue.SimpleQueue()
    service = UnkeptProcesses(timedelta(seconds=0.3), ends.put)
    yield service, ends
    service.close()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as child:
        yield child
        child.kill()


def test_an_end_is_told(
    unkept: tuple[UnkeptProcesses, Ends], sleeper: subprocess.Popen[bytes]
) -> None:
    service, ends = unkept
    job = identity(sleeper)
    assert service.follow(job)
    assert ends.empty()
    sleeper.kill()
    assert ends.get(timeout=20) == job


def test_what_has_ended_or_was_born_at_another_time_cannot_be_followed(
    unkept: tuple[UnkeptProcesses, Ends], sleeper: subprocess.Popen[bytes]
) -> None:
    service, ends = unkept
    assert not service.follow(JobId(f"{sleeper.pid}.1"))
    assert not service.follow(JobId("nonsense"))
    job = identity(sleeper)
    sleeper.kill()
    sleeper.wait()
    assert not service.follow(job)
    assert ends.empty()


def test_a_stop_ends_it_and_is_told_as_any_end(
    unkept: tuple[UnkeptProcesses, Ends], sleeper: subprocess.Popen[bytes]
) -> None:
    service, ends = unkept
    job = identity(sleeper)
    service.follow(job)
    service.stop([job, JobId("nonsense")])
    assert ends.get(timeout=20) == job


@pytest.mark.parametrize("follow", [True, False])
def test_closing_gives_everything_back_while_they_run(
    sleeper: subprocess.Popen[bytes], follow: bool
) -> None:
    before, threads = descriptors(), threading.enumerate()
    ends: Ends = queue.SimpleQueue()
    service = UnkeptProcesses(timedelta(seconds=0.3), ends.put)
    if follow:
        service.follow(identity(sleeper))
    for thread in threading.enumerate():
        if thread not in threads:
            service.close()
            thread.join(20)
    service.close()
    service.close()
    assert threading.enumerate() == threads
    assert descriptors() == before
    assert sleeper.poll() is None
