"""Where a shard can listen on its node: addresses, and a port that nobody else has."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import socket
import struct
import sys

from smartcore.launch.child import Failure

TYPE_CHECKING = False  # `typing` takes long to import
if TYPE_CHECKING:
    from smartcore.launch.shard import Spec

_SIOCGIFADDR = 0x8915  # netdevice(7)
_LISTENS = "0A"  # in /proc/net/tcp


class Listening:
    """Finds where a shard listens, and keeps its port from others until its server takes it.

    :param name: of the shard
    :param node: where it is
    """

    def __init__(self, spec: Spec, name: str, node: str) -> None:
        self.addresses: list[str] = []
        self._spec, self._name, self._node = spec, name, node
        self._held: list[socket.socket] = []

    def find_addresses(self) -> None:
        """See where it can listen: the addresses of interfaces, or that of the node's name.

        :raises Failure: there is no such interface, or the name has no address
        """
        self.addresses = list(self._spec.get("addresses", ()))
        if self.addresses:
            return
        names = self._spec["interfaces"]
        found = [self._interface(name) for name in names] or [self._own()]
        self.addresses = list(dict.fromkeys(found))

    def _own(self) -> str:
        for name in dict.fromkeys((self._node, os.uname().nodename)):
            with contextlib.suppress(OSError):
                return socket.gethostbyname(name)
        raise Failure(
            f"{self._name}: the name {self._node} of this node has no address; give the database an"
            f" interface= ({', '.join(_interfaces())})"
        )

    def _interface(self, name: str) -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                request = struct.pack("256s", name.encode()[:15])
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, request)
            except OSError:
                raise Failure(
                    f"{self._name}: no network interface {name!r} with an IPv4 address on"
                    f" {self._node}; there are: {', '.join(_interfaces())}"
                ) from None
        return socket.inet_ntoa(answer[20:24])  # struct sockaddr_in, after family and port

    def choose_port(self) -> int:
        """A port that nobody has, kept from others until :meth:`release`.

        :raises Failure: the port that was asked for is in use, or none is free
        """
        if self._spec["port"]:
            self._check(self._spec["port"])
            return self._spec["port"]
        lowest, highest = self._spec["ports"]
        width = highest - lowest
        begin = random.randrange(width)
        for step in range(width):
            port = lowest + (begin + step) % width
            if self._hold(port):
                return port
        where = f"{self._node} ({', '.join(self.addresses)})"
        raise Failure(f"{self._name}: no free port between {lowest} and {highest} on {where}")

    def _hold(self, port: int) -> bool:
        for address in self.addresses:
            for offset in self._spec["offsets"]:
                # Bound, without listening and without SO_REUSEADDR: nobody else can have it.
                holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                self._held.append(holder)
                try:
                    holder.bind((address, port + offset))
                except OSError as error:
                    self.release()
                    if error.errno == errno.EADDRINUSE:
                        return False
                    raise Failure(
                        f"{self._name}: nobody can listen at {address} on {self._node}:"
                        f" {error.strerror}"
                    ) from None
        return True

    def _check(self, port: int) -> None:
        for address in self.addresses:
            for offset in self._spec["offsets"]:
                with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                    # As servers do; it lets connections in TIME_WAIT alone.
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    try:
                        probe.bind((address, port + offset))
                        probe.listen(1)
                    except OSError as error:
                        taken = error.errno == errno.EADDRINUSE
                        raise Failure(
                            f"{self._name}: port {port + offset} of {address} on {self._node}:"
                            f" {error.strerror}{_owner(address, port + offset) if taken else ''};"
                            f" {self._advice()}"
                        ) from None

    def _advice(self) -> str:
        if "addresses" in self._spec:
            return "clients look for it there, so start the database anew if that stays so"
        return "choose another port, or None for a free one"

    def release(self) -> None:
        """Let others have the port that was chosen."""
        for holder in self._held:
            holder.close()
        self._held.clear()


def _owner(address: str, port: int) -> str:
    from pathlib import Path

    # As /proc/net/tcp has it (man 5 proc): whose a socket is stands there for all to see, which
    # process has it only for its user.
    found: list[list[str]] = []
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            rows = [line.split() for line in Path("/proc/net", table).read_text().splitlines()]
            found += [row for row in rows[1:] if row[1].endswith(f":{port:04X}")]
    # Others may have this port of another address; who listens at all addresses comes next.
    shown = f"{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}:{port:04X}"
    for row in sorted(found, key=lambda row: (row[3] != _LISTENS, row[1] != shown)):
        return f" by {_holder(f'socket:[{row[9]}]')} of the user with uid {row[7]}"
    return ""


def _holder(link: str) -> str:
    from pathlib import Path

    for process in Path("/proc").glob("[0-9]*"):
        # Processes end meanwhile, and those of others do not show what they have open.
        with contextlib.suppress(OSError):
            if any(str(file.readlink()) == link for file in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return "a process"


def _interfaces() -> list[str]:
    return [name for _, name in socket.if_nameindex()]
