"""Where the shards of one database go on a machine with nodes: an allocation, or a batch job."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from smartcore.error import InputError, UnsupportedError
from smartcore.launch.bundle import bundle
from smartcore.launch.step import StepBuilder
from smartcore.settings.settings import create_batch_settings, create_run_settings
from smartcore.spec import Command, Job, Node, Placement, Resources, RunCommand, Step
from smartcore.spec.settings import RunSettings

from .nodes import Ground, nodes_wanted
from .orchestrator import Orchestrator
from .ports import LOOPBACK_INTERFACE, port_offsets, refuse_beyond


def make_ground(
    database: Orchestrator,
    builder: StepBuilder,
    experiment: Path,
    free: Sequence[Node],
    *,
    here: bool = False,
    together: bool = False,
) -> Ground:
    """Where the shards run, and how they are put there.

    :param experiment: its directory, which this host and the nodes have
    :param free: what is left of the allocation's nodes; empty if that is not known
    :param here: the launcher has no nodes but this host
    :param together: one command is to start all shards
    :raises InputError: hosts were asked for that are too few, or not in the allocation; or ports
        that there are not
    :raises UnsupportedError: one command is to start all shards, and cannot
    """
    hosts = choose_hosts(database, [] if database.batch else free)
    placed = any(hosts)
    here = here and not placed
    if database.port:
        share = max(Counter(hosts).values()) if placed else shards_on_a_node(database)
        count = database.num_shards
        offsets = port_offsets(builder.registry.database(database.backend), count)
        refuse_beyond(database.port, count if here else share, count, offsets)
    settings = _run_settings(database, builder)
    registry = builder.registry
    name = Path(settings.run_command or "").name
    known = registry.run_command(name) if name in registry.names("run_commands") else None

    def front(argv: Sequence[str], cwd: Path, placement: Placement) -> Command:
        settings.exe, settings.exe_args = argv[0], list(argv[1:])
        return builder.command(settings, cwd, settings.environment(), placement)

    if together:
        _join(database, settings, known, spread=not (placed or here))
    wanted = replace(settings.resources(), nodes=1, tasks=1, tasks_per_node=None)
    if database.alloc:
        wanted = replace(wanted, allocation=str(database.alloc))
    return Ground(
        directory=experiment / ".smartcore",
        front=front,
        resources=(
            (_together(wanted, hosts, database),)
            if together
            else tuple(replace(wanted, hosts=host) for host in hosts)
        ),
        node_variable=known.node_variable if known else "",
        places=bool(name),
        ranks=known.rank_variables if known and together else (),
        nodes=nodes_wanted(database) if database.batch else 0,
        interfaces=(LOOPBACK_INTERFACE,) if here else (),
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


def _join(
    database: Orchestrator, settings: RunSettings, command: RunCommand | None, *, spread: bool
) -> None:
    """Let the run command start all shards, and end all when one has failed.

    :param spread: the run command is to spread them over nodes; otherwise their hosts are known
    """
    if command is None or not command.rank_variables:
        name = settings.run_command
        why = f"{name} does not tell them which one each is" if name else "no run command does"
        raise UnsupportedError(
            f"the shards of {database.name!r} cannot be started with one command: {why}; leave"
            " single_cmd out"
        )
    settings.set_tasks(database.num_shards)
    if spread:
        settings.set_tasks_per_node(shards_on_a_node(database))
    given = {arg.lstrip("-") for arg in settings.run_args}
    for arg, value in command.ends_together.items():
        if arg not in given:
            settings.set(arg, value)


def _together(
    wanted: Resources, hosts: Sequence[tuple[str, ...]], database: Orchestrator
) -> Resources:
    names = tuple(dict.fromkeys(name for host in hosts for name in host))
    nodes = len(names) or nodes_wanted(database)
    return replace(wanted, nodes=nodes, tasks=database.num_shards, hosts=names)


def shards_on_a_node(database: Orchestrator) -> int:
    """How many shards share a node, if it has so many nodes as it wants."""
    return -(-database.num_shards // nodes_wanted(database))


def choose_hosts(database: Orchestrator, free: Sequence[Node]) -> list[tuple[str, ...]]:
    """The host of each shard; empty where the scheduler chooses.

    Shards are spread evenly over the hosts that were asked for, or over so many nodes as they want:
    those with the most free cores first.

    :raises InputError: hosts were asked for that are too few, or not there
    """
    count, asked = database.num_shards, list(dict.fromkeys(database.placed_on))
    known = [node.name for node in free]
    unknown = [host for host in asked if known and host not in known]
    if unknown:
        raise InputError(
            f"the database {database.name!r} is to run on {', '.join(unknown)}, which is not in the"
            f" allocation ({', '.join(known)}); choose other hosts or leave them out"
        )
    roomiest = sorted(free, key=lambda node: -node.cpus)
    if not asked and count == 1 and known and roomiest[0].cpus < (database.cpus or 1):
        return [()]  # on the first that has room
    nodes = (asked or [node.name for node in roomiest])[: nodes_wanted(database)]
    if not nodes:
        return [()] * count
    if database.shards_per_node and count > database.shards_per_node * len(nodes):
        raise InputError(
            f"the database {database.name!r} has {count} shards, and {', '.join(nodes)} take"
            f" {database.shards_per_node} each; give it more hosts, or raise shards_per_node"
        )
    return [(nodes[index % len(nodes)],) for index in range(count)]


def nodes_asked(database: Orchestrator) -> str:
    """Which nodes its batch job asks for, for who is told that it cannot have them."""
    count, asked = nodes_wanted(database), list(dict.fromkeys(database.placed_on))
    if asked:
        return f"its job asks for the node(s) {', '.join(asked[:count])}"
    if count == 1:
        return "its job asks for one node"
    each = shards_on_a_node(database)
    share = "one for each shard" if each == 1 else f"for {each} shards each"
    return f"its job asks for {count} nodes, {share}; shards_per_node={each + 1} takes fewer"


def batch_job(database: Orchestrator, builder: StepBuilder, steps: Sequence[Step]) -> Job:
    """The batch job that the shards are the steps of."""
    nodes = nodes_wanted(database)
    settings = create_batch_settings(
        database.launcher,
        nodes=nodes,
        time=database.walltime or database.time or "",
        queue=database.queue,
        account=database.account,
        batch_args=database.batch_args,
        registry=builder.registry,
    )
    settings.set_array(False)
    if database.placed_on:
        settings.set_hostlist(list(dict.fromkeys(database.placed_on))[:nodes])
    job = bundle(database.name, settings, steps)
    wanted: Resources = job.resources
    if wanted.tasks_per_node is None:
        wanted = replace(wanted, tasks_per_node=shards_on_a_node(database))
    if wanted.cpus_per_task is None:
        wanted = replace(wanted, cpus_per_task=database.cpus)
    # Begun again, it would listen elsewhere, while models and drivers go on with the old addresses:
    # that it was lost is to be told.
    return replace(job, resources=wanted, requeue=False)
