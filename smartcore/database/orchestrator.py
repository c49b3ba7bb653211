"""The description of a database, and its handle while it runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from smartcore.entity import DBNode, EntityList, TelemetryConfiguration
from smartcore.error import DatabaseError, UnsupportedError
from smartcore.spec import DatabaseBackend, Resources, ShardStatistics
from smartcore.spec.values import check_count, check_flag, check_hosts, check_text, parse_walltime

from .arguments import (
    check_argument,
    check_arguments,
    check_batch_only,
    check_further,
    check_identifier,
    check_interface,
    check_port,
    check_shards,
    check_size,
    check_value,
)
from .credentials import read_files
from .live import DEFAULT_IDENTIFIER, LiveDatabase, Placing, node_of

# The name users know and the plugin every installation has; the others are chosen by name.
DEFAULT_BACKEND: Final = "redis"

CHECKPOINT_FILE: Final = "smartcore_db.json"
_ASK_TIMEOUT = timedelta(seconds=1)


class DatabaseTelemetry(TelemetryConfiguration):
    """The switch for the telemetry of one database."""

    on_change: Callable[[], None] | None = None
    """Called after each switch, by who drives it."""

    def _on_enable(self) -> None:
        if self.on_change is not None:
            self.on_change()

    _on_disable = _on_enable


class Orchestrator(EntityList[DBNode]):
    """An in-memory database: one server, or a cluster of several shards.

    Settings made before the start take effect with it; those of a running database are applied to
    every shard, and read back.

    :param path: its directory; None is the current one
    :param port: TCP port of the first shard on each node, others there take those after it; None
        or 0 finds free ones
    :param interface: network interface or interfaces to listen on, clients use the first; None is
        the loopback interface on this host, and the address of the node's own name on another
    :param launcher: name of the launcher
    :param run_command: what places its shards
    :param db_nodes: number of shards: 1, or 3 and more
    :param batch: run it as a batch job
    :param hosts: where to run; shards are spread evenly over them
    :param account: who pays for the batch job
    :param time: the batch job's limit of time as ``HH:MM:SS``
    :param alloc: id of the allocation to run in
    :param single_cmd: on nodes, start all shards with one command: they are one step, and end
        together if one fails. Otherwise each has a step of its own, and survives the others
    :param threads_per_queue: of an inference module, which is not loaded; so are
        ``inter_op_threads``, ``intra_op_threads`` and ``gpus_per_shard``
    :param db_identifier: name by which models tell several databases apart
    :param allow_unauthenticated: let in clients that send no password; None leaves it to
        ``SMARTCORE_DB_ALLOW_UNAUTHENTICATED``
    :param backend: registered name of the kind of server
    :param queue: queue or partition of the batch job
    :param tls: encrypt connections, which clients must ask for; SmartRedis cannot. None encrypts
        only what the shards of a cluster tell one another, where the server can; False nothing
    :param kwargs: ``run_args``, ``cpus_per_shard``; ``shards_per_node`` spreads shards over fewer
        nodes than there are
    :raises UnsupportedError: two shards
    :raises InputError: a value that cannot be used, or an argument that nobody knows
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        port: int | None = None,
        interface: str | list[str] | None = None,
        launcher: str = "local",
        run_command: str = "auto",
        db_nodes: int = 1,
        batch: bool = False,
        hosts: str | list[str] | None = None,
        account: str | None = None,
        time: str | None = None,
        alloc: str | None = None,
        single_cmd: bool = False,
        *,
        threads_per_queue: int | None = None,
        inter_op_threads: int | None = None,
        intra_op_threads: int | None = None,
        db_identifier: str = DEFAULT_IDENTIFIER,
        allow_unauthenticated: bool | None = None,
        backend: str = DEFAULT_BACKEND,
        queue: str | None = None,
        tls: bool | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(check_identifier(db_identifier), path)
        self.port = check_port(port)
        self.interface = check_interface(interface)
        self.launcher = check_text(launcher, "launcher")
        self.run_command = check_text(run_command, "run_command")
        self._shards = check_shards(db_nodes)
        self._batch = check_flag(batch, "batch")
        self._user_hosts = [] if hosts is None else check_hosts(hosts, "hosts")
        self._hosts = list(self._user_hosts)
        check_batch_only(
            self.name, {"account": account, "time": time, "queue": queue}, batch=self._batch
        )
        self.account, self.time, self.alloc, self.queue = account, time, alloc, queue
        self.single_cmd = check_flag(single_cmd, "single_cmd")
        if allow_unauthenticated is not None:
            check_flag(allow_unauthenticated, "allow_unauthenticated")
        self.allow_unauthenticated = allow_unauthenticated
        self.backend = check_text(backend, "backend")
        self.tls = None if tls is None else check_flag(tls, "tls")
        self.further = check_further(
            {
                "threads_per_queue": threads_per_queue,
                "inter_op_threads": inter_op_threads,
                "intra_op_threads": intra_op_threads,
                **kwargs,
            }
        )
        self.options: dict[str, str] = {}
        self.run_args = check_arguments(self.further.get("run_args"))
        self.batch_args: dict[str, str | None] = {}
        self.walltime: str | None = None
        self.cpus: int | None = None
        self._telemetry = DatabaseTelemetry()
        self._live: LiveDatabase | None = None
        self._server: DatabaseBackend | None = None
        self._runs: Callable[[], bool] | None = None
        if "cpus_per_shard" in self.further:
            self.cpus = check_count(self.further["cpus_per_shard"], "cpus_per_shard")
        self.shards_per_node: int | None = None
        if "shards_per_node" in self.further:
            self.shards_per_node = check_count(self.further["shards_per_node"], "shards_per_node")
        if time:
            parse_walltime(time)

    # -- what it is -----------------------------------------------------------------------------

    @property
    def batch(self) -> bool:
        """True if it is to run as a batch job."""
        return self._batch

    @property
    def db_identifier(self) -> str:
        """The name by which clients find it."""
        return self.name

    @property
    def num_shards(self) -> int:
        """How many shards it has."""
        return self._shards

    @property
    def db_nodes(self) -> int:
        """The same as ``num_shards``."""
        return self._shards

    @property
    def checkpoint_file(self) -> str:
        """The file by which another driver finds the running database."""
        return str(Path(self.path) / CHECKPOINT_FILE)

    @property
    def ports(self) -> list[int]:
        """The ports of its shards; empty if they are chosen at the start."""
        if self._live is not None:
            return [shard.address.port for shard in self._live.shards]
        return [] if self.port is None else [self.port + index for index in range(self._shards)]

    @property
    def hosts(self) -> list[str]:
        """Where it runs, or is to run.

        :raises DatabaseError: not known before the start
        """
        if self._live is not None:
            return list(dict.fromkeys(self._live.hosts))
        if not self._hosts:
            raise DatabaseError(f"the hosts of {self.name!r} are not known yet; start it first")
        return list(self._hosts)

    @property
    def placed_on(self) -> list[str]:
        """The hosts that were asked for, none if any will do."""
        return list(self._user_hosts)

    @property
    def telemetry(self) -> DatabaseTelemetry:
        """The switch for its telemetry, its numbers over time; off unless enabled. It may be
        switched while the database runs.
        """
        return self._telemetry

    def resources(self) -> Resources:
        """What one shard needs."""
        return Resources(cpus_per_task=self.cpus)

    @property
    def placing(self) -> Placing:
        """How its shards are put where they run."""
        return Placing(
            self.launcher, self.run_command, dict(self.run_args), self.alloc, self.batch, self.cpus
        )

    # -- while it runs --------------------------------------------------------------------------

    @property
    def live(self) -> LiveDatabase | None:
        """What is known of it while it runs; None before the start and after a stop."""
        return self._live

    def bind(self, live: LiveDatabase, backend: DatabaseBackend) -> None:
        """Note that it runs. Called by who started it."""
        self._live, self._server = live, backend
        self.entities = [node_of(live, step) for step in live.steps]

    def unbind(self) -> None:
        """Note that it does not run any more. Called by who stopped it."""
        self._live = self._server = self._runs = None
        self.entities = []

    def believe(self, runs: Callable[[], bool]) -> None:
        """Let its launcher tell whether it runs. Called by who started it on nodes, which a login
        node may not reach.

        :param runs: True while all of its steps run
        """
        self._runs = runs

    def is_active(self) -> bool:
        """True if every shard answers, and they form a whole cluster. Takes a second at most if one
        does not. Of one on nodes, which this host may not reach: if all that served still run.
        """
        if self._live is None or self._server is None:
            return False
        if self._runs is not None:
            return self._runs()
        try:
            return self._server.ready(self._live.shards, _ASK_TIMEOUT)
        except DatabaseError:
            return False  # somebody else's server is there now

    def statistics(self) -> Sequence[ShardStatistics]:
        """How each shard does; nothing unless it runs. Takes little more than a second if one does
        not answer, which is told in its place.
        """
        live, server = self._live, self._server  # it may be stopped meanwhile
        if live is None or server is None:
            return []
        return server.statistics(live.shards, _ASK_TIMEOUT)

    def get_address(self) -> list[str]:
        """Where its shards listen, as ``host:port``.

        :raises DatabaseError: it was not started, or is not active any more
        """
        if self._live is None:
            raise DatabaseError(f"the database {self.name!r} does not run; start it first")
        if not self.is_active():
            what = "does not answer" if self._runs is None else "has lost shards that were"
            raise DatabaseError(
                f"the database {self.name!r} {what} at {', '.join(self._live.addresses)};"
                f" see its output in {self.path}"
            )
        return self._live.addresses

    # -- settings of the server -----------------------------------------------------------------

    def enable_checkpoints(self, frequency: int) -> None:
        """Write the data to disk every ``frequency`` seconds, if something changed."""
        self._set("save", f"{check_count(frequency, 'frequency')} 1")

    def set_max_memory(self, mem: str) -> None:
        """Limit the memory of each shard, e.g. ``3gb``; ``0`` is no limit."""
        self._set("maxmemory", check_size(mem))

    def set_eviction_strategy(self, strategy: str) -> None:
        """Say what goes when the memory is full, e.g. ``allkeys-lru``, ``noeviction``."""
        self._set("maxmemory-policy", check_text(strategy, "strategy"))

    def set_max_clients(self, clients: int = 50_000) -> None:
        """Limit how many clients each shard serves at a time."""
        self._set("maxclients", str(check_count(clients, "clients")))

    def set_max_message_size(self, size: int = 1_073_741_824) -> None:
        """Limit the size of one value in bytes; at least a megabyte."""
        self._set("proto-max-bulk-len", str(check_count(size, "size", minimum=1024**2)))

    def set_threads(self, threads: int) -> None:
        """Let each shard use that many threads: KeyDB serves clients with all of them, Redis and
        Valkey read and write with them, and run commands in one. Give it as many cores, too, with
        :meth:`set_cpus`.

        :raises DatabaseError: it runs, and its server takes that only before the start
        """
        self._set("threads", str(check_count(threads, "threads")))

    def set_db_conf(self, key: str, value: str) -> None:
        """Set one directive of the server's configuration on every shard.

        Made before the start, a name that the server does not know, and a value that it does not
        take, are refused by the start, before anything is launched.

        :raises DatabaseError: the running server refuses it, in its own words
        """
        self._set(check_text(key, "key"), check_text(value, "value"))

    def _set(self, key: str, value: str) -> None:
        if self._live is not None and self._server is not None:
            directive, given = self._server.option(key, value)
            self._server.configure(self._live.shards, directive, given)
        self.options[key] = value

    # -- settings of the launch -----------------------------------------------------------------

    def set_cpus(self, num_cpus: int) -> None:
        """Give each shard that many cores, where a run command or a batch job places it."""
        self.cpus = check_count(num_cpus, "num_cpus")

    def set_hosts(self, host_list: str | Sequence[str]) -> None:
        """Say where to run."""
        self._user_hosts = check_hosts(host_list)
        self._hosts = list(self._user_hosts)

    def reset_hosts(self) -> None:
        """Forget where it ran; the hosts that were asked for stay."""
        self._hosts = list(self._user_hosts)
        for node in self.entities:
            node.clear_hosts()

    def set_walltime(self, walltime: str) -> None:
        """Limit the batch job's time.

        :raises UnsupportedError: it is to be no batch job
        """
        self._only_batch("set_walltime")
        parse_walltime(walltime)
        self.walltime = walltime

    def set_batch_arg(self, arg: str, value: str | None = None) -> None:
        """Set an argument of the command that submits the batch job.

        :raises UnsupportedError: it is to be no batch job
        """
        self._only_batch("set_batch_arg")
        self.batch_args[check_argument(arg)] = check_value(value)

    def set_run_arg(self, arg: str, value: str | None = None) -> None:
        """Set an argument of the run command that places the shards."""
        self.run_args[check_argument(arg)] = check_value(value)

    def _only_batch(self, method: str) -> None:
        if not self._batch:
            raise UnsupportedError(
                f"{method} is for batch jobs, and the database {self.name!r} is none; make it with"
                " batch=True"
            )

    def remove_stale_files(self) -> None:
        """Delete what an earlier launch left: outputs, configurations, passwords. Data stays.

        :raises DatabaseError: it runs
        """
        if self._live is not None:
            raise DatabaseError(f"the database {self.name!r} is running; stop it first")
        directory = Path(self.path)
        admin = directory / f"{self.name}.admin.json"
        shards = [f"{self.name}_{index}" for index in range(self._shards)]
        names = [f"{each}{suffix}" for each in (self.name, *shards) for suffix in (".out", ".err")]
        names += [f"{self.name}.auth.json", f"{self.name}.ca.pem", CHECKPOINT_FILE]
        given = [file for files in read_files(admin).values() for file in files]
        for path in [*(directory / name for name in names), *given, admin]:
            path.unlink(missing_ok=True)
