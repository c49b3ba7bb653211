"""Where a database listens: addresses of interfaces, ports that are free, and who has those that
are not.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from smartcore.error import DatabaseError, InputError
from smartcore.launch.owner import describe_process
from smartcore.spec import DatabaseBackend, ShardPlan
from smartcore.spec.addresses import free_ports, interface_address, port_error

LOOPBACK_INTERFACE = "lo"
_HIGHEST = 65535


def listen_hosts(interface: str | Sequence[str] | None) -> list[str]:
    """Addresses of the interfaces; None is the loopback interface.

    :raises InputError: there is no such interface; lists those there are
    """
    names = [interface or LOOPBACK_INTERFACE] if not isinstance(interface, list) else interface
    return list(dict.fromkeys(interface_address(str(name)) for name in names))


def port_offsets(backend: DatabaseBackend, count: int) -> tuple[int, ...]:
    """What one shard of ``count`` needs, as distances from its port."""
    return (0, *backend.cluster_offsets) if count > 1 else (0,)


def choose_ports(
    hosts: Sequence[str], first: int | None, count: int, offsets: Sequence[int] = (0,)
) -> list[int]:
    """The ports of ``count`` shards: free ones, or ``first`` and those after it.

    :param offsets: what each shard needs, as distances from its port
    :raises DatabaseError: one is in use; names it and, where visible, its owner
    :raises InputError: a port is beyond what there is
    """
    if not first:
        return free_ports(hosts, count, offsets=offsets)
    refuse_beyond(first, count, count, offsets)
    ports = list(range(first, first + count))
    for port in ports:
        for offset in offsets:
            for host in hosts:
                _check_port(host, port + offset, port)
    return ports


def refuse_beyond(first: int, on_host: int, count: int, offsets: Sequence[int]) -> None:
    """Refuse a first port from which a host does not have enough.

    :param on_host: how many shards share one host
    :param count: of how many in all
    :param offsets: what each shard needs, as distances from its port
    :raises InputError: a port is beyond what there is
    """
    above = max(offsets)
    last = first + on_host - 1 + above
    if last > _HIGHEST:
        what = f" ({above} above the shard's own)" if above else ""
        raise InputError(
            f"port={first} with {count} shard(s) needs ports up to {last}{what}, and {_HIGHEST} is"
            " the highest; choose a lower one"
        )


def check_ports(shard: ShardPlan, offsets: Sequence[int]) -> None:
    """Refuse to start a shard where somebody else listens now.

    :param offsets: what it needs, as distances from its port
    :raises DatabaseError: names the port and, where visible, its owner
    """
    address = shard.address
    for offset in offsets if address.port else ():
        error = port_error(address.host, address.port + offset)
        if error is not None:
            taken = error.errno == errno.EADDRINUSE
            why = f"in use by {port_owner(address.port + offset)}" if taken else str(error.strerror)
            raise DatabaseError(
                f"{shard.name} cannot come back at {address}, where clients look for it: port"
                f" {address.port + offset} is {why}; it was left alone, end it and try again, or"
                " start the database anew"
            )


def _check_port(host: str, port: int, shard_port: int) -> None:
    error = port_error(host, port)
    if error is None:
        return
    use = "" if port == shard_port else f", which the shard at {shard_port} needs for its cluster,"
    if error.errno == errno.EADDRINUSE:
        raise DatabaseError(
            f"port {port}{use} is in use on {host} by {port_owner(port)}; it was left alone, choose"
            " another port, or None for a free one"
        )
    raise DatabaseError(
        f"nobody can listen on port {port}{use} of {host}: {error.strerror}; choose another port"
    )


def port_owner(port: int) -> str:
    """Who listens on a port of this host, as far as we may see it."""
    import psutil

    unknown = "somebody who cannot be seen from here"
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return unknown
    for connection in connections:
        if connection.laddr and connection.laddr.port == port and connection.pid is not None:
            return describe_process(connection.pid)
    return unknown
