"""Where the shards of one database go on a machine with nodes: an allocation, or a batch job."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from smartcore.error import InputError
from smartcore.launch.bundle import bundle
from smartcore.launch.step import StepBuilder
from smartcore.settings.settings import create_batch_settings, create_run_settings
from smartcore.spec import Command, Job, Node, Placement, Resources, Step
from smartcore.spec.settings import RunSettings

from .nodes import Ground
from .orchestrator import Orchestrator


def make_ground(
    database: Orchestrator, builder: StepBuilder, experiment: Path, free: Sequence[Node]
) -> Ground:
    """Where the shards run, and how they are put there.

    :param experiment: its directory, which this host and the nodes have
    :param free: what is left of the allocation's nodes; empty if that is not known
    :raises InputError: hosts were asked for that are too few, or not in the allocation
    """
    hosts = choose_hosts(database, [] if database.batch else free)
    settings = _run_settings(database, builder)
    registry = builder.registry
    name = Path(settings.run_command or "").name
    known = name in registry.names("run_commands")

    def front(argv: Sequence[str], cwd: Path, placement: Placement) -> Command:
        settings.exe, settings.exe_args = argv[0], list(argv[1:])
        return builder.command(settings, cwd, settings.environment(), placement)

    wanted = replace(settings.resources(), nodes=1, tasks=1, tasks_per_node=None)
    if database.alloc:
        wanted = replace(wanted, allocation=str(database.alloc))
    return Ground(
        directory=experiment / ".smartcore",
        front=front,
        resources=tuple(replace(wanted, hosts=host) for host in hosts),
        node_variable=registry.run_command(name).node_variable if known else "",
        places=bool(name),
    )


def _run_settings(database: Orchestrator, builder: StepBuilder) -> RunSettings:
    further: dict[str, Any] = {"alloc": database.alloc} if database.alloc else {}
    settings = create_run_settings(
        database.launcher,
        sys.executable,
        run_command=database.run_command,
        run_args=database.run_args,
        registry=builder.registry,
        **further,
    )
    if settings.run_command:
        settings.set_tasks(1)
        if database.cpus:
            settings.set_cpus_per_task(database.cpus)
    return settings


def choose_hosts(database: Orchestrator, free: Sequence[Node]) -> list[tuple[str, ...]]:
    """The host of each shard; empty where the scheduler chooses.

    Each shard gets a node of its own if there are so many, those with the most free cores first.

    :raises InputError: hosts were asked for that are too few, or not there
    """
    count, asked = database.num_shards, database.placed_on
    known = [node.name for node in free]
    unknown = [host for host in asked if known and host not in known]
    if unknown:
        raise InputError(
            f"the database {database.name!r} is to run on {', '.join(unknown)}, which is not in the"
            f" allocation ({', '.join(known)}); choose other hosts or leave them out"
        )
    if asked and len(asked) < count:
        raise InputError(
            f"the database {database.name!r} has {count} shards and {len(asked)} hosts"
            f" ({', '.join(asked)}); give each shard a host, or leave hosts out"
        )
    if asked:
        return [(host,) for host in asked[:count]]
    if not known:
        return [()] * count
    roomiest = sorted(free, key=lambda node: -node.cpus)
    if count == 1 and roomiest[0].cpus < (database.cpus or 1):
        return [()]  # on the first that has room
    return [(roomiest[index % len(roomiest)].name,) for index in range(count)]


def batch_job(database: Orchestrator, builder: StepBuilder, steps: Sequence[Step]) -> Job:
    """The batch job that the shards are the steps of, each on a node of its own."""
    settings = create_batch_settings(
        database.launcher,
        nodes=database.num_shards,
        time=database.walltime or database.time or "",
        queue=database.queue,
        account=database.account,
        batch_args=database.batch_args,
        registry=builder.registry,
    )
    settings.set_array(False)
    if database.placed_on:
        settings.set_hostlist(database.placed_on[: database.num_shards])
    job = bundle(database.name, settings, steps)
    wanted: Resources = job.resources
    if wanted.tasks is None and wanted.tasks_per_node is None:
        wanted = replace(wanted, tasks_per_node=1)
    if wanted.cpus_per_task is None:
        wanted = replace(wanted, cpus_per_task=database.cpus)
    return replace(job, resources=wanted)
