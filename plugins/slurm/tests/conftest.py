"""The real Slurm that these tests run on: the project's own, and never somebody's cluster."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartcore import Experiment
from smartcore.spec import LauncherContext
from smartcore.testing.context import clean_up, launcher_context
from smartcore.testing.running import Bench, lacks
from smartcore_slurm.launcher import SlurmLauncher

# Also for processes that the tests start.
sys.path.insert(0, str(Path(__file__).parent / "support"))

from slurm_cluster import Cluster, SrunSteps, find, is_up


def _cluster(accounting: bool) -> Cluster:
    if os.environ.get("CI") != "true" and os.environ.get("SMARTCORE_TEST_REAL") != "1":
        pytest.skip("runs on the project's own Slurm only: ci/slurm/up, SMARTCORE_TEST_REAL=1")
    cluster = find(accounting)
    if not is_up(cluster):
        pytest.fail(f"no Slurm in {cluster.directory}, which CI or SMARTCORE_TEST_REAL promises")
    return cluster


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The Slurm with accounting."""
    return _cluster(accounting=True)


@pytest.fixture(scope="session")
def cluster_noacct() -> Cluster:
    """The Slurm without accounting."""
    return _cluster(accounting=False)


@pytest.fixture
def slurm(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The same, in the environment of the test."""
    return _enter(cluster, monkeypatch)


@pytest.fixture
def slurm_noacct(cluster_noacct: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The same, in the environment of the test."""
    return _enter(cluster_noacct, monkeypatch)


def _enter(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    for name in list(os.environ):
        if name.startswith("SLURM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    return cluster


@pytest.fixture(scope="module")
def allocation(cluster: Cluster) -> Iterator[str]:
    """Six CPUs of each of the four nodes, for all tests of a module; they are in it when they use
    ``inside``.
    """
    yield from _allocate(cluster)


@pytest.fixture(scope="module")
def allocation_noacct(cluster_noacct: Cluster) -> Iterator[str]:
    """The same without accounting."""
    yield from _allocate(cluster_noacct)


def _allocate(cluster: Cluster) -> Iterator[str]:
    name = f"--job-name=steps-{os.getpid()}"
    options = (name, "--no-shell", "--nodes=4", "--ntasks-per-node=6", "--time=30")
    try:
        said = cluster.run("salloc", *options)
        match = re.search(r"Granted job allocation (\d+)", said)
        assert match is not None, said
        yield match[1]
    finally:
        # Also one that was never granted.
        cluster.run("scancel", name.replace("job-", ""))


@pytest.fixture
def inside(slurm: Cluster, allocation: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment of a driver inside the allocation; its number."""
    monkeypatch.setenv("SLURM_JOB_ID", allocation)
    return allocation


@pytest.fixture
def exp(slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Experiment]:
    """An experiment on Slurm, where there is a server for databases."""
    if shutil.which("redis-server") is None:
        lacks("redis-server is not installed")
    monkeypatch.setenv("SMARTCORE_RUNTIME_DIR", str(tmp_path / "rt"))
    path = tmp_path / "exp"
    path.mkdir()
    with Experiment("exp", str(path), "slurm") as made:
        yield made


@pytest.fixture
def context(slurm: Cluster, inside: str, tmp_path: Path) -> Iterator[LauncherContext]:
    """Of a launcher inside the allocation."""
    path = tmp_path / "experiment"
    yield launcher_context(path)
    clean_up(path)


@pytest.fixture
def bench(context: LauncherContext, tmp_path: Path) -> Iterator[Bench]:
    """For steps that are given as programs; srun is put in front."""
    launcher = SrunSteps(context)
    bench = Bench(launcher, tmp_path / "runs")
    yield bench
    bench.close()
    launcher.close()


@pytest.fixture
def plain(context: LauncherContext, tmp_path: Path) -> Iterator[Bench]:
    """For steps that have their srun already."""
    launcher = SlurmLauncher(context)
    bench = Bench(launcher, tmp_path / "runs")
    yield bench
    bench.close()
    launcher.close()


@pytest.fixture
def open_mpi(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open MPI with nodes whose names it can tell apart."""
    if shutil.which("mpirun") is None:
        lacks("Open MPI is not installed")
    if not slurm.has_host_names:
        lacks("all nodes have this host's name, so that mpirun starts everything here")
    for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OMPI_MCA_oob_tcp_if_include", "lo")


@pytest.fixture
def mpirun(open_mpi: None, inside: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open MPI inside of the allocation, as it is on a cluster."""
    # What salloc sets, and Open MPI wants to know to start its daemons.
    for name, value in {
        "SLURM_JOBID": inside,
        "SLURM_NODELIST": "nid[001-004]",
        "SLURM_TASKS_PER_NODE": "6(x4)",
    }.items():
        monkeypatch.setenv(name, value)
