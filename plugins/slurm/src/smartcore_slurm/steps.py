"""Steps as Slurm knows them: found by the name that they were given, and cancelled."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterable, Mapping

from smartcore.error import LauncherError
from smartcore.spec import Tag

from .commands import ask, chunks, told

# squeue(1): a step is gone from the list a moment after its last process.
GONE_DEADLINE = 20.0
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST = 80


def step_name(tag: Tag) -> str:
    """The name of a step: its tag, as far as Slurm takes it. The end is what makes it unique."""
    return _UNSAFE.sub("_", tag)[-_LONGEST:].lstrip("-")


def parse_steps(output: str) -> dict[str, list[str]]:
    """Ids by name, from ``squeue --steps --format=%i|%j``.

    The parts of a step with several programs, ``4.3+0`` and ``4.3+1``, are one step; scancel knows
    it by ``4.3`` only.
    """
    found: dict[str, list[str]] = {}
    for line in output.splitlines():
        number, bar, name = line.strip().partition("|")
        step = number.partition("+")[0]
        ids = found.setdefault(name, [])
        if bar and step not in ids:
            ids.append(step)
    return found


def running_steps() -> dict[str, list[str]]:
    """Ids by name of all the user's steps that have not ended: one question.

    :raises LauncherError: it had no answer
    """
    user = f"--user={os.geteuid()}"
    completed = ask("squeue", "--all", "--steps", "--noheader", user, "--format=%i|%j")
    if completed.returncode != 0:
        raise LauncherError(f"asking for steps: {told(completed)}")
    return parse_steps(completed.stdout)


def living_jobs() -> frozenset[str]:
    """Numbers of all the user's jobs, allocations among them, that have not ended: one question.

    :raises LauncherError: it had no answer
    """
    # Without --all it is silent about hidden partitions.
    completed = ask("squeue", "--all", "--noheader", f"--user={os.geteuid()}", "--format=%A")
    if completed.returncode != 0 or (not completed.stdout.strip() and "error" in completed.stderr):
        raise LauncherError(f"asking for jobs: {told(completed)}")
    return frozenset(completed.stdout.split())


def cluster_here() -> str:
    """Name of the cluster that commands on this host speak with.

    :raises LauncherError: it is not told
    """
    completed = ask("scontrol", "show", "config")
    found = re.search(r"^ClusterName\s*=\s*(\S+)", completed.stdout, re.MULTILINE)
    if found is None:
        raise LauncherError(f"asking for the name of the cluster: {told(completed)}")
    return found[1]


def find_steps(names: Collection[str]) -> dict[str, list[str]]:
    """Ids of steps of these names that have not ended.

    :raises LauncherError: the question had no answer
    """
    return {name: ids for name, ids in running_steps().items() if name in names}


def ended_steps(allocations: Collection[str]) -> dict[str, str]:
    """Ids by name of all steps of these allocations, from the accounting; empty without one.

    :raises LauncherError: sacct cannot be run
    """
    jobs = f"--jobs={','.join(allocations)}"
    completed = ask("sacct", "--noheader", "--parsable2", jobs, "--format=jobid,jobname")
    return {name: ids[0] for name, ids in parse_steps(completed.stdout).items()}


def signal_steps(steps: Iterable[str], signal: str = "") -> str:
    """Send a signal to steps, by default the one that ends them; what scancel complained of.

    Its exit code says little: a step that has just ended is an error of its own.
    """
    complaints = ""
    options = [f"--signal={signal}"] if signal else []
    for some in chunks(list(steps)):
        completed = ask("scancel", *options, *some)
        if completed.returncode != 0 or completed.stderr.strip():
            complaints = told(completed)
    return complaints


def end_steps(names: Collection[str]) -> Mapping[str, list[str]]:
    """Cancel what is left of steps, and see them go; those that did not.

    :raises LauncherError: nobody answered, so that they may live on
    """
    deadline = time.monotonic() + GONE_DEADLINE
    delay = 0.05
    left = find_steps(names)
    while left and time.monotonic() < deadline:
        signal_steps(step for ids in left.values() for step in ids)
        time.sleep(delay)
        delay = min(2 * delay, 2.0)
        left = find_steps(names)
    return left
