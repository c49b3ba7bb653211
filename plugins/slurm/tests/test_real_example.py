"""The example of the repository, unchanged, in an allocation and as batch jobs."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
from slurm_cluster import ROOT, Cluster

DRIVER = ROOT / "examples" / "online_analysis" / "driver.py"


@pytest.mark.parametrize("how", ["allocation", "batch"])
def test_the_example_runs_with_the_launcher_that_is_found(
    slurm: Cluster, tmp_path: Path, how: str
) -> None:
    program = [sys.executable, str(DRIVER), str(tmp_path)]
    before = ["salloc", "--quiet", "--nodes=4", "--ntasks-per-node=2", "--time=5"]
    argv = [*before, *program] if how == "allocation" else [*program, "--batch"]
    done = subprocess.run(
        argv,
        env={**slurm.environment(), "DB_NODES": "3"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (told,) = re.findall("database at (.*), launcher slurm", done.stdout)
    assert len(told.split(", ")) == 3
    assert done.stdout.count("| Completed |") == 5
    assert (tmp_path / "analysis" / "figure.png").stat().st_size > 10_000
    with (tmp_path / "analysis" / "statistics.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) > 10
