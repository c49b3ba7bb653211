"""Clocks that jump between the drivers of an experiment, and while they drive."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from smartcore.launch import journal
from smartcore.launch.journal import Journal
from smartcore.launch.run import Run
from smartcore.spec import Command, JobId, State, Status, Step, Tag

ENDS = (Status(State.COMPLETED, 0), Status(State.FAILED, 3), Status(State.LOST))


def jumping(rng: random.Random) -> Callable[[], float]:
    """A clock that may show any time of some decades."""
    return lambda: rng.uniform(0, 2e9)


def drive(path: Path, runs: list[Run], rng: random.Random) -> None:
    """One driver takes up what earlier ones left, launches more, and goes."""
    book = Journal(path, jumping(rng))
    book.opened("exp", "local")
    number = len(runs)
    new = [make_run(f"m{number + index}", number + index) for index in range(rng.randint(1, 3))]
    book.launch(new)
    runs += new
    for run in [run for run in runs if run.active]:
        deed = rng.choice(("start", "end", "leave"))
        if deed != "leave" and run.job is None:
            run.job, run.status = JobId(f"{run.name}.1"), Status(State.RUNNING)
            book.started([run])
        if deed == "end":
            run.status = rng.choice(ENDS)
            book.ended(run)
    book.close()


def make_run(name: str, number: int) -> Run:
    where = Path("/nowhere")
    run = Run(Step(name, Tag(f"{name}-{number}"), Command(()), where, where, where), "Model")
    run.status = Status(State.QUEUED)
    return run


@pytest.mark.parametrize(
    "seed", [1, 2, 3, random.randrange(10**9)], ids=lambda seed: f"seed={seed}"
)
def test_whatever_the_clock_says_the_journals_tell_what_happened(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    for life in range(20):
        path = tmp_path / f"exp{life}"
        runs: list[Run] = []
        for driver in range(rng.randint(2, 6)):
            drive(path, runs, rng)
            (own,) = (path / journal.DIRECTORY).glob(f"*-{os.getpid()}.jsonl")
            if rng.random() < 0.8:  # otherwise the next one gets the same number
                own.rename(
                    own.with_name(f"{os.uname().nodename}-{rng.randint(1, 99)}{driver}.jsonl")
                )
        told = [(run.name, run.job, run.status.state) for run in journal.read(path).runs]
        assert told == [(run.name, run.job, run.status.state) for run in runs]
