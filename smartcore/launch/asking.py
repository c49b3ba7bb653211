"""Asks a server whether it serves, from a program that must start quickly."""

# Nothing that takes long to import: no pathlib, subprocess, dataclasses.
# ruff: noqa: PTH123

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable

_ASK_TIMEOUT = 1.0
_LISTEN = "0A"  # TCP_LISTEN of the kernel's tcp_states.h

TYPE_CHECKING = False  # `typing` takes long to import
if TYPE_CHECKING:
    from typing import TypedDict

    from smartcore import spec

    class Question(TypedDict):
        """What to send, and how to know the answer: as :class:`smartcore.spec.Ready`."""

        send: str
        expect: str
        holds: list[str]
        ends: str
        authority: str


class Ready:
    """How to see that a sidecar serves."""

    __slots__ = (
        "authority",
        "ends",
        "expect",
        "holds",
        "host",
        "port",
        "send",
        "socket",
        "timeout",
    )

    def __init__(
        self,
        host: str,
        port: int,
        socket: str,
        send: str,
        expect: str,
        timeout: float,
        holds: Iterable[str] = (),
        ends: str = "",
        authority: str = "",
    ) -> None:
        self.host, self.port, self.socket, self.timeout = host, port, socket, timeout
        self.authority = authority
        # Bytes travel through JSON as Latin-1.
        self.send, self.expect = send.encode("latin-1"), expect.encode("latin-1")
        self.holds, self.ends = [text.encode("latin-1") for text in holds], ends.encode("latin-1")

    def __str__(self) -> str:
        return self.socket or f"{self.host}:{self.port}"


def question_of(ready: spec.Ready) -> Question:
    """A question as programs on nodes read it."""
    # Bytes travel through JSON as Latin-1.
    return {
        "send": ready.send.decode("latin-1"),
        "expect": ready.expect.decode("latin-1"),
        "holds": [part.decode("latin-1") for part in ready.holds],
        "ends": ready.ends.decode("latin-1"),
        "authority": ready.authority,
    }


def serves(ready: Ready) -> bool:
    """Ask once."""
    return ask(ready) is not None


def ask(ready: Ready) -> bytes | None:
    """Ask once; return the answer, None if it is not the one that is expected."""
    try:
        if ready.port:
            connection = socket.create_connection((ready.host, ready.port), _ASK_TIMEOUT)
        else:
            connection = socket.socket(socket.AF_UNIX)
        with connection:
            connection.settimeout(_ASK_TIMEOUT)
            if not ready.port:
                connection.connect(ready.socket)
            if not ready.authority:
                ours = _is_ours(ready)
                return _answer(ready, connection) if ours else None
            with secure(connection, ready.authority) as encrypted:
                return _answer(ready, encrypted)
    except OSError:
        return None


def _is_ours(ready: Ready) -> bool:
    """False if somebody else listens there: passwords are not for him. See proc_pid_net(5)."""
    if not ready.port:
        return True
    try:
        (host,) = struct.unpack("=I", socket.inet_aton(ready.host))
        wanted = {f"{host:08X}:{ready.port:04X}", f"{0:08X}:{ready.port:04X}"}
        with open("/proc/net/tcp", encoding="ascii") as table:
            for line in table:
                fields = line.split(None, 8)
                if fields[3] == _LISTEN and fields[1] in wanted:
                    return int(fields[7]) == os.geteuid()
    except (OSError, IndexError, ValueError):
        return True  # no address, or no such table here
    return True


def _answer(ready: Ready, connection: socket.socket) -> bytes | None:
    connection.sendall(ready.send)
    answer = b""
    while len(answer) < len(ready.expect) or not answer.endswith(ready.ends):
        chunk = connection.recv(4096)
        answer += chunk
        if not chunk or not answer.startswith(ready.expect[: len(answer)]):
            return None
    return answer if all(part in answer for part in ready.holds) else None


def secure(connection: socket.socket, authority: str) -> socket.socket:
    """Speak TLS from here on.

    :param authority: who must have signed the certificate that the other side shows, as PEM, and
        has signed no other: so its address is not looked at
    :raises OSError: it shows another one, or does not speak TLS
    """
    import ssl

    context = ssl.create_default_context(cadata=authority)
    context.check_hostname = False
    return context.wrap_socket(connection)
