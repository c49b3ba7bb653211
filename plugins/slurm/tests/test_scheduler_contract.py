"""The contract of schedulers, on a fake Slurm; with ``--live``, on the real one of this host."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

import smartcore.testing
from smartcore.testing import SchedulerContract
from smartcore.testing.fakewlm.cluster import FakeCluster

PROGRAMS = ("sbatch", "squeue", "sacct", "scancel")
_PROGRAM = """\
#!{python} -IS
import sys
sys.path[:0] = {paths!r}
from fake_slurm import main
main({directory!r}, {program!r})
"""


class TestSlurm(SchedulerContract):
    scheduler = "smartcore_slurm.scheduler:SlurmScheduler"
    refused: ClassVar[Mapping[str, str]] = {"partition": "nosuch"}
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
