"""From the description of a database to the steps that run its shards. Starts nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from smartcore.launch.step import make_tag
from smartcore.spec import (
    Certificate,
    Credentials,
    DatabaseBackend,
    Resources,
    Server,
    ShardAddress,
    ShardPlan,
    Step,
)

from .credentials import Files
from .live import database_environment
from .orchestrator import Orchestrator
from .ports import listen_hosts


def plan_shards(
    database: Orchestrator,
    backend: DatabaseBackend,
    credentials: Credentials,
    hosts: Sequence[str],
    ports: Sequence[int],
) -> tuple[ShardPlan, ...]:
    """One plan for each shard; ``hosts[0]`` is where clients look."""
    peers = tuple(ShardAddress(hosts[0], port) for port in ports)
    options = server_options(database, backend)
    return tuple(
        ShardPlan(
            name=f"{database.db_identifier}_{index}",
            directory=Path(database.path),
            address=address,
            peers=peers,
            index=index,
            credentials=credentials,
            options=options,
            further_hosts=tuple(hosts[1:]),
        )
        for index, address in enumerate(peers)
    )


def server_options(database: Orchestrator, backend: DatabaseBackend) -> dict[str, str]:
    """The directives that were asked for, as this kind of server has them."""
    return dict(backend.option(key, value) for key, value in database.options.items())


def shard_steps(
    backend: DatabaseBackend,
    server: Server,
    shards: Sequence[ShardPlan],
    resources: Resources | None = None,
) -> tuple[Step, ...]:
    """The step of each shard; its configuration is in the step's files."""
    return tuple(
        Step(
            name=shard.name,
            tag=make_tag(shard.name),
            command=backend.command(server, shard),
            cwd=shard.directory,
            stdout=shard.directory / f"{shard.name}.out",
            stderr=shard.directory / f"{shard.name}.err",
            resources=resources or Resources(),
            private=True,
        )
        for shard in shards
    )


def planned_shards(
    database: Orchestrator,
    backend: DatabaseBackend,
    *,
    environment: Mapping[str, str] | None = None,
) -> list[Step]:
    """The steps that a start would run, for a preview: without secrets, and with port 0 in the
    files where the port is chosen at the start.

    :raises DatabaseError: no server program was found
    """
    if database.live is not None:
        return list(database.live.steps)
    server = backend.find(os.environ if environment is None else environment)
    hosts = listen_hosts(database.interface)
    ports = database.ports or [0] * database.num_shards
    shards = plan_shards(database, backend, planned_credentials(database), hosts, ports)
    return list(shard_steps(backend, server, shards, database.resources()))


def given_files(backend: DatabaseBackend, server: Server, shards: Sequence[ShardPlan]) -> Files:
    """What each shard is given when it starts, or could be with other credentials."""
    named = Certificate("", Path())
    plain = Credentials("", certificate=named, peers=named)
    return {
        shard.name: [
            str(file.path.relative_to(shard.directory))
            for file in backend.command(server, replace(shard, credentials=plain)).files
        ]
        for shard in shards
    }


def secret_files(database: Orchestrator) -> tuple[Path, Path]:
    """Where the models' password is, and smartcore's own."""
    directory, name = Path(database.path), database.db_identifier
    return directory / f"{name}.auth.json", directory / f"{name}.admin.json"


def authority_file(database: Orchestrator) -> Path:
    """Where clients find by whom the certificate of the servers is signed, if they have one."""
    return Path(database.path) / f"{database.db_identifier}.ca.pem"


def planned_credentials(database: Orchestrator) -> Credentials:
    """Without secrets, for a preview."""
    certificate = Certificate("", authority_file(database)) if database.tls else None
    return Credentials("", certificate=certificate)


def planned_environment(database: Orchestrator, *, on_nodes: bool = False) -> dict[str, str]:
    """The variables by which models will find a database that is not started yet, for a preview.

    :param on_nodes: its shards do not run on this host
    """
    host = "<its node>" if on_nodes else listen_hosts(database.interface)[0]
    ports: list[object] = [*database.ports] or ["<chosen at the start>"] * database.num_shards
    auth, _ = secret_files(database)
    addresses = [f"{host}:{port}" for port in ports]
    clustered = database.num_shards > 1
    authority = authority_file(database) if database.tls else None
    return database_environment(
        database.db_identifier, addresses, auth, clustered=clustered, authority=authority
    )
