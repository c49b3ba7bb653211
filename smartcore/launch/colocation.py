"""From a step, and the database that its model wants next to it, to the step that runs both."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from smartcore.database import DEFAULT_BACKEND
from smartcore.database.credentials import new_credentials, secret_text
from smartcore.database.live import database_environment
from smartcore.database.plan import TRANSLATED
from smartcore.database.ports import choose_ports
from smartcore.entity import ColocationSettings
from smartcore.error import InputError
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


def colocate(
    step: Step,
    settings: ColocationSettings,
    registry: Registry,
    experiment: Path,
    runtime: Path,
    *,
    backend: str = DEFAULT_BACKEND,
    allow_unauthenticated: bool = False,
    environment: Mapping[str, str] | None = None,
    taken: list[ShardAddress] | None = None,
    timeout: timedelta = TIMEOUT,
) -> Step:
    """The step that starts the database, then runs ``step``, and ends the database with it.

    Nothing is written or started; what must be written first, secrets included, is in the command's
    files.

    :param experiment: its directory
    :param runtime: a directory of mode 0700 for sockets
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
    shard, client = _shard(step, settings, registry, kind, runtime, used, allow_unauthenticated)
    used.append(shard.address)
    server = kind.find(os.environ if environment is None else environment)
    auth = step.cwd / f"{shard.name}.auth.json"
    credentials = shard.credentials
    variables = database_environment(settings.db_identifier, [client], auth, clustered=False)
    sidecar = Sidecar(
        name=shard.name,
        command=kind.command(server, shard),
        ready=replace(kind.readiness(shard), timeout=timeout),
        cpus=settings.pinning or (),
        log=step.cwd / f"{shard.name}.log",
        env={**kind.environment([shard]), **variables},
    )
    command = with_sidecars(step.command, [sidecar], spec_path(experiment, step), step.cwd)
    secret = File(auth, secret_text(credentials.user, credentials.password))
    return replace(step, command=replace(command, files=(secret, *command.files)))


def _shard(
    step: Step,
    settings: ColocationSettings,
    registry: Registry,
    kind: DatabaseBackend,
    runtime: Path,
    taken: Sequence[ShardAddress],
    allow_unauthenticated: bool,
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
    if address.port:
        choose_ports([address.host], address.port, 1)
    options = dict(settings.server_options)
    given = options.pop(OPEN_OPTION, None)
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
        options=dict(
            kind.option(key, value) if key in TRANSLATED else (key, value)
            for key, value in options.items()
        ),
        socket_permissions=strategy.permissions(settings.options, credentials),
    )
    return shard, strategy.client_address(address)


def spec_path(experiment: Path, step: Step) -> Path:
    """Where the supervisor of a step reads what to start."""
    return experiment / SCRIPTS / f"{step.tag}.json"


def with_sidecars(
    command: Command,
    sidecars: Sequence[Sidecar],
    spec: Path,
    cwd: Path,
    *,
    grace: timedelta = GRACE,
) -> Command:
    """The command that runs ``command`` with sidecars, by :mod:`smartcore.launch.sidecar`.

    Passwords go into the file ``spec`` (mode 0600), and never onto the command line.

    :param cwd: the directory that sidecars run in
    :param grace: how long they have between TERM and KILL
    """
    env = dict(command.env)
    files = [*command.files]
    for sidecar in sidecars:
        env |= sidecar.env
        files += sidecar.command.files
    files.append(File(spec, spec_text(sidecars, cwd, grace)))
    # -I -S: neither the user's site-packages nor PYTHON variables, which are the application's.
    start = (sys.executable, "-I", "-S", program.__file__, str(spec))
    return replace(command, argv=(*start, *command.argv), env=env, files=tuple(files))


def spec_text(sidecars: Sequence[Sidecar], cwd: Path, grace: timedelta) -> str:
    """What the supervisor reads."""
    content = {
        "version": program.VERSION,
        "grace": grace.total_seconds(),
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
    }
