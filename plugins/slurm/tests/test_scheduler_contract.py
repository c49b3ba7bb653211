"""The contract of schedulers, on a fake Slurm and on the project's own real ones; with ``--live``,
the first on whatever Slurm this host is a part of.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from slurm_cluster import Cluster, find, is_up

import smartcore.testing
from smartcore.testing import SchedulerContract
from smartcore.testing.context import LIVE
from smartcore.testing.fakewlm.cluster import FakeCluster
from smartcore.testing.scheduler.ends import JobEndsCases
from smartcore.testing.scheduler.following import FollowingCases
from smartcore.testing.scheduler.submitting import SubmittingCases

PROGRAMS = ("sbatch", "squeue", "sacct", "scancel")
_PROGRAM = """\
#!{python} -IS
import sys
sys.path[:0] = {paths!r}
from fake_slurm import main
main({directory!r}, {program!r})
"""


SCHEDULER = "smartcore_slurm.scheduler:SlurmScheduler"
REFUSED: Mapping[str, str] = {"partition": "nosuch"}


class TestSlurm(SchedulerContract):
    scheduler = SCHEDULER
    refused: ClassVar[Mapping[str, str]] = REFUSED
    refusals = ("Unable to contact slurm controller (connect failure)",)
    habits: ClassVar[Mapping[str, str]] = {
        "SQUEUE_FORMAT2": "JobID",
        "SQUEUE_PARTITION": "nosuch",
        "SQUEUE_STATES": "PENDING",
        "SACCT_FEDERATION": "1",
        "SLURM_TIME_FORMAT": "relative",
        "SLURM_BITSTR_LEN": "5",
        "SBATCH_JOB_NAME": "mine",
    }

    @pytest.fixture(autouse=True)
    def _programs(self, cluster: FakeCluster) -> None:
        if not cluster.bin.is_dir():
            return  # the real one
        paths = [str(Path(__file__).parent), str(Path(smartcore.testing.__file__).parent)]
        for name in PROGRAMS:
            program = cluster.bin / name
            program.write_text(
                _PROGRAM.format(
                    python=sys.executable,
                    paths=paths,
                    directory=str(cluster.directory),
                    program=name,
                )
            )
            program.chmod(0o755)


def enter(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything in this process be about one of the project's own clusters."""
    if os.environ.get("CI") != "true" and os.environ.get("SMARTCORE_TEST_REAL") != "1":
        pytest.skip("runs on the project's own Slurm only: ci/slurm/up, SMARTCORE_TEST_REAL=1")
    assert is_up(cluster), f"no Slurm in {cluster.directory}, which was promised"
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    monkeypatch.setenv(LIVE, "1")


class TestRealSlurm(SchedulerContract):
    scheduler = SCHEDULER
    refused: ClassVar[Mapping[str, str]] = REFUSED
    habits: ClassVar[Mapping[str, str]] = TestSlurm.habits

    @pytest.fixture(autouse=True)
    def _live(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # The contract has a fixture named "cluster", too, which hides that of conftest.py.
        enter(find(accounting=True), monkeypatch)


class TestRealSlurmWithoutAccounting(SubmittingCases, FollowingCases, JobEndsCases):
    scheduler = SCHEDULER
    refused: ClassVar[Mapping[str, str]] = REFUSED
    habits: ClassVar[Mapping[str, str]] = TestSlurm.habits

    @pytest.fixture(autouse=True)
    def _live(self, monkeypatch: pytest.MonkeyPatch) -> None:
        enter(find(accounting=False), monkeypatch)
