"""The configuration files of one shard: pure text. Passwords are in them as hashes only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from smartcore.error import InputError, ReservedKeywordError
from smartcore.spec import Certificate, Credentials, File, Server, ShardPlan

SLOTS = 16384
# Sizes as memtoull of the servers reads them.
UNITS = {"k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3}
BUFFER = "client-query-buffer-limit"
# For the rest of a command with a large value, and the beginning of the next one.
_ROOM = 2**20
# The shards of a cluster talk to one another on a second port, that much above their own.
BUS_OFFSET = 10000

# What the models' user may do besides everything that is neither administration nor dangerous:
# the server-level commands of SmartRedis and of redis-py. Spelled so that 6.2 understands it, too,
# where only CLIENT, CLUSTER and CONFIG as a whole had categories.
_USER_MAY = (
    "+flushdb +info +keys +sort +save +lastsave +config|get"
    " +cluster|info +cluster|nodes +cluster|slots +cluster|shards +cluster|myid"
    " +cluster|keyslot +cluster|countkeysinslot +cluster|getkeysinslot"
    " +client|id +client|getname +client|setname +client|reply +client|tracking +client|caching"
)

RESERVED = frozenset(
    {
        "aclfile",
        "appendfilename",
        "bind",
        "cluster-announce-ip",
        "cluster-config-file",
        "cluster-enabled",
        "cluster-port",
        "daemonize",
        "dbfilename",
        "dir",
        "include",
        "logfile",
        "masterauth",
        "masteruser",
        "pidfile",
        "port",
        "primaryauth",
        "primaryuser",
        "protected-mode",
        "requirepass",
        "supervised",
        "tls-auth-clients",
        "tls-auth-clients-user",
        "tls-ca-cert-dir",
        "tls-ca-cert-file",
        "tls-cert-file",
        "tls-client-cert-file",
        "tls-client-key-file",
        "tls-client-key-file-pass",
        "tls-cluster",
        "tls-key-file",
        "tls-key-file-pass",
        "tls-port",
        "tls-replication",
        "unixsocket",
        "unixsocketperm",
        "user",
    }
)
"""Directives that a shard's plan decides, or by which its protection could be lost."""


def check_directive(name: str) -> None:
    """:raises InputError: not the name of a directive
    :raises ReservedKeywordError: the plan of a shard decides this directive
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name):
        raise InputError(f"{name!r} cannot be the name of a database's setting")
    if name.lower() in RESERVED:
        raise ReservedKeywordError(
            f"{name!r} is set by smartcore itself and cannot be given as a setting of the database"
        )


def quoted(text: str) -> str:
    """A text as one word of a configuration file.

    Format: ``sdssplitargs`` of the servers; in double quotes ``\\xHH`` is a byte.
    """
    escaped = "".join(
        f"\\x{byte:02x}" if byte < 32 or byte in b'"\\' else chr(byte)
        for byte in text.encode("utf-8", "surrogateescape")
    )
    return '"' + escaped.encode("latin-1").decode("utf-8", "surrogateescape") + '"'


def password_hash(password: str) -> str:
    """A password as ACL rules take it: ``#`` and its SHA-256 (ACL SETUSER)."""
    return "#" + hashlib.sha256(password.encode()).hexdigest()


def users(credentials: Credentials) -> Iterator[str]:
    """The ``user`` directives of both users."""
    secret = "nopass" if credentials.open else password_hash(credentials.password)
    yield f"user {credentials.user} reset on {secret} ~* &* +@all -@admin -@dangerous {_USER_MAY}"
    admin_secret = password_hash(credentials.admin_password)
    yield f"user {credentials.admin} reset on {admin_secret} ~* &* +@all"


def conf_path(shard: ShardPlan) -> File:
    """The configuration file's place, without its text."""
    return File(shard.directory / f"{shard.name}.conf", "")


def own_certificate(shard: ShardPlan) -> Certificate | None:
    """What a shard shows, to clients or to other shards only; None without TLS."""
    return shard.credentials.certificate or shard.credentials.peers


def pem_path(shard: ShardPlan) -> Path:
    """Where a shard finds its certificate, the key to it, and who signed it."""
    return shard.directory / f"{shard.name}.pem"


def data_path(shard: ShardPlan) -> Path:
    """The file that a server writes its data to, and reads at its start."""
    return shard.directory / f"{shard.name}.rdb"


def nodes_name(shard: ShardPlan) -> str:
    """Name of the file in which a clustered server keeps what it knows of the cluster."""
    return f"nodes-{shard.name}.conf"


def conf_text(server: Server, shard: ShardPlan) -> str:
    """The configuration of one shard.

    The user's own file is read before everything that must hold, and after what is only a default.

    :raises ReservedKeywordError: an option that is not free to choose
    """
    return "\n".join([*_lines(server, shard), ""])


def _lines(server: Server, shard: ShardPlan) -> Iterator[str]:
    address = shard.address
    hosts = [host for host in (address.host, *shard.further_hosts) if host]
    yield "# written by smartcore at each start"
    yield 'save ""'
    if server.conf:
        yield f"include {quoted(server.conf)}"
    for name, value in shard.options.items():
        yield from option_lines(name, value)
    yield f"bind {' '.join(hosts) or '127.0.0.1'}"
    if own_certificate(shard):
        yield from _encrypted(shard)
    else:
        yield f"port {address.port}"
    yield f"protected-mode {_protected(shard.credentials, hosts)}"
    if address.socket:
        yield f"unixsocket {quoted(address.socket)}"
        yield f"unixsocketperm {shard.socket_permissions:o}"
    yield f"dir {quoted(str(shard.directory))}"
    yield f"dbfilename {quoted(data_path(shard).name)}"
    yield f"appendfilename {quoted(shard.name + '.aof')}"
    yield "daemonize no"
    yield "supervised no"
    yield 'pidfile ""'
    yield 'logfile ""'
    if shard.clustered:
        yield "cluster-enabled yes"
        yield f"cluster-config-file {quoted(nodes_name(shard))}"
        yield f"cluster-announce-ip {address.host}"
    # What the user's own file may say here has no effect, but models could read it.
    yield 'requirepass ""'
    yield 'masterauth ""'
    yield from users(shard.credentials)


def option_lines(name: str, value: str) -> list[str]:
    """The lines that set one directive, whatever the lines before them say.

    :raises InputError: a name that is not free to choose
    """
    check_directive(name)
    line, before = f"{name} {_words(value)}", []
    if name.lower() == "save":
        before = ['save ""']  # 6.2 adds its lines up
    elif name.lower() == "proto-max-bulk-len":
        before = [f"{BUFFER} {buffer_for(value)}"]
    return [*before, line]


def buffer_for(value: str) -> int:
    """How many bytes a connection's buffer must hold for the largest values to pass through it.

    :param value: of ``proto-max-bulk-len``
    """
    match = re.fullmatch(r"(\d+)([kmg]b?|b)?", value.strip().lower())
    size = int(match[1]) * UNITS.get(match[2] or "b", 1) if match else 0
    return max(size + _ROOM, 2**30)  # the servers' own default


def _encrypted(shard: ShardPlan) -> Iterator[str]:
    port = shard.address.port
    clients = shard.credentials.certificate is not None
    yield f"port {0 if clients else port}"
    yield f"tls-port {port if clients else 0}"
    pem = quoted(str(pem_path(shard)))
    # One file has all three; who reads one kind passes over the others.
    yield f"tls-cert-file {pem}"
    yield f"tls-key-file {pem}"
    yield f"tls-ca-cert-file {pem}"
    # Clients prove who they are by password. The shards of a cluster, whose second port asks for
    # none, must have the certificate there.
    yield "tls-auth-clients no"
    if clients:
        yield "tls-replication yes"
    if shard.clustered:
        yield "tls-cluster yes"
    if not clients:
        # It would be so far above the port for encrypted clients, which is none.
        yield f"cluster-port {port + BUS_OFFSET}"


def _words(value: str) -> str:
    # "60 1" is two words, as the user of CONFIG SET would write it; '' is one.
    return " ".join(quoted(word) for word in value.split()) or '""'


def _protected(credentials: Credentials, hosts: list[str]) -> str:
    # Protected mode turns away clients of other hosts that need no password; who opened a database
    # on another interface than the loopback wants just those.
    far = any(not host.startswith("127.") for host in hosts)
    return "no" if credentials.open and far else "yes"


def node_id(shard: ShardPlan, index: int) -> str:
    """The cluster's name for the shard at ``index``: the same in the files of all of them, and
    another one in every other cluster.
    """
    seed = f"{shard.credentials.admin_password} {shard.peers[index]} {index}"
    return hashlib.sha256(seed.encode()).hexdigest()[:40]


def slot_range(index: int, count: int) -> tuple[int, int]:
    """First and last hash slot of a shard; as even as can be."""
    return index * SLOTS // count, (index + 1) * SLOTS // count - 1


def nodes_text(shard: ShardPlan) -> str:
    """The cluster as its shards know it at their start, so that nobody has to introduce them.

    Format: CLUSTER NODES (id, ip:port@bus, flags, primary, ping, pong, epoch, link, slots), and
    the variables in the last line. Epochs must differ. If shards encrypt what they tell one
    another, the port is that for encrypted clients; the other one they tell one another.
    """
    plain = shard.credentials.peers is not None and shard.credentials.certificate is None
    count = len(shard.peers)
    lines = []
    for index, peer in enumerate(shard.peers):
        flags = "myself,master" if index == shard.index else "master"
        first, last = slot_range(index, count)
        bus, port = peer.port + BUS_OFFSET, 0 if plain else peer.port
        lines.append(
            f"{node_id(shard, index)} {peer.host}:{port}@{bus} {flags} - 0 0 {index + 1}"
            f" connected {first}-{last}"
        )
    return "\n".join([*lines, f"vars currentEpoch {count} lastVoteEpoch 0", ""])
