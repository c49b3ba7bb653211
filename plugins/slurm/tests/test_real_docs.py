"""The driver scripts of the documentation of databases, unchanged, in an allocation."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from slurm_cluster import ROOT, Cluster

from smartcore.launch import journal

TEXT = (ROOT / "docs" / "databases.md").read_text()
SCRIPTS = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", TEXT, re.M | re.S))
DRIVERS = [name for name, text in SCRIPTS.items() if "import Experiment" in text]
NODES = {f"nid00{number}" for number in range(1, 5)}
# What each prints, and how many shards of its databases have nodes.
SAID = {
    "clustered.py": (["cold: mean 0.45", "warm: mean 0.45", "hot: mean 0.45"], 3),
    "beside_tcp.py": (["the field came back by tcp"], 0),
    "beside_uds.py": (["the field came back by unix socket"], 0),
    "several.py": (["fields holds fields", "features holds features", "scratch holds scratch"], 4),
}


@pytest.mark.parametrize("name", DRIVERS)
def test_a_driver_script_about_databases_runs_in_an_allocation(
    slurm: Cluster, tmp_path: Path, name: str
) -> None:
    for file, text in SCRIPTS.items():
        (tmp_path / file).write_text(text)
    salloc = ["salloc", "--quiet", "--nodes=4", "--ntasks-per-node=2", "--time=5"]
    done = subprocess.run(
        [*salloc, sys.executable, name],
        cwd=tmp_path,
        env={**slurm.environment(), "SMARTCORE_RUNTIME_DIR": str(tmp_path / "rt")},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines, shards = SAID[name]
    assert [line for line in done.stdout.splitlines() if line in lines] == lines
    path = tmp_path / name.removesuffix(".py")
    assert journal.read(path).launcher == "slurm"
    found = [json.loads(file.read_text()) for file in path.glob("*/smartcore_db.json")]
    nodes = [shard["node"] for database in found for shard in database["shards"]]
    assert len(nodes) == shards
    assert set(nodes) <= NODES
