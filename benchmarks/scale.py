"""An experiment of very many jobs on a simulated workload manager with a virtual clock.

usage: python -m benchmarks.scale [JOBS]

The launcher is the one that all command-line schedulers use; only the manager, its programs and the
clock pretend. What the driver's own code costs is real time of this processor; the rest is virtual.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

from smartcore.launch.batch import BatchLauncher, Place, World
from smartcore.launch.inquiry import FIRST_INTERVAL, LAST_INTERVAL
from smartcore.spec import Command, Completed, Invocation, Job, JobId, Rates, State, Status, Step
from smartcore.spec.ids import Tag
from smartcore.testing.fakewlm.scheduler import FakeScheduler
from smartcore.testing.fakewlm.simulation import Program, Simulation
from smartcore.testing.fakewlm.wlm import Settings

ARRAY = 1000
SLOTS = 20_000
SECONDS = (60, 180)  # that a job runs
MEMORY_SHARE = 10  # memory is measured with fewer jobs: counting every allocation takes long


@dataclass
class Figures:
    """What one experiment cost."""

    jobs: int
    lateness: list[float] = field(default_factory=list)
    driver: float = 0.0
    attach: float = 0.0
    queries: int = 0
    submits: int = 0
    virtual: float = 0.0
    memory: float = 0.0


class TimedSimulation(Simulation):
    """A simulation that knows how much real time it took itself."""

    own = 0.0

    def run(self, invocation: Invocation, env: Mapping[str, str], rates: Rates, /) -> Completed:
        before = time.process_time()
        try:
            return super().run(invocation, env, rates)
        finally:
            self.own += time.process_time() - before


@dataclass
class Experiment:
    """Very many jobs, and a driver that asks about them as the engine does."""

    jobs: int
    path: Path

    def __post_init__(self) -> None:
        chance = random.Random(42)
        sizes = [min(ARRAY, self.jobs - start) for start in range(0, self.jobs, ARRAY)]
        programs = {f"a{n}": Program(chance.uniform(*SECONDS)) for n in range(len(sizes))}
        settings = Settings(slots=SLOTS, accounting_lag=5, most_members=ARRAY)
        self.sim = TimedSimulation(settings, programs)
        self.work = [self.array(f"a{n}", size) for n, size in enumerate(sizes)]
        self.figures = Figures(self.jobs)

    def array(self, name: str, size: int) -> Job:
        """One array, all of whose members run equally long."""
        command = Command(("true",))
        tag = Tag(f"{name}-1")
        steps = tuple(
            Step(f"{name}_{n}", tag, command, self.path, self.path / "out", self.path / "err")
            for n in range(size)
        )
        return Job(name, tag, steps, array=True)

    def launcher(self) -> BatchLauncher:
        """A launcher of this experiment, as any process may have."""
        return BatchLauncher(
            FakeScheduler(),
            Place(self.path / "exp", self.path / "run"),
            world=World(self.sim.run, self.sim.clock, self.sim.sleep, {}),
            write=self.sim.write,
            records=self.sim.records,
        )

    def run(self) -> Figures:
        """From the first submit to the last end."""
        figures, launcher = self.figures, self.launcher()
        before = time.process_time()
        started = launcher.start(self.work)
        active = {job: State.QUEUED for one in started for job in one.members}
        figures.driver += time.process_time() - before
        interval, attached = FIRST_INTERVAL, False
        while active:
            before, own = time.process_time(), self.sim.own
            answers = launcher.status(active)
            cost = time.process_time() - before - (self.sim.own - own)
            figures.driver += cost
            interval = min(2 * interval, LAST_INTERVAL)
            if self.take(answers, active):
                interval = FIRST_INTERVAL
            if not attached and len(active) < self.jobs / 2:
                attached = True
                self.attach([job for one in started for job in one.members])
            self.sim.sleep(max(interval, cost))
        figures.queries, figures.submits = (
            launcher.commands.issued["query"],
            launcher.commands.issued["submit"],
        )
        figures.virtual = self.sim.clock()
        return figures

    def take(self, answers: Mapping[JobId, object], active: dict[JobId, State]) -> bool:
        """Note what has changed, as the engine does; True if anything has."""
        changed = False
        for job, answer in answers.items():
            if not isinstance(answer, Status) or answer.state is active[job]:
                continue
            changed = True
            active[job] = answer.state
            if answer.is_terminal:
                del active[job]
                name = job.split("#")[1].replace(f"[{ARRAY}]/", ".")
                ended = self.sim.records.ended.get(name)
                if ended is not None:
                    self.figures.lateness.append(self.sim.clock() - ended)
        return changed

    def attach(self, ids: list[JobId]) -> None:
        """What another process needs until it knows all."""
        before, own = time.process_time(), self.sim.own
        self.launcher().attach(ids)
        self.figures.attach = time.process_time() - before - (self.sim.own - own)


def measure(jobs: int) -> Figures:
    """All figures of an experiment of this size."""
    with tempfile.TemporaryDirectory() as directory:
        return Experiment(jobs, Path(directory)).run()


def memory(jobs: int) -> float:
    """Bytes that the launcher keeps for each job."""
    ours = [
        tracemalloc.Filter(True, f"*/smartcore/{part}")
        for part in ("launch/*", "spec/*", "testing/fakewlm/scheduler.py")
    ]
    with tempfile.TemporaryDirectory() as directory:
        experiment = Experiment(jobs, Path(directory))
        tracemalloc.start()
        launcher = experiment.launcher()
        started = launcher.start(experiment.work)
        launcher.status([job for one in started for job in one.members])
        kept = tracemalloc.take_snapshot().filter_traces(ours)
        tracemalloc.stop()
    return sum(trace.size for trace in kept.traces) / jobs


def main(jobs: int) -> None:
    """Measure and print."""
    figures = measure(jobs)
    each = memory(max(ARRAY, jobs // MEMORY_SHARE))
    late = sorted(figures.lateness)
    rows = [
        (
            "jobs",
            f"{jobs}",
            f"arrays of {ARRAY}, {SLOTS} at once, {SECONDS[0]}-{SECONDS[1]} s each",
        ),
        ("virtual duration", f"{figures.virtual:.0f} s", "from the first submit to the last end"),
        ("submits", f"{figures.submits}", ""),
        ("queries", f"{figures.queries}", "queue and accounting"),
        ("driver's processor time", f"{figures.driver:.1f} s", "without the simulation"),
        ("for each job", f"{figures.driver / jobs * 1e6:.0f} us", ""),
        ("memory for each job", f"{each / 1000:.2f} kB", "budget: 5 kB"),
        ("end of job to callback, median", f"{statistics.median(late):.2f} s", "virtual"),
        ("the same, 95th percentile", f"{late[int(len(late) * 0.95)]:.2f} s", "virtual"),
        ("attach of another process", f"{figures.attach:.2f} s", "all jobs, half of them ended"),
    ]
    print(tabulate(rows, ("what", "figure", ""), tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
