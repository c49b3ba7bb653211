"""What every part of the scheduler contract builds on: the facts, the fake cluster, the bench."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from smartcore.error import LauncherError
from smartcore.spec import Answer, JobId, Launcher, Status
from smartcore.spec.scheduler import CommandLineScheduler

from ..context import LIVE, batch_launcher, load
from ..contract import Contract
from ..fakewlm.cluster import FakeCluster, fake_cluster
from ..running import PATIENCE, Bench


class SchedulerCases(Contract):
    """The facts that a subclass states, and the fixtures that it may replace.

    :cvar scheduler: target of the plugin's ``CommandLineScheduler``
    :cvar refused: arguments of a submit that can never be accepted, ``name -> value``
    :cvar refusals: what the submit command says of a failure that may pass and has certainly left
        no job behind
    :cvar habits: variables that users have and that change what the commands print
    :cvar patience: how long anything may take before a test fails
    """

    scheduler: ClassVar[str]
    refused: ClassVar[Mapping[str, str]]
    refusals: ClassVar[tuple[str, ...]] = ()
    habits: ClassVar[Mapping[str, str]] = {}
    patience: ClassVar[timedelta] = PATIENCE

    @pytest.fixture
    def experiment(self, tmp_path: Path) -> Path:
        """Replace this where jobs cannot see ``tmp_path``; the directory need not exist."""
        return tmp_path / "experiment"

    @pytest.fixture
    def cluster(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
        """A fake workload manager with its programs on PATH.

        Replace this with one whose programs are those that the plugin calls. With ``--live`` it is
        the real one, and cases that need a fake are skipped.
        """
        if os.environ.get(LIVE):
            yield _Real(tmp_path)
            return
        with fake_cluster(tmp_path / "cluster", kill_wait=0.3) as cluster:
            monkeypatch.setenv("PATH", f"{cluster.bin}:{os.environ['PATH']}")
            yield cluster

    @pytest.fixture
    def fake(self, cluster: FakeCluster) -> FakeCluster:
        if isinstance(cluster, _Real):
            pytest.skip("a real workload manager does not fail on demand")
        return cluster

    @pytest.fixture
    def plugin(self) -> CommandLineScheduler:
        made = load(self.scheduler)()
        assert isinstance(made, CommandLineScheduler)
        return made

    @pytest.fixture
    def bench(self, cluster: FakeCluster, experiment: Path) -> Iterator[Bench]:
        bench = Bench(self.make(experiment), experiment.with_name("runs"), self.patience)
        yield bench
        if isinstance(cluster, _Real):
            bench.close()
        else:
            bench.kill()  # stopping could take long: a broken plugin stops nothing

    def make(self, experiment: Path) -> Launcher:
        """A launcher of its own for the experiment, as another process would have."""
        made = load(self.scheduler)()
        assert isinstance(made, CommandLineScheduler)
        return batch_launcher(experiment, made)


class _Real(FakeCluster):
    """Stands for the real thing: nothing can be made to go wrong, nothing is counted."""

    def _ask(self, **question: object) -> dict[str, object]:
        return {"calls": {}, "jobs": []}


def answer_of(bench: Bench, job: JobId) -> Answer | None:
    """What is answered now; None if the question could not be asked."""
    try:
        return bench.launcher.status([job])[job]
    except LauncherError:
        return None


def wait_for_state(bench: Bench, job: JobId, *states: object) -> Status:
    """Ask until the job is in one of these states; an end that is none of them fails at once."""
    seen: list[Status] = []

    def reached() -> bool:
        answer = answer_of(bench, job)
        if not isinstance(answer, Status):
            return False
        seen[:] = [answer]
        assert answer.state in states or not answer.is_terminal, f"{answer.state} came instead"
        return answer.state in states

    bench.wait_until(reached, f"one of {states}")
    return seen[0]
