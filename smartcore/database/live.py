"""What is known of a database that runs, and how models find it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from smartcore.entity import DBNode
from smartcore.servertype import CLUSTERED, STANDALONE
from smartcore.spec import Credentials, Server, ShardAddress, ShardPlan, Step
from smartcore.spec.settings import RunSettings

from .credentials import read_files

DEFAULT_IDENTIFIER = "orchestrator"


@dataclass(frozen=True, slots=True)
class Placing:
    """How shards are put where they run; see the parameters of :class:`Orchestrator`."""

    launcher: str = "local"
    run_command: str = "auto"
    run_args: Mapping[str, str | None] = field(default_factory=dict)
    alloc: str | None = None
    batch: bool = False
    cpus: int | None = None


@dataclass(frozen=True, slots=True)
class LiveDatabase:
    """A database that runs.

    :param identifier: its ``db_identifier``
    :param backend: registered name of its kind of server
    :param server: the program
    :param shards: what was started, in order
    :param steps: how each shard was started, or the one that started all
    :param jobs: the launcher's id of each step, by its name
    :param auth_file: holds the models' user and password
    :param admin_file: holds smartcore's own
    :param environment: further variables for models
    :param nodes: names of the shards' nodes, in order; empty if they run on this host
    :param placing: how its shards are put where they run
    """

    identifier: str
    backend: str
    server: Server
    shards: tuple[ShardPlan, ...]
    steps: tuple[Step, ...]
    auth_file: Path
    admin_file: Path
    jobs: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    nodes: tuple[str, ...] = ()
    placing: Placing = field(default_factory=Placing)

    def step_of(self, index: int) -> Step:
        """The step that a shard is, or is a part of."""
        return self.steps[index if len(self.steps) > 1 else 0]

    @property
    def hosts(self) -> list[str]:
        """Where each shard runs: the names of nodes, or addresses of this host."""
        return list(self.nodes) or [shard.address.host for shard in self.shards]

    @property
    def credentials(self) -> Credentials:
        """Who may do what with it."""
        return self.shards[0].credentials

    @property
    def addresses(self) -> list[str]:
        """Where its shards listen, as clients read it."""
        return [str(shard.address) for shard in self.shards]


def is_step_of(identifier: str, name: str) -> bool:
    """True if a step of this name runs a shard of that database, or all of them."""
    rest = name.removeprefix(identifier)
    index = rest.removeprefix("_")
    return name == identifier or (name != rest != index and index.isdecimal())


def variable(name: str, identifier: str) -> str:
    """The name of a variable for one database: the default one has no suffix."""
    return name if identifier in {"", DEFAULT_IDENTIFIER} else f"{name}_{identifier}"


def database_environment(
    identifier: str,
    addresses: Iterable[str],
    auth_file: Path,
    *,
    clustered: bool,
    authority: Path | None = None,
) -> dict[str, str]:
    """The variables by which a client finds one database.

    ``SSDB`` and ``SR_DB_TYPE`` are those of SmartRedis; ``SMARTCORE_DB_AUTH`` names the file with
    user and password, and ``SMARTCORE_DB_CA``, if connections are encrypted, that with the
    certificate of the authority (PEM) that signed the servers'.
    """
    env = {
        variable("SSDB", identifier): ",".join(addresses),
        variable("SR_DB_TYPE", identifier): CLUSTERED if clustered else STANDALONE,
        variable("SMARTCORE_DB_AUTH", identifier): str(auth_file),
    }
    if authority is not None:
        env[variable("SMARTCORE_DB_CA", identifier)] = str(authority)
    return env


def client_environment(databases: Iterable[LiveDatabase]) -> dict[str, str]:
    """The variables by which models find all these databases; no secrets."""
    env: dict[str, str] = {}
    for live in databases:
        certificate = live.credentials.certificate
        env |= live.environment
        env |= database_environment(
            live.identifier,
            live.addresses,
            live.auth_file,
            clustered=live.shards[0].clustered,
            authority=certificate.file if certificate else None,
        )
    return env


def node_of(live: LiveDatabase, step: Step) -> DBNode:
    """What users see of one of its steps."""
    own = [shard for shard in live.shards if live.step_of(shard.index) is step]
    argv = list(step.command.argv[1:])
    settings = RunSettings(live.server.executable, argv)
    settings.mpmd += [RunSettings(live.server.executable, argv) for _ in own[1:]]
    names = dict.fromkeys((step.name, *(shard.name for shard in own)))
    outputs = [f"{name}{suffix}" for name in names for suffix in (".out", ".err")]
    ports = [shard.address.port for shard in own]
    node = DBNode(step.name, own[0].directory, settings, ports, outputs, live.identifier)
    given = read_files(live.admin_file)
    node.set_files([file for shard in own for file in given.get(shard.name, ())])
    hosts = [live.hosts[shard.index] for shard in own]
    node.set_hosts(list(dict.fromkeys(hosts)))
    node.set_shards([ShardAddress(h, port) for h, port in zip(hosts, ports, strict=True)])
    return node
