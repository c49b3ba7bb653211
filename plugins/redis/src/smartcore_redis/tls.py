"""TLS: whether a server has it, and the client's side of a connection."""

from __future__ import annotations

import re
import socket
import ssl
from datetime import timedelta
from functools import cache, lru_cache
from pathlib import Path

from smartcore.error import ShellError, UnsupportedError
from smartcore.spec import Server, run_command

_PROBE_TIMEOUT = timedelta(seconds=10)
_CLUSTER_PORT_SINCE = 7
# All that have TLS complain of this: it is the only thing that is wrong with our question.
_WANTS_CERTIFICATE = re.compile(r"\btls-cert-file\b")


def check_tls(server: Server, *, clients: bool) -> None:
    """:raises UnsupportedError: the server was built without TLS, or has it for its clients only"""
    if not _has_tls(server.executable, Path(server.executable).stat().st_mtime_ns):
        raise UnsupportedError(
            f"{server.executable} ({server.version}) was built without TLS; use a server that has"
            " it"
        )
    # Without a port for encrypted clients, older ones do not know where to meet one another.
    if not clients and int(server.version.partition(".")[0]) < _CLUSTER_PORT_SINCE:
        raise UnsupportedError(
            f"{server.executable} ({server.version}) has TLS between servers only together with"
            f" tls=True; use version {_CLUSTER_PORT_SINCE} or newer"
        )


@cache
def _has_tls(executable: str, changed: int) -> bool:
    # ``changed`` is there for the cache: a program that was replaced is asked again. Without a
    # certificate no server listens: it ends at once, and says what it lacks.
    question = [executable, "--port", "0", "--tls-port", "1", "--bind", "127.0.0.1"]
    try:
        answer = run_command(question, timeout=_PROBE_TIMEOUT)
    except ShellError:
        return False
    return _WANTS_CERTIFICATE.search(answer.stdout + answer.stderr) is not None


def secure(connection: socket.socket, authority: str) -> ssl.SSLSocket:
    """Speak TLS from here on.

    :param authority: who must have signed the server's certificate, as PEM
    :raises ssl.SSLError: the server does not speak TLS, or has another certificate
    """
    return _context(authority).wrap_socket(connection)


@lru_cache(maxsize=16)
def _context(authority: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority)
    # The authority has signed one certificate and no other: whoever has the key to it is the
    # database, whatever the address.
    context.check_hostname = False
    return context
