"""From a step, and the database that its model wants next to it, to what runs both."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from smartcore.database import DEFAULT_BACKEND
from smartcore.database.credentials import new_credentials, secret_text
from smartcore.database.live import database_environment
from smartcore.database.ports import choose_ports
from smartcore.entity import ColocationSettings, Model
from smartcore.error import InputError, UnsupportedError
from smartcore.launch import sidecar as program
from smartcore.log import get_logger
from smartcore.registry import Registry
from smartcore.spec import (
    ColocationRequest,
    Command,
    DatabaseBackend,
    File,
    Ready,
    ShardAddress,
    ShardPlan,
    Sidecar,
    Step,
)

log = get_logger(__name__)

GRACE = timedelta(seconds=5)
TIMEOUT = timedelta(seconds=60)
SCRIPTS = Path(".smartcore/scripts")
# Not a directive of the server, though given among them.
OPEN_OPTION = "allow-unauthenticated"
# Every host has these addresses.
LOOPBACK = "127."


@dataclass(frozen=True, slots=True)
class Beside:
    """What is put in front of a command, so that sidecars live next to its program.

    :param argv: runs the command that follows it
    :param env: variables by which the program finds the sidecars
    :param files: what must be written first, secrets included
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    files: tuple[File, ...]

    def around(self, command: Command) -> Command:
        """The same command with its sidecars."""
        return replace(
            command,
            argv=(*self.argv, *command.argv),
            env={**command.env, **self.env},
            files=(*command.files, *self.files),
        )


def colocate(
    step: Step,
    settings: ColocationSettings,
    registry: Registry,
    experiment: Path,
    runtime: Path,
    *,
    nodes: Nodes | None = None,
    backend: str = DEFAULT_BACKEND,
    allow_unauthenticated: bool = False,
    environment: Mapping[str, str] | None = None,
    taken: list[ShardAddress] | None = None,
    timeout: timedelta = TIMEOUT,
) -> Beside:
    """What starts the database, then runs the step's program, and ends the database with it.

    Nothing is written or started; what must be written first, secrets included, is in the files.

    :param experiment: its directory
    :param runtime: a directory of mode 0700 for sockets
    :param nodes: where it runs, if not on this host
    :param backend: registered name of the kind of server
    :param allow_unauthenticated: what holds if the model's settings do not say
    :param environment: variables that say where servers are; None takes those of this process
    :param taken: addresses not to use; the one that is chosen is added
    :param timeout: how long the database may take until it serves
    :raises DatabaseError: no server program was found
    :raises InputError: an option that cannot work
    """
    kind = registry.database(backend)
    used = [] if taken is None else taken
    shard, client = _shard(
        step, settings, registry, kind, runtime, used, allow_unauthenticated, here=nodes is None
    )
    used.append(shard.address)
    server = kind.find(os.environ if environment is None else environment)
    kind.check(server, shard.options)
    auth = step.cwd / f"{shard.name}.auth.json"
    credentials = shard.credentials
    variables = database_environment(settings.db_identifier, [client], auth, clustered=False)
    several = nodes is not None and nodes.count > 1
    sidecar = Sidecar(
        name=shard.name,
        command=kind.command(server, shard),
        ready=replace(kind.readiness(shard), timeout=timeout),
        cpus=settings.pinning or (),
        log=step.cwd / f"{shard.name}{program.OF_NODE if several else '.log'}",
        env={**kind.environment([shard]), **variables},
    )
    spec = spec_path(experiment, step)
    beside = with_sidecars([sidecar], spec, step.cwd, variable=nodes.variable if nodes else "")
    secret = File(auth, secret_text(credentials.user, credentials.password))
    return replace(beside, files=(secret, *beside.files))


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of a model that a run command places, once on each.

    :param count: how many
    :param variable: by which a program learns its node's name; empty if ``uname`` tells it
    """

    count: int = 1
    variable: str = ""


def nodes_of(model: Model, registry: Registry) -> Nodes:
    """On how many nodes a model runs, with one task on each.

    :raises UnsupportedError: it has several tasks on a node, which would start a database each
    """
    wanted = model.run_settings.resources()
    nodes = wanted.nodes or len(wanted.hosts) or 1
    each = wanted.tasks_per_node or -(-(wanted.tasks or 1) // nodes)
    if each > 1:
        raise UnsupportedError(
            f"{model.name!r} has {each} tasks on a node and a colocated database, and this version"
            " would start one for each task; give it one task on each node (set_tasks_per_node(1)),"
            " or use a database of its own (create_database)"
        )
    name = Path(model.run_settings.run_command or "").name
    known = name in registry.names("run_commands")
    return Nodes(nodes, registry.run_command(name).node_variable if known else "")


def _shard(
    step: Step,
    settings: ColocationSettings,
    registry: Registry,
    kind: DatabaseBackend,
    runtime: Path,
    taken: Sequence[ShardAddress],
    allow_unauthenticated: bool,
    *,
    here: bool,
) -> tuple[ShardPlan, str]:
    strategy = registry.colocation(settings.strategy)
    strategy.check(settings.options)
    request = ColocationRequest(step.name, step.cwd, runtime, settings.options)
    address = strategy.address(request, taken)
    if address in taken:
        raise InputError(
            f"the database next to {step.name!r} would listen at {address}, as another one does;"
            " leave the address out to get one of its own"
        )
    if address.port and here:
        choose_ports([address.host], address.port, 1)
    if address.port and not here and not address.host.startswith(LOOPBACK):
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
            address,
        )
    shard = ShardPlan(
        name=f"{step.name}-db",
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


def with_sidecars(
    sidecars: Sequence[Sidecar],
    spec: Path,
    cwd: Path,
    *,
    grace: timedelta = GRACE,
    variable: str = "",
) -> Beside:
    """What runs a command with sidecars: :mod:`smartcore.launch.sidecar`.

    Passwords go into the file ``spec`` (mode 0600), and never onto the command line.

    :param cwd: the directory that sidecars run in
    :param grace: how long they have between TERM and KILL
    :param variable: by which a program learns its node's name; empty if ``uname`` tells it
    """
    env: dict[str, str] = {}
    files: list[File] = []
    for sidecar in sidecars:
        env |= sidecar.env
        files += sidecar.command.files
    files.append(File(spec, spec_text(sidecars, cwd, grace, variable)))
    # -I -S: neither the user's site-packages nor PYTHON variables, which are the application's.
    start = (sys.executable, "-I", "-S", program.__file__, str(spec))
    return Beside(start, env, tuple(files))


def spec_text(sidecars: Sequence[Sidecar], cwd: Path, grace: timedelta, variable: str = "") -> str:
    """What the supervisor reads."""
    content = {
        "version": program.VERSION,
        "grace": grace.total_seconds(),
        "node_variable": variable,
        "sidecars": [
            {
                "name": sidecar.name,
                "argv": list(sidecar.command.argv),
                "env": dict(sidecar.command.env),
                "cwd": str(cwd),
                "log": str(sidecar.log),
                "cpus": list(sidecar.cpus),
                "ready": _ready(sidecar.ready),
            }
            for sidecar in sidecars
        ],
    }
    return json.dumps(content, indent=1) + "\n"


def _ready(ready: Ready) -> dict[str, object]:
    return {
        "host": ready.host,
        "port": ready.port,
        "socket": ready.socket,
        # Bytes travel through JSON as Latin-1.
        "send": ready.send.decode("latin-1"),
        "expect": ready.expect.decode("latin-1"),
        "timeout": ready.timeout.total_seconds(),
        "authority": ready.authority,
    }
