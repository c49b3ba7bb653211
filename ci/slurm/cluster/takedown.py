"""Take the cluster down: its jobs, its daemons, its names, its files."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

from cluster import daemons, host, names
from cluster.command import run
from cluster.error import ClusterError
from cluster.process import Process, end, read_stat, wait_until
from cluster.settings import NODES, Settings

CGROUPS = Path("/sys/fs/cgroup")
JOBS_END = 8.0  # seconds; four times KillWait


def down(settings: Settings, keep: bool) -> None:
    """End what `up` started; remove the directory too unless it is to be kept."""
    _end_jobs(settings)
    daemons.end(settings, NODES, signal.SIGTERM)
    for name in ("slurmctld", "slurmdbd", "mariadbd", "munged"):
        daemons.end(settings, (name,), signal.SIGTERM)
    _end_steps(settings)
    names.remove_names(settings)
    _remove_cgroups(settings)
    if not keep:
        shutil.rmtree(settings.directory)


def _end_jobs(settings: Settings) -> None:
    """Cancel the jobs: their steps would outlive the daemons."""
    controller = daemons.running(settings, "slurmctld")
    if not controller:
        return
    for name in ("slurmctld", *NODES):  # a paused one could not do it
        paused = daemons.running(settings, name)
        if paused:
            os.kill(paused.pid, signal.SIGCONT)
    jobs = _jobs(settings)
    if not jobs:
        return
    run(settings, "scancel", *jobs, seconds=20)
    run(settings, "scancel", "--full", "--signal=KILL", *jobs, seconds=20)
    try:
        wait_until("scancel", lambda: not _jobs(settings), JOBS_END, controller)
    except ClusterError as error:
        sys.stderr.write(f"ci/slurm: {error}; the steps are killed\n")


def _jobs(settings: Settings) -> list[str]:
    return run(settings, "squeue", "-h", "-o", "%A", seconds=20).stdout.split()


def _end_steps(settings: Settings) -> None:
    left = []
    for pid in host.step_processes(settings):
        stat = read_stat(pid)
        if stat:
            left.append(Process(pid, stat.started))
    end(left, 1)


def _remove_cgroups(settings: Settings) -> None:
    if not settings.cgroup:
        return
    for node in NODES:
        for group in CGROUPS.glob(f"*/slurm_{node}"):
            for folder, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):  # somebody is in it still
                    Path(folder).rmdir()
