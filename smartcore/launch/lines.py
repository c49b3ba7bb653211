"""What the keeper hears and says: lines of JSON, over sockets on which it never blocks."""

# The keeper imports this and must be ready in no time.

from __future__ import annotations

import json
import select
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]

# Of a message's bytes, as much as is read at once.
READ = 1 << 18
# A client that leaves so much unread is not listening.
UNREAD = 1 << 26


class Client:
    """One connection: what came in and has no end yet, and what could not be sent yet."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.gone = False
        self._received = bytearray()
        self._unsent = bytearray()

    def receive(self) -> list[Message]:
        """The messages that are complete by now."""
        try:
            data = self.socket.recv(READ)
        except BlockingIOError:
            return []
        except OSError:  # reset: the driver was killed
            data = b""
        self.gone = self.gone or not data
        self._received += data
        if b"\n" not in data:
            return []
        *lines, rest = bytes(self._received).split(b"\n")
        self._received = bytearray(rest)
        return [json.loads(line) for line in lines]

    def send(self, message: Message) -> None:
        """Send, or keep what does not fit for :meth:`flush`."""
        self._unsent += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send as much as fits."""
        try:
            while self._unsent:
                del self._unsent[: self.socket.send(self._unsent)]
        except BlockingIOError:
            self.gone = len(self._unsent) > UNREAD
        except OSError:
            self.gone = True

    @property
    def has_unsent(self) -> bool:
        """True while something waits to be sent."""
        return bool(self._unsent)

    @property
    def interest(self) -> int:
        """What to wait for, as epoll(7) has it."""
        return select.EPOLLIN | (select.EPOLLOUT if self._unsent else 0)


def peer_uid(connection: socket.socket) -> int:
    """Who is at the other end of a connection on this host; SO_PEERCRED in unix(7)."""
    size = struct.calcsize("3i")
    facts = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, uid, _ = struct.unpack("3i", facts)
    return int(uid)
