"""An experiment's directory with a keeper, and who uses it."""

from __future__ import annotations

import os
import queue
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from smartcore.launch.keeping import KeeperProcesses
from smartcore.launch.link import Place, read_facts
from smartcore.spec import (
    Answer,
    Command,
    JobId,
    Status,
    Step,
    Tag,
)

GRACE = timedelta(seconds=0.3)


@dataclass
class Driver:
    """One user of a keeper in this process."""

    processes: KeeperProcesses
    events: queue.SimpleQueue[tuple[JobId, Status]]
    jobs: list[JobId] = field(default_factory=list)

    def start(self, *steps: Step) -> list[JobId]:
        started = self.processes.start(steps)
        assert [one.error for one in started] == [""] * len(steps)
        jobs = [one.id for one in started if one.id is not None]
        self.jobs += jobs
        return jobs

    def next(self) -> tuple[JobId, Status]:
        return self.events.get(timeout=20)


@dataclass
class Home:
    """An experiment's directory, and who uses it."""

    path: Path
    drivers: list[Driver]

    def driver(self) -> Driver:
        events: queue.SimpleQueue[tuple[JobId, Status]] = queue.SimpleQueue()
        driver = Driver(KeeperProcesses(self.path, self.path, GRACE), events)
        driver.processes.watch(lambda job, status: events.put((job, status)))
        self.drivers.append(driver)
        return driver

    @property
    def place(self) -> Place:
        return Place(self.path, self.path)

    def keeper(self) -> int:
        facts = read_facts(self.place)
        assert facts is not None
        return facts.pid

    def step(self, *argv: str, name: str = "m", **env: str) -> Step:
        out, err = self.path / f"{name}.out", self.path / f"{name}.err"
        return Step(name, Tag(f"{name}-1"), Command(argv, env), self.path, out, err)

    def gate(self, name: str, code: int) -> tuple[Step, Callable[[], None]]:
        """A step that ends with ``code`` when the gate is opened."""
        path = self.path / name
        os.mkfifo(path)

        def open_gate() -> None:
            os.close(os.open(path, os.O_WRONLY))

        return self.step("sh", "-c", f"read x < {path}; exit {code}", name=name), open_gate


def wait_gone(pid: int, pidfd: int | None = None) -> None:
    try:
        fd = os.pidfd_open(pid) if pidfd is None else pidfd
    except ProcessLookupError:
        return
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    gone = poller.poll(20_000)
    os.close(fd)
    assert gone, f"{pid} lives on"


def halt(pid: int) -> None:
    # The signal takes its time on a busy host, and nobody but a parent is told.
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline, f"{pid} does not stop"
        time.sleep(0.001)


def pid_of(job: JobId) -> int:
    return int(job.partition(".")[0])


def one(answers: object, job: JobId) -> Status:
    assert isinstance(answers, dict)
    answer: Answer = answers[job]
    assert isinstance(answer, Status)
    return answer


DRIVER = """
import sys, time
from pathlib import Path
from smartcore.launch.keeping import KeeperProcesses
from smartcore.spec import Command, Step, Tag
path = Path(sys.argv[1])
step = Step(
    "m", Tag("m-1"), Command(tuple(sys.argv[2:])), path, path / "m.out", path / "m.err"
)
(started,) = KeeperProcesses(path, path).start([step])
print(started.id, flush=True)
time.sleep(1000)
"""


def killed_driver(home: Home, step: Step) -> JobId:
    command = [sys.executable, "-c", DRIVER, str(home.path), *step.command.argv]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        job = JobId(driver.stdout.readline().strip())
        driver.kill()
    return job


def kill_keeper(home: Home) -> int:
    pid = home.keeper()
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    wait_gone(pid, pidfd)
    return pid
