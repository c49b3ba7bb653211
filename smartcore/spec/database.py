"""The database contract: what is peculiar to one kind of server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from smartcore.error import UnsupportedError

from .work import Command


@dataclass(frozen=True, slots=True)
class Server:
    """A server program that was found.

    :param executable: absolute path
    :param version: as the program says
    :param source: how it was found: a setting, a variable's name, ``PATH``, or the distribution
        that bundles it
    :param cli: absolute path of its command-line client, or empty
    :param conf: absolute path of the user's own configuration, which is read first, or empty
    """

    executable: str
    version: str
    source: str
    cli: str = ""
    conf: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the servers of one database show to prove who they are, in PEM (RFC 7468).

    :param authority: certificate of the authority that signed theirs, and nothing else: clients
        need not look at addresses
    :param file: absolute path of the file in which clients find ``authority``
    :param certificate: the servers' own; not known to who only connects, as is ``key``
    :param key: the private key to it: a secret
    """

    authority: str
    file: Path
    certificate: str = ""
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who may do what with one experiment's databases. Secrets: never printed, never on a command
    line.

    :param admin: name of the user that smartcore itself uses; may do all
    :param admin_password: its password
    :param user: name of the user that models use; may not administrate
    :param password: its password
    :param open: clients that send no password are let in as ``user``
    :param certificate: connections are encrypted, and servers prove to clients with it who they
        are; None for plain connections
    :param peers: the servers of a cluster prove to one another with it who they are; None if they
        take anybody for one of them
    """

    admin: str
    admin_password: str = field(default="", repr=False)
    user: str = "default"
    password: str = field(default="", repr=False)
    open: bool = False
    certificate: Certificate | None = None
    peers: Certificate | None = None


@dataclass(frozen=True, slots=True)
class ShardAddress:
    """Where one shard listens: TCP if ``port`` is not 0, and a unix socket if ``socket`` is not
    empty.
    """

    host: str = ""
    port: int = 0
    socket: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.port else f"unix://{self.socket}"


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """One shard to be started.

    :param name: ``<identifier>_<index>``
    :param directory: absolute path; the shard's working directory
    :param address: where it listens
    :param peers: addresses of all shards, itself included, in order; one for a standalone server
    :param index: its place in ``peers``
    :param credentials: who may connect
    :param options: directives of the server's configuration, ``name -> value``
    :param socket_permissions: mode of the unix socket, e.g. 0o700
    :param further_hosts: addresses on which it listens besides that of ``address``
    """

    name: str
    directory: Path
    address: ShardAddress
    peers: tuple[ShardAddress, ...]
    index: int
    credentials: Credentials
    options: Mapping[str, str] = field(default_factory=dict)
    socket_permissions: int = 0o700
    further_hosts: tuple[str, ...] = ()

    @property
    def clustered(self) -> bool:
        """True if this is one shard of several."""
        return len(self.peers) > 1


@dataclass(frozen=True, slots=True)
class Ready:
    """A question to a server, for instance whether it serves: connect, send, and compare the first
    bytes of the answer.

    :param host: TCP host, empty for a unix socket
    :param port: TCP port, 0 for a unix socket
    :param socket: absolute path of a unix socket
    :param send: bytes to send after connecting; may hold a password
    :param expect: bytes with which the answer must begin
    :param holds: what must be in it besides
    :param ends: bytes with which the whole answer ends, if ``holds`` are looked for in it
    :param timeout: how long it may take until it serves
    :param authority: speak TLS, and only to who has a certificate of this authority (PEM); empty
        for a plain connection
    """

    host: str = ""
    port: int = 0
    socket: str = ""
    send: bytes = field(default=b"", repr=False)
    expect: bytes = b""
    holds: tuple[bytes, ...] = ()
    ends: bytes = b""
    timeout: timedelta = timedelta(seconds=30)
    authority: str = ""


@dataclass(frozen=True, slots=True)
class ShardStatistics:
    """What one running shard says about itself. Where it does not answer, or does not tell, there
    are zeros.

    :param name: the shard
    :param problem: why nothing is known, empty if it answered
    :param memory: bytes that it uses
    :param memory_peak: the most bytes that it ever used
    :param memory_limit: bytes that it may use, 0 for no limit
    :param memory_host: bytes that its host has
    :param keys: how many it holds
    :param clients: connections, without the one that asks
    :param commands: how many it has served since its start, those that ask included
    :param ops_per_second: commands of the last moment, as the server itself measures them
    :param hits: reads since its start that found their key
    :param misses: reads since its start that did not
    :param evicted: keys that went since its start because the memory was full
    :param received: bytes from clients since its start
    :param sent: bytes to clients since its start
    :param uptime: since its start
    :param saves: it writes its data to disk now and then, and when it ends
    :param saved: when it last did so since its start, None if never
    :param save_problem: why the last attempt to do so failed, empty if it did not
    :param unsaved: changes since then
    :param data: file that it writes its data to; a directory if it writes each change at once
    :param role: of replicated servers: which part it has
    :param cluster: of a clustered one: how the cluster stands in its view, e.g. ``ok``
    """

    name: str
    problem: str = ""
    memory: int = 0
    memory_peak: int = 0
    memory_limit: int = 0
    memory_host: int = 0
    keys: int = 0
    clients: int = 0
    commands: int = 0
    ops_per_second: float = 0.0
    hits: int = 0
    misses: int = 0
    evicted: int = 0
    received: int = 0
    sent: int = 0
    uptime: timedelta = timedelta()
    saves: bool = False
    saved: datetime | None = None
    save_problem: str = ""
    unsaved: int = 0
    data: Path | None = None
    role: str = ""
    cluster: str = ""

    @property
    def answered(self) -> bool:
        """True if the numbers are its own."""
        return not self.problem


@dataclass(frozen=True, slots=True)
class Saved:
    """The data of one shard on disk, which it reads when it starts.

    :param path: the file
    :param size: in bytes
    :param written: when it was completed
    """

    path: Path
    size: int
    written: datetime


class DatabaseBackend(ABC):
    """Finds, configures and talks to one kind of server. Processes are started by a launcher, not
    here, and nothing is kept from one call to the next: another process may make the next one.

    The core calls, for each database:

    - before the start: ``find``; ``option`` for each setting, and ``check`` for all; if connections
      are to be encrypted, ``certificate``; ``saved``
    - for the start: ``command`` of each shard. Of those on this host it then asks ``ready`` again
      and again, and puts the question of ``inquiry`` to each. On other hosts it is not known yet
      where they will listen, and a program there puts the questions of ``readiness`` and
      ``inquiry``. ``verify`` judges the answers to the latter. If a shard ends instead: ``explain``
    - while it serves, also from other processes: ``environment``, ``recipe``, ``client``,
      ``statistics``, ``configure``; if a model fails: ``advice``
    - for the end: ``end``, before the launcher's signal; of shards that ended otherwise, ``saved``
      and ``kept_all``
    - for a database next to a model, which starts and ends with it: ``find``, ``check``,
      ``command``, ``readiness``, ``environment``, ``inquiry``; on its node ``verify`` is called, of
      an object that was made for that, without arguments
    - to start shards again that ended, or all after ``shutdown``: ``saved``, then on this host the
      program with the arguments that it had, and on others with those of ``command``; on both with
      the files that are there
    """

    name: str
    cluster_offsets: tuple[int, ...] = ()
    """Further ports that each shard of a cluster opens, as distances above its own: 10000 at the
    most."""

    @abstractmethod
    def find(self, environment: Mapping[str, str], /, *, setting: str = "") -> Server:
        """Find the server program; ``setting`` is a path that the user gave and goes first.

        :raises DatabaseError: where it was looked for, and how to get one
        """

    def certificate(self, server: Server, file: Path, /, *, clients: bool) -> Certificate:
        """Make a certificate for one database, if the server can use it.

        :param file: where clients will find the authority's certificate; not written here
        :param clients: it is for clients, too, not only for the servers among themselves
        :raises UnsupportedError: the server has no TLS, or not for this
        :raises PluginMissingError: what makes certificates is not installed
        """
        raise UnsupportedError(f"databases of the kind {self.name!r} have no TLS")

    @abstractmethod
    def check(self, server: Server, options: Mapping[str, str], /) -> None:
        """Refuse directives that this server does not know, and values that it does not take, as
        far as that can be known before it is started.

        :param options: directives, ``name -> value``
        :raises InputError: naming the directive, and what to do
        """

    @abstractmethod
    def command(self, server: Server, shard: ShardPlan, /) -> Command:
        """The command of one shard, with its configuration files (secrets inside, mode 0600).

        Hosts and ports may be stand-ins: texts that are no address, and numbers larger than any
        port. What they stand for is filled in later wherever they are in arguments and files, as
        decimal numbers; and so are, for clusters, numbers that are one of ``cluster_offsets`` above
        a port.

        Which files there are depends on the shard's name and directory, on whether it is clustered,
        and on which certificates there are: they are removed when nobody needs them any more, and
        none of them holds data.
        """

    @abstractmethod
    def ready(self, shards: Sequence[ShardPlan], timeout: timedelta, /) -> bool:
        """Ask once, quickly, whether all shards answer to our credentials and, if several, form a
        whole cluster.

        Answers False while they do not listen yet. The caller repeats, and watches the processes
        meanwhile.

        :raises DatabaseError: something answers that is not ours
        """

    @abstractmethod
    def readiness(self, shard: ShardPlan, /) -> Ready:
        """What to send to a shard, and what it answers when it serves, as a part of a whole cluster
        if there are several: for who must see it on another node, without this class, and knows
        host and port better.
        """

    @abstractmethod
    def inquiry(self, shard: ShardPlan, /) -> Ready:
        """What to send to a shard that serves, to be told how it took its ``options``; nothing to
        send if there is nothing to ask.

        Whoever asks hands the answer to :meth:`verify`, through files as well: there is no secret
        in it. It is whole when it ends with the question's ``ends``.
        """

    @abstractmethod
    def verify(self, shard: ShardPlan, answer: bytes, /) -> Mapping[str, str]:
        """Judge the answer to :meth:`inquiry`.

        :returns: directives that could not be verified, and why
        :raises DatabaseError: naming a directive that the shard did not take as it was given, what
            was asked for and what the server says
        """

    @abstractmethod
    def configure(self, shards: Sequence[ShardPlan], key: str, value: str, /) -> None:
        """Set one directive on every running shard and read it back. It holds also when a shard is
        started again with the configuration file that it has.

        :raises DatabaseError: the server refuses the name or the value, or is not ours
        """

    @abstractmethod
    def statistics(
        self, shards: Sequence[ShardPlan], timeout: timedelta, /
    ) -> Sequence[ShardStatistics]:
        """Ask all shards at once how they do; one answer for each, in their order.

        Never raises: a shard that does not answer in time, or that is not ours, has its problem.
        The call takes little more than ``timeout``, however many do not answer.
        """

    @abstractmethod
    def saved(self, shard: ShardPlan, /) -> Saved | None:
        """What a shard would read if it were started now; None if there is nothing."""

    @abstractmethod
    def shutdown(self, shards: Sequence[ShardPlan], timeout: timedelta, /) -> None:
        """Let running shards write all their data and end, without a gap in which a client's write
        could be lost.

        :param timeout: for each
        :raises DatabaseError: one does not answer, is not ours, or cannot write; that one goes on,
            with those after it
        """

    def explain(self, shard: ShardPlan, output: str, /) -> str:
        """Why a server ended, and the next step, if what it said last tells; else empty.

        :param output: the end of its output
        """
        return ""

    def kept_all(self, shard: ShardPlan, output: str, /) -> bool:
        """True if a server that has ended says that it wrote all its data before: nothing is lost.

        :param output: the end of its output
        """
        return False

    def advice(self, output: str, /) -> str:
        """The next step for the author of a model that failed, if a refusal of such a server is in
        what it said last; else empty.

        :param output: the end of its output
        """
        return ""

    @abstractmethod
    def option(self, key: str, value: str, /) -> tuple[str, str]:
        """Translate one of the settings ``save``, ``maxmemory``, ``maxmemory-policy``,
        ``maxclients``, ``proto-max-bulk-len``, ``threads`` into this server's directive. Any other
        key is a directive already, and comes back as it is.
        """

    def end(self, shards: Sequence[ShardPlan], timeout: timedelta, /) -> bool:
        """Ask all shards to end, saving what they are configured to save; True if all have agreed.

        Only quicker than the launcher's signal, which follows for those that did not agree. Never
        raises, and tells nothing to a server that is not ours.
        """
        return False

    def environment(self, shards: Sequence[ShardPlan], /) -> Mapping[str, str]:
        """Further variables for models that use this database; most have none."""
        return {}

    def client(self, server: Server, shard: ShardPlan, /) -> Command | None:
        """The server's own command-line client for one shard, or for the whole cluster, logged in
        as the user that models use: the password in its environment, never in its arguments.

        None if there is no such program.
        """
        return None

    def recipe(self, shards: Sequence[ShardPlan], auth_file: Path, /) -> str:
        """Lines of Python that connect as the user that models use; no secrets.

        :param auth_file: the file with user and password
        """
        return ""
