"""Batch launchers on a fake workload manager: simulated, or with real processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from smartcore.launch.batch import BatchLauncher, Ceiling, Place, World
from smartcore.spec import Answer, Command, Job, JobId, Resources, State, Status, Step, Tag
from smartcore.spec.scheduler import CommandLineScheduler, Rates
from smartcore.testing.fakewlm.cluster import FakeCluster, fake_cluster
from smartcore.testing.fakewlm.scheduler import FakeScheduler
from smartcore.testing.fakewlm.simulation import Program, Simulation


class QuickScheduler(FakeScheduler):
    """The fake one, pressed as hard as a test likes."""

    rates = Rates(
        timeout=timedelta(seconds=20),
        queries_per_minute=60_000,
        query_burst=1000,
        submits_per_second=1000,
        submit_burst=1000,
        first_interval=timedelta(milliseconds=10),
        last_interval=timedelta(milliseconds=50),
        accounting_chunk=100,
        accounting_lag=timedelta(seconds=1),
    )


@dataclass
class Simulated:
    """A launcher in a simulation, and shorthands."""

    path: Path
    sim: Simulation = field(default_factory=Simulation)
    scheduler: FakeScheduler = field(default_factory=FakeScheduler)
    environment: dict[str, str] = field(default_factory=dict)
    ceiling: Ceiling = field(default_factory=Ceiling)

    def __post_init__(self) -> None:
        self.launcher = self.make()

    def make(self, *, runtime: str = "run") -> BatchLauncher:
        """Another launcher of the same experiment, as another process would have."""
        return BatchLauncher(
            self.scheduler,
            Place(self.path / "exp", self.path / runtime),
            self.ceiling,
            World(self.sim.run, self.sim.clock, self.sim.sleep, self.environment),
            write=self.sim.write,
            records=self.sim.records,
        )

    def programs(self, **programs: Program) -> None:
        """Say what jobs run, by name."""
        self.sim.programs = {**self.sim.programs, **programs}

    def step(self, name: str, *, walltime: float | None = None) -> Step:
        """A step whose program is the simulation's."""
        limit = None if walltime is None else timedelta(seconds=walltime)
        command, tag = Command(("true",)), Tag(f"{name}-1")
        out = self.path / f"{name}.out"
        return Step(name, tag, command, self.path, out, out, Resources(walltime=limit))

    def start(self, *names: str, walltime: float | None = None) -> list[JobId]:
        """Start a job for each name."""
        steps = [self.step(name, walltime=walltime) for name in names]
        started = self.launcher.start(steps)
        assert [one.error for one in started] == ["" for _ in names]
        return [one.id for one in started if one.id is not None]

    def array(self, name: str, size: int) -> tuple[JobId, tuple[JobId, ...]]:
        """Start an array."""
        steps = tuple(self.step(f"{name}_{index}") for index in range(size))
        (started,) = self.launcher.start([Job(name, Tag(f"{name}-1"), steps, array=True)])
        assert started.id is not None, started.error
        return started.id, started.members

    def status(self, job: JobId) -> Answer:
        """Ask about one job."""
        return self.launcher.status([job])[job]

    def state(self, job: JobId) -> State:
        """Ask about one job that is known."""
        answer = self.status(job)
        assert isinstance(answer, Status)
        return answer.state

    def after(self, seconds: float, job: JobId) -> Answer:
        """Ask about one job every second for a while; the last answer."""
        end = self.sim.clock() + seconds
        while self.sim.clock() < end:
            self.sim.sleep(min(1.0, end - self.sim.clock()))
            answer = self.status(job)
        return answer

    def ended(self, job: JobId, within: float = 300.0) -> Status:
        """Ask about one job every second until it has ended."""
        end = self.sim.clock() + within
        while self.sim.clock() < end:
            answer = self.status(job)
            if isinstance(answer, Status) and answer.is_terminal:
                return answer
            self.sim.sleep(1.0)
        raise AssertionError(f"{job} did not end: {answer}")


@pytest.fixture
def simulated(tmp_path: Path) -> Simulated:
    """A launcher in a simulation."""
    return Simulated(tmp_path)


@dataclass
class Real:
    """A launcher on a fake manager that runs processes of this host."""

    path: Path
    cluster: FakeCluster

    def __post_init__(self) -> None:
        self.environment = self.cluster.environment()
        self.launcher = self.make()

    def make(self, scheduler: CommandLineScheduler | None = None) -> BatchLauncher:
        """Another launcher of the same experiment, as another process would have."""
        place = Place(self.path / "exp", self.path / "run")
        world = World(environment=self.environment)
        return BatchLauncher(scheduler or QuickScheduler(), place, world=world, start_patience=2)

    def step(self, name: str, *argv: str, **env: str) -> Step:
        """A step of its own directory."""
        cwd = self.path / name
        cwd.mkdir(exist_ok=True)
        return Step(name, Tag(f"{name}-1"), Command(argv, env), cwd, cwd / "stdout", cwd / "stderr")

    def ended(self, *jobs: JobId) -> list[Status]:
        """Ask until all have ended."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            answers = self.launcher.status(jobs)
            found = [answers[job] for job in jobs]
            statuses = [one for one in found if isinstance(one, Status) and one.is_terminal]
            if len(statuses) == len(jobs):
                return statuses
            time.sleep(0.01)
        raise AssertionError(f"the last answers are {answers}")


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Real]:
    """A launcher on a fake manager that runs processes of this host."""
    with fake_cluster(tmp_path / "wlm", kill_wait=0.2) as cluster:
        yield Real(tmp_path, cluster)
