"""Addresses of this host: those of its network interfaces, and free ports on them."""

from __future__ import annotations

import errno
import random
import socket
import struct
from collections.abc import Collection, Sequence
from fcntl import ioctl
from pathlib import Path

from smartcore.error import DatabaseError, InputError

# Below the ephemeral range, as are ports that a clustered server opens up to 10000 above its own:
# an outgoing connection of a sibling could have taken one.
LOWEST_PORT = 10000
HIGHEST_PORT = 22000

_LISTEN = "0A"  # TCP_LISTEN of the kernel's tcp_states.h
_SIOCGIFADDR = 0x8915  # netdevice(7)


def interface_names() -> list[str]:
    """Names of this host's network interfaces."""
    return [name for _, name in socket.if_nameindex()]


def interface_address(name: str) -> str:
    """The IPv4 address of a network interface of this host.

    :raises InputError: there is no such interface, or it has no such address; lists those there are
    """
    request = struct.pack("256s", name.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = ioctl(probe, _SIOCGIFADDR, request)
        except OSError as error:
            there = ", ".join(interface_names())
            what = (
                f"network interface {name!r} has no IPv4 address"
                if error.errno == errno.EADDRNOTAVAIL
                else f"no network interface {name!r} on {socket.gethostname()}"
            )
            raise InputError(f"{what}; there are: {there}") from None
    # struct ifreq: the name, then a struct sockaddr_in whose address comes after family and port.
    return socket.inet_ntoa(answer[20:24])


def port_error(host: str, port: int) -> OSError | None:
    """Why nobody could listen on that port now; None if somebody could."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do; it lets connections in TIME_WAIT alone, but not another's listening.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return error
    return None


def listener_of(host: str, port: int) -> int | None:
    """The user whose process listens at an address of this host; None if nobody does here.

    Source: /proc/net/tcp, see proc_pid_net(5).
    """
    try:
        (number,) = struct.unpack("=I", socket.inet_aton(host))
        wanted = {f"{number:08X}:{port:04X}", f"{0:08X}:{port:04X}"}
        with Path("/proc/net/tcp").open(encoding="ascii") as table:
            for line in table:
                fields = line.split(None, 8)
                if fields[3] == _LISTEN and fields[1] in wanted:
                    return int(fields[7])
    except (OSError, IndexError, ValueError):
        return None  # no address, or no such table here
    return None


def free_ports(
    hosts: Sequence[str],
    count: int = 1,
    *,
    offsets: Sequence[int] = (0,),
    taken: Collection[int] = (),
    first: int | None = None,
) -> list[int]:
    """Ports that are free on all ``hosts`` now; somebody else may be quicker, so try again then.

    :param offsets: what else must be free, as distances from each port
    :param taken: ports not to use
    :param first: where to begin to look; None is somewhere at random
    :raises DatabaseError: there are not so many
    """
    width = HIGHEST_PORT - LOWEST_PORT
    begin = random.randrange(width) if first is None else first - LOWEST_PORT
    used = set(taken)
    found: list[int] = []
    for step in range(width):
        port = LOWEST_PORT + (begin + step) % width
        wanted = {port + offset for offset in offsets}
        if wanted & used or any(port_error(host, each) for host in hosts for each in wanted):
            continue
        found.append(port)
        used |= wanted
        if len(found) == count:
            return found
    raise DatabaseError(
        f"no {count} free ports between {LOWEST_PORT} and {HIGHEST_PORT} on {', '.join(hosts)};"
        " give one with port="
    )
