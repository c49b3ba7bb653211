"""The project's own Slurm (ci/slurm), and a launcher that puts srun in front of every step."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from smartcore.spec import Command, Facts, Launch, Placement, Started, Step, Work, run_command
from smartcore_slurm.launcher import SlurmLauncher
from smartcore_slurm.srun import Srun
from smartcore_slurm.srun_settings import SrunSettings

ROOT = Path(__file__).parents[4]
LIMIT = timedelta(seconds=60)
# Where a cluster is that is not in its usual place.
PLACES = {True: "SMARTCORE_TEST_SLURM", False: "SMARTCORE_TEST_SLURM_NOACCT"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """One of the clusters that ci/slurm/up makes."""

    directory: Path
    accounting: bool

    @property
    def conf(self) -> Path:
        return self.directory / "etc" / "slurm.conf"

    def environment(self) -> dict[str, str]:
        outside = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
        return {**outside, "SLURM_CONF": str(self.conf)}

    def run(self, *argv: str) -> str:
        """What a command of Slurm prints; it must succeed."""
        done = run_command(argv, timeout=LIMIT, env=self.environment())
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout + done.stderr

    def ctl(self, *arguments: str) -> None:
        """Disturb the cluster, see ci/slurm/README.md."""
        self.run(sys.executable, str(ROOT / "ci/slurm/ctl"), f"--dir={self.directory}", *arguments)

    @property
    def has_host_names(self) -> bool:
        """True if programs on its nodes see the node's name as their host's."""
        return "TaskProlog=" in self.conf.read_text()

    def has_left(self, number: str) -> bool:
        """True if no node runs anything of a job any more: slurmd knows its steps by their sockets,
        and drains a node that is given a job which it still has.
        """
        return not any(self.directory.glob(f"spool/*/*_{number}.*"))

    def steps(self) -> list[str]:
        """Ids of all steps that run."""
        return self.run("squeue", "--steps", "--noheader", "--format=%i").split()


def find(accounting: bool) -> Cluster:
    """The cluster of this host, which need not be up."""
    name = "smartcore-slurm" if accounting else "smartcore-slurm-noacct"
    usual = Path(tempfile.gettempdir()) / name
    return Cluster(Path(os.environ.get(PLACES[accounting]) or usual), accounting)


def contained() -> bool:
    """True unless the steps of the cluster are followed by the process table only."""
    conf = find(accounting=True).conf
    return not conf.is_file() or "proctrack/cgroup" in conf.read_text()


def is_up(cluster: Cluster) -> bool:
    """True if its controller answers."""
    if not cluster.conf.is_file() or shutil.which("scontrol") is None:
        return False
    done = subprocess.run(
        ["scontrol", "ping"],
        env=cluster.environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT.total_seconds(),
        check=False,
    )
    return "is UP" in done.stdout


class SrunSteps(SlurmLauncher):
    """Runs every step that it is given by an srun, as the core does for models."""

    def start(self, work: Sequence[Work], /) -> Sequence[Started]:
        return super().start([placed(item) if isinstance(item, Step) else item for item in work])


def placed(step: Step, settings: SrunSettings | None = None) -> Step:
    """The same step with srun in front."""
    command = step.command
    launch = Launch(command.argv, settings or SrunSettings("true"), step.cwd, dict(command.env))
    made = Srun().build(launch, Placement(), Facts("srun"))
    env, files = made.env, (*command.files, *made.files)
    return replace(step, command=Command(made.argv, env, command.stdin, files))
