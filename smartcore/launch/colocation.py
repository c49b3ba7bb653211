"""From a step, and the database that its model wants next to it, to what runs both."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from smartcore.database import DEFAULT_BACKEND
from smartcore.database.credentials import new_credentials, secret_text
from smartcore.database.live import database_environment
from smartcore.database.ports import choose_ports
from smartcore.entity import ColocationSettings, Model
from smartcore.error import InputError, UnsupportedError
from smartcore.launch import judge
from smartcore.launch.beside import Beside, Elsewhere, beside, beside_on_nodes, told
from smartcore.launch.node import KEY_WORD, NODE_WORD, PORT_WORD
from smartcore.launch.notes import DIRECTORY
from smartcore.log import get_logger
from smartcore.registry import Registry
from smartcore.spec import (
    ColocationRequest,
    DatabaseBackend,
    File,
    Inspection,
    RunSettings,
    ShardAddress,
    ShardPlan,
    Sidecar,
    Step,
)

log = get_logger(__name__)

TIMEOUT = timedelta(seconds=60)
SCRIPTS = Path(".smartcore/scripts")
# Not a directive of the server, though given among them.
OPEN_OPTION = "allow-unauthenticated"
# Every host has these addresses.
LOOPBACK = "127."


def colocate(
    step: Step,
    settings: ColocationSettings,
    registry: Registry,
    experiment: Path,
    runtime: Path,
    *,
    where: Elsewhere | None = None,
    backend: str = DEFAULT_BACKEND,
    allow_unauthenticated: bool = False,
    environment: Mapping[str, str] | None = None,
    taken: list[ShardAddress] | None = None,
    shown_port: int = 0,
    timeout: timedelta = TIMEOUT,
) -> Beside:
    """What starts the database, then runs the step's program, and ends the database with it.

    Nothing is written or started; what must be written first, secrets included, is in the files.

    :param experiment: its directory
    :param runtime: a directory of mode 0700 for sockets
    :param where: where it runs, if not on this host
    :param backend: registered name of the kind of server
    :param allow_unauthenticated: what holds if the model's settings do not say
    :param environment: variables that say where servers are; None takes those of this process
    :param taken: addresses not to use; the one that is chosen is added
    :param shown_port: to show what would be started: the port that is known already, or
        ``PORT_WORD`` as none is chosen yet; none is looked for or tried then
    :param timeout: how long the database may take until it serves
    :raises DatabaseError: no server program was found
    :raises InputError: an option that cannot work
    """
    kind = registry.database(backend)
    used = [] if taken is None else taken
    runtime = runtime if where is None else where.runtime
    shard, client = _shard(
        step, settings, registry, kind, runtime, used, allow_unauthenticated, where, shown_port
    )
    anywhere = shard.address.port == PORT_WORD  # another port on each node, or not known yet
    if not anywhere:
        used.append(shard.address)
    server = kind.find(os.environ if environment is None else environment)
    kind.check(server, shard.options)
    auth = step.cwd / f"{step.name}-db.auth.json"
    credentials = shard.credentials
    variables = database_environment(settings.db_identifier, [client], auth, clustered=False)
    sidecar = Sidecar(
        name=shard.name,
        command=kind.command(server, shard),
        ready=replace(kind.readiness(shard), timeout=timeout),
        cpus=settings.pinning or (),
        log=step.cwd / f"{shard.name}.log",
        env={**kind.environment([shard]), **variables},
        facts={
            # Read back by smartcore.database.colocated.
            "model": step.name,
            "identifier": settings.db_identifier,
            "backend": backend,
            "executable": server.executable,
            "version": server.version,
            "source": server.source,
            "auth_file": str(auth),
            "open": "yes" if credentials.open else "no",
        },
        inspection=_inspection(kind, shard, timeout),
    )
    notes = experiment / DIRECTORY / step.tag
    spec = spec_path(experiment, step)
    if where is None:
        made = beside([sidecar], spec, step.cwd, notes=notes)
        made = replace(made, env={name: told(value) for name, value in made.env.items()})
    else:
        port_of = shard.address.host if anywhere else ""
        made = beside_on_nodes([sidecar], spec, step.cwd, where, port_of=port_of, notes=notes)
    secret = File(auth, secret_text(credentials.user, credentials.password))
    return replace(made, files=(secret, *made.files))


def _inspection(kind: DatabaseBackend, shard: ShardPlan, timeout: timedelta) -> Inspection | None:
    question = kind.inquiry(shard)
    if not question.send:
        return None
    asked = replace(question, timeout=timeout)
    return Inspection(asked, judge.command(), judge.about(kind, shard))


def elsewhere(model: Model, registry: Registry, runtime: Path) -> Elsewhere:
    """Where a model runs that its launcher, or its run command, puts on nodes.

    :param runtime: a directory of mode 0700 on each node, made there
    :raises UnsupportedError: it has several tasks on a node, and nothing tells them apart
    """
    settings = model.run_settings
    programs = [settings, *settings.mpmd]
    each = max(tasks_per_node(program) for program in programs)
    name = Path(settings.run_command or "").name
    known = registry.run_command(name) if name in registry.names("run_commands") else None
    ranks = known.local_ranks if known is not None else ()
    several = any(_nodes(program) != 1 for program in programs) or len(programs) > 1
    if not ranks and (each > 1 or len(programs) > 1):
        what = "several programs" if len(programs) > 1 else f"{each} tasks on a node"
        raise UnsupportedError(
            f"{model.name!r} has {what} and a colocated database, and {name} does not tell a task"
            " which of its node's it is, so each would start one; give it one task on each node"
            " (set_tasks_per_node(1)), or use a database of its own (create_database)"
        )
    return Elsewhere(
        runtime=runtime,
        node_variable=known.node_variable if known is not None else "",
        local_ranks=ranks,
        alone=each == 1 and len(programs) == 1,
        several=several and bool(name),
    )


def tasks_per_node(settings: RunSettings) -> int:
    """The most tasks that a node gets, as far as it was said."""
    wanted = settings.resources()
    nodes = wanted.nodes or len(wanted.hosts) or 1
    return wanted.tasks_per_node or -(-(wanted.tasks or 1) // nodes)


def _nodes(settings: RunSettings) -> int | None:
    # None if that is left to the run command.
    wanted = settings.resources()
    return wanted.nodes or len(wanted.hosts) or (None if (wanted.tasks or 1) > 1 else 1)


def missing_cores(wanted: Iterable[int]) -> tuple[int, ...]:
    """Those of these cores that this host does not have."""
    return tuple(core for core in wanted if core >= (os.cpu_count() or 1))


def _shard(
    step: Step,
    settings: ColocationSettings,
    registry: Registry,
    kind: DatabaseBackend,
    runtime: Path,
    taken: Sequence[ShardAddress],
    allow_unauthenticated: bool,
    where: Elsewhere | None,
    shown_port: int,
) -> tuple[ShardPlan, str]:
    strategy = registry.colocation(settings.strategy)
    strategy.check(settings.options)
    request = ColocationRequest(step.name, step.cwd, runtime, settings.options, port=shown_port)
    if where is not None:
        request = replace(request, node=KEY_WORD, port=PORT_WORD)
    address = strategy.address(request, taken)
    if address in taken:
        raise InputError(
            f"the database next to {step.name!r} would listen at {address}, as another one does;"
            " leave the address out to get one of its own"
        )
    if address.port and where is None and not shown_port:
        choose_ports([address.host], address.port, 1)
    if address.port and where is not None and not address.host.startswith(LOOPBACK):
        raise InputError(
            f"the database next to {step.name!r} would listen at {address}, which is an address of"
            " this host, and the model runs on another; leave ifname out"
        )
    given = settings.server_options.get(OPEN_OPTION)
    opened = allow_unauthenticated if given is None else given == "yes"
    credentials = new_credentials(open_access=opened)
    if opened and address.port:
        log.warning(
            "the database next to %r asks for no password: whoever reaches %s can read and write"
            " it",
            step.name,
            told(str(address)),
        )
    shard = ShardPlan(
        name=f"{step.name}-db" + (f"-{NODE_WORD}" if where is not None and where.several else ""),
        directory=step.cwd,
        address=address,
        peers=(address,),
        index=0,
        credentials=credentials,
        options=server_options(settings, kind),
        socket_permissions=strategy.permissions(settings.options, credentials),
    )
    return shard, strategy.client_address(address)


def server_options(settings: ColocationSettings, kind: DatabaseBackend) -> dict[str, str]:
    """The directives that were asked for, as this kind of server has them."""
    return dict(
        kind.option(key, value)
        for key, value in settings.server_options.items()
        if key != OPEN_OPTION
    )


def spec_path(experiment: Path, step: Step) -> Path:
    """Where the supervisor of a step reads what to start."""
    return experiment / SCRIPTS / f"{step.tag}.json"
