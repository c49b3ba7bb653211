"""The host gives no more processes: said clearly, and nothing that runs is harmed."""

from __future__ import annotations

import contextlib
import os
import queue
import resource
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from smartcore.launch import limits, link
from smartcore.launch.keeping import KeeperProcesses
from smartcore.spec import Command, JobId, State, Status, Step, Tag

PIDS = Path("/sys/fs/cgroup/pids")
Fill = Callable[[int], None]
Events = queue.SimpleQueue[tuple[JobId, Status]]


@pytest.fixture
def fill() -> Iterator[Fill]:
    """Leaves the process with this number no room for another thread or child."""
    if os.geteuid() != 0:

        def limit(pid: int) -> None:
            # The user has this one and us, which is more than one.
            _, hard = resource.prlimit(pid, resource.RLIMIT_NPROC)
            resource.prlimit(pid, resource.RLIMIT_NPROC, (1, hard))

        yield limit
        return
    # Root has no limit but that of a cgroup.
    cgroup = PIDS / f"smartcore-test-{os.getpid()}"
    try:
        cgroup.mkdir()
        (cgroup / "pids.max").read_text()
    except OSError:
        pytest.skip("no cgroup can be made here")

    def enclose(pid: int) -> None:
        (cgroup / "cgroup.procs").write_text(str(pid))
        (cgroup / "pids.max").write_text("1")

    yield enclose
    for pid in (cgroup / "cgroup.procs").read_text().split():
        with contextlib.suppress(OSError):
            (PIDS / "cgroup.procs").write_text(pid)
    cgroup.rmdir()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[tuple[KeeperProcesses, Events]]:
    (tmp_path / "e").mkdir()
    service = KeeperProcesses(tmp_path / "e", tmp_path, timedelta(seconds=0.3))
    events: Events = queue.SimpleQueue()
    service.watch(lambda job, status: events.put((job, status)))
    yield service, events
    service.close()


def step(path: Path, *argv: str) -> Step:
    return Step("m", Tag("m-1"), Command(argv), path, path / "m.out", path / "m.err")


def keeper_of(path: Path) -> int:
    facts = link.read_facts(link.Place(path / "e", path))
    assert facts is not None
    return facts.pid


def test_a_start_beyond_the_limit_of_processes_names_the_limit_and_others_are_kept(
    kept: tuple[KeeperProcesses, Events], fill: Fill, tmp_path: Path
) -> None:
    service, events = kept
    (running,) = service.start([step(tmp_path, "sleep", "1000")])
    assert running.id is not None
    keeper = keeper_of(tmp_path)
    fill(keeper)
    refused = service.start([step(tmp_path, "true")] * 3)
    assert [one.id for one in refused] == [None] * 3
    assert refused[0].error.startswith("true: too many processes or threads (")
    limit = "ulimit -u` is 1" if os.geteuid() else "pids.max is 1"
    assert limit in refused[0].error
    assert "lower max_running" in refused[0].error
    # Stopping must be possible just then, and the keeper live on.
    service.stop([running.id])
    assert events.get(timeout=20)[1].state is State.CANCELLED
    assert keeper_of(tmp_path) == keeper


def test_the_limits_of_a_cgroups_ancestors_hold_too(tmp_path: Path) -> None:
    inner = tmp_path / "user.slice" / "session"
    inner.mkdir(parents=True)
    (tmp_path / "user.slice" / "pids.max").write_text("33\n")
    (inner / "pids.max").write_text("max\n")
    assert list(limits.pids_limits(str(inner), str(tmp_path))) == [(33, str(inner.parent))]
