"""A client of a few lines for the servers' protocol (RESP2): importing a real one takes longer than
starting a server.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import BinaryIO, Self

from smartcore.spec import Credentials, ShardAddress, ShardPlan
from smartcore.spec.addresses import listener_of


class ProtocolError(Exception):
    """What answers does not speak the protocol."""


class Refusal(str):
    """An error that the server replied, in its own words."""

    __slots__ = ()


Reply = str | int | None | Refusal | list["Reply"]


def encode(*words: str) -> bytes:
    """One command as it is sent."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word.encode("utf-8", "surrogateescape")
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def decode(stream: BinaryIO) -> Reply:
    """Read one reply.

    :raises ProtocolError: it is none
    :raises EOFError: the server closed the connection
    """
    line = stream.readline(65536)
    if not line:
        raise EOFError
    kind, text = line[:1], line[1:].rstrip(b"\r\n").decode("utf-8", "surrogateescape")
    if kind == b"+":
        return text
    if kind == b"-":
        return Refusal(text)
    if kind in {b":", b"$", b"*"} and text.removeprefix("-").isdecimal():
        return _sized(kind, int(text), stream)
    raise ProtocolError(f"it answers {line[:40]!r}")


def _sized(kind: bytes, number: int, stream: BinaryIO) -> Reply:
    if kind == b":":
        return number
    if number < 0:
        return None
    if kind == b"*":
        return [decode(stream) for _ in range(number)]
    data = stream.read(number + 2)
    if len(data) < number + 2:
        raise EOFError
    return data[:-2].decode("utf-8", "surrogateescape")


def login(credentials: Credentials) -> tuple[str, str, str]:
    """The command by which smartcore itself is let in; a secret."""
    return "AUTH", credentials.admin, credentials.admin_password


def connect(shard: ShardPlan, timeout: timedelta) -> Connection:
    """A connection to one shard, encrypted if the shard has a certificate.

    :raises OSError: nobody listens there
    :raises ProtocolError: another user does, who is told no password, or somebody who has another
        certificate
    """
    address, certificate = shard.address, shard.credentials.certificate
    if certificate is not None:
        return Connection(address, timeout, certificate.authority)
    connection = Connection(address, timeout)
    owner = listener_of(address.host, address.port) if address.port else None
    if owner not in {None, os.geteuid()}:
        connection.close()
        raise ProtocolError(f"it belongs to the user {owner}")
    return connection


class Connection:
    """A connection to one server.

    :param timeout: for connecting, and for each read and write
    :param authority: who must have signed the server's certificate, as PEM; empty for no TLS
    :raises OSError: nobody listens there
    :raises ProtocolError: what listens has not the certificate that it should have
    """

    def __init__(self, address: ShardAddress, timeout: timedelta, authority: str = "") -> None:
        seconds = timeout.total_seconds()
        if address.port:
            self._socket = socket.create_connection((address.host, address.port), seconds)
            if authority:
                self._secure(authority)
        else:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(seconds)
            try:
                self._socket.connect(address.socket)
            except OSError:
                self._socket.close()
                raise
        self._stream = self._socket.makefile("rb")

    def _secure(self, authority: str) -> None:
        import ssl

        from .tls import secure

        plain = self._socket
        try:
            self._socket = secure(plain, authority)
        except OSError as error:
            plain.close()
            closed = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
            if isinstance(error, ssl.SSLError) and not closed:
                raise ProtocolError(f"it does not speak TLS as it should ({error})") from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._stream.close()
        self._socket.close()

    def ask(self, *commands: Sequence[str]) -> list[Reply]:
        """Send commands at once and read the reply to each.

        :raises OSError: the connection broke, or the server did not answer in time
        :raises EOFError: the server closed the connection
        :raises ProtocolError: what answers is no such server
        """
        self.send(*commands)
        return [self.receive() for _ in commands]

    def send(self, *commands: Sequence[str]) -> None:
        """Send commands at once; their replies are still to be read."""
        self._socket.sendall(b"".join(encode(*command) for command in commands))

    def receive(self) -> Reply:
        """Read one reply; the errors are those of :meth:`ask`."""
        return decode(self._stream)
