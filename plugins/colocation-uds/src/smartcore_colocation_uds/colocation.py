"""A database next to the application, reached by a unix socket."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence

from smartcore.error import InputError, InputTypeError
from smartcore.spec import Colocation, ColocationRequest, Credentials, ShardAddress

# What SmartRedis clients read in SSDB.
_READABLE = re.compile(r"[a-zA-Z0-9.:,_\-/]*")
_LONGEST = 107  # unix(7): sun_path has 108 bytes, the last of them NUL
_OPTIONS = frozenset({"unix_socket", "socket_permissions"})


class UdsColocation(Colocation):
    """Options: ``unix_socket`` (None makes a name of its own in a directory of mode 0700),
    ``socket_permissions`` (octal digits, as for chmod: 700).
    """

    name = "uds"

    def check(self, options: Mapping[str, object], /) -> None:
        unknown = sorted(set(options) - _OPTIONS)
        if unknown:
            raise InputError(
                f"colocation by unix socket takes no {', '.join(unknown)}; only unix_socket,"
                " socket_permissions"
            )
        _socket(options)
        _mode(options)

    def address(self, request: ColocationRequest, taken: Sequence[ShardAddress], /) -> ShardAddress:
        path = _socket(request.options)
        if not path:
            path = _checked(str(request.runtime / _own_name(request)), _ADVICE)
        if path in {address.socket for address in taken}:
            raise InputError(
                f"the unix socket {path} of {request.model!r} is another model's already; choose"
                " another unix_socket, or None for one of its own"
            )
        return ShardAddress(socket=path)

    def client_address(self, address: ShardAddress, /) -> str:
        return f"unix://{address.socket}"

    def permissions(self, options: Mapping[str, object], credentials: Credentials, /) -> int:
        return _mode(options)


_ADVICE = "set SMARTCORE_RUNTIME_DIR to a directory with a shorter path, or give a unix_socket"


def _own_name(request: ColocationRequest) -> str:
    # One name for one model in one directory; its first letters are for people.
    place = f"{request.directory}\0{request.model}"
    digest = hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
    model = re.sub(r"[^A-Za-z0-9_-]", "_", request.model)[:24]
    return f"{model}-{digest}{request.node and '-'}{request.node}.sock"


def _socket(options: Mapping[str, object]) -> str:
    given = options.get("unix_socket")
    if given is None:
        return ""
    if not isinstance(given, str | os.PathLike):
        raise InputTypeError(f"unix_socket must be a path or None, not {given!r}")
    path = str(os.fspath(given))
    if not path.startswith("/") or path.endswith("/"):
        raise InputError(f"unix_socket={path!r} must be the absolute path of a file")
    return _checked(path, "choose a shorter path or None")


def _checked(path: str, advice: str) -> str:
    if not _READABLE.fullmatch(path):
        raise InputError(
            f"the unix socket {path!r} has characters that clients cannot read; use only letters,"
            " digits and any of . : , _ - /"
        )
    if len(path) > _LONGEST:
        raise InputError(
            f"the path of the unix socket {path!r} has {len(path)} bytes, and sockets can have"
            f" {_LONGEST}; {advice}"
        )
    return path


def _mode(options: Mapping[str, object]) -> int:
    given = options.get("socket_permissions", 700)
    digits = str(given)
    if isinstance(given, bool) or not re.fullmatch("[0-7]{1,3}", digits):
        raise InputError(
            f"socket_permissions={given!r} is no mode; write its octal digits as for chmod, for"
            " example 700"
        )
    return int(digits, 8)
