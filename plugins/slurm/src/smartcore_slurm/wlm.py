"""Questions about the current allocation and the machine, and allocations from Python; what users
import as ``smartcore.wlm.slurm``.
"""

from __future__ import annotations

import os

from smartcore.error import AllocationError, LauncherError
from smartcore.spec.values import check_count

from .allocation import allocation, get_allocation, release_allocation
from .commands import ask, told
from .nodes import expand_counts, expand_hosts

__all__ = [
    "allocation",
    "get_allocation",
    "get_default_partition",
    "get_hosts",
    "get_queue",
    "get_tasks",
    "get_tasks_per_node",
    "release_allocation",
    "validate",
]


def get_default_partition() -> str:
    """The partition that jobs go to if they name none.

    :raises LauncherError: Slurm did not answer, or has no default
    """
    for name in _sinfo("%P"):
        if name.endswith("*"):  # sinfo(1), %P
            return name.removesuffix("*")
    raise LauncherError("this Slurm has no default partition; name one of sinfo's")


def validate(nodes: int = 1, ppn: int = 1, partition: str | None = None) -> bool:
    """True if a partition has enough nodes with enough CPUs each.

    :param nodes: how many nodes
    :param ppn: CPUs on each
    :param partition: None is the default one
    :raises LauncherError: there is no such partition, or Slurm did not answer
    """
    check_count(nodes, "nodes")
    check_count(ppn, "ppn")
    wanted = partition or get_default_partition()
    rows = [line.split() for line in _sinfo("%R %n %c")]
    names = {row[0] for row in rows if row}
    if wanted not in names:
        raise LauncherError(f"no partition {wanted!r}; there are {', '.join(sorted(names))}")
    large = {row[1] for row in rows if row[0] == wanted and int(row[2].rstrip("+")) >= ppn}
    return len(large) >= nodes


def _sinfo(columns: str) -> list[str]:
    completed = ask("sinfo", "--noheader", f"--format={columns}")
    if completed.returncode != 0:
        raise LauncherError(f"sinfo: {told(completed)}")
    return [line.strip() for line in completed.stdout.splitlines() if line.strip()]


def get_hosts() -> list[str]:
    """Names of the nodes of the allocation that this process is in, sorted.

    :raises AllocationError: it is in none
    """
    return sorted(_hosts())


def _hosts() -> list[str]:
    try:
        return expand_hosts(_variable("SLURM_JOB_NODELIST"))
    except ValueError as error:
        raise LauncherError(f"SLURM_JOB_NODELIST cannot be read: {error}") from None


def get_queue() -> str:
    """Partition of the allocation that this process is in.

    :raises AllocationError: it is in none
    """
    return _variable("SLURM_JOB_PARTITION")


def get_tasks() -> int:
    """Number of tasks in the allocation that this process is in.

    :raises AllocationError: it is in none, or that was made without a number of tasks
    """
    value = _variable("SLURM_NTASKS")
    if not value.isdecimal():
        raise LauncherError(f"SLURM_NTASKS is {value!r}, which is no number")
    return int(value)


def get_tasks_per_node() -> dict[str, int]:
    """Number of tasks on each node of the allocation that this process is in.

    :raises AllocationError: it is in none
    """
    text = _variable("SLURM_TASKS_PER_NODE")
    try:
        return dict(zip(_hosts(), expand_counts(text), strict=False))
    except ValueError as error:
        raise LauncherError(f"SLURM_TASKS_PER_NODE cannot be read: {error}") from None


def _variable(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise AllocationError(
            f"{name} is not set: this process is in no Slurm allocation that says so; start it"
            " inside salloc or sbatch"
        )
    return value
