"""What a model asks for when it wants a database next to it on its nodes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, auto

from smartcore.error import InputError, InputTypeError, UnsupportedError
from smartcore.log import get_logger
from smartcore.spec.values import check_count, check_flag

from .params import scalar_text

logger = get_logger(__name__)

Pinning = Iterable[int | Iterable[int]]

# What SmartRedis clients accept in SSDB.
_SOCKET = re.compile(r"[a-zA-Z0-9.:,_\-/]*")
_LONGEST_SOCKET = 107  # sun_path in unix(7) has 108 bytes, the last of them NUL
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.\-]*")
_INFERENCE = frozenset({"threads_per_queue", "inter_op_parallelism", "intra_op_parallelism"})


class Reach(StrEnum):
    """How an application reaches the database next to it: names of strategies that plugins
    provide.
    """

    TCP = auto()
    UDS = auto()


# Arguments of one strategy that make no sense as a setting of the server.
_OWN_OPTIONS = {
    "port": Reach.TCP,
    "ifname": Reach.TCP,
    "unix_socket": Reach.UDS,
    "socket_permissions": Reach.UDS,
}


@dataclass(frozen=True, slots=True)
class ColocationSettings:
    """The database that a model has next to it.

    :param strategy: how the model reaches it: the name of a colocation plugin's strategy
    :param options: the arguments that belong to the strategy, as the user gave them
    :param db_cpus: how many cores it gets
    :param pinning: the cores of a node to which it is pinned; None leaves it free
    :param debug: asked for its log, which is always kept
    :param db_identifier: clients find it under this name; empty for the only database
    :param server_options: directives of the server's configuration
    :param inference_options: directives of an inference module, which is not loaded
    """

    strategy: str
    options: Mapping[str, object]
    db_cpus: int = 1
    pinning: tuple[int, ...] | None = None
    debug: bool = False
    db_identifier: str = ""
    server_options: Mapping[str, str] = field(default_factory=dict)
    inference_options: Mapping[str, str] = field(default_factory=dict)


def tcp_options(port: int | None, ifname: str | list[str]) -> dict[str, object]:
    """Check the arguments of ``colocate_db_tcp``."""
    number = None if port is None else check_count(port, "port", minimum=0)
    if number is not None and number > 65535:
        raise InputError(f"port must be at most 65535, not {number}; None picks a free one")
    names = [ifname] if isinstance(ifname, str) else ifname
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise InputTypeError(f"ifname must be a str or a list of str, not {ifname!r}")
    if not names or not all(names):
        raise InputError("ifname names no network interface; use 'lo' for the node's own")
    return {
        "port": number or None,
        "ifname": ifname if isinstance(ifname, str) else list(names),
    }


def uds_options(
    unix_socket: str | os.PathLike[str] | None, socket_permissions: int
) -> dict[str, object]:
    """Check the arguments of ``colocate_db_uds``."""
    digits = str(check_count(socket_permissions, "socket_permissions", minimum=0))
    if not re.fullmatch("[0-7]{1,3}", digits):
        raise InputError(
            f"socket_permissions={socket_permissions} is no mode; write its octal digits as"
            " for chmod, for example 700"
        )
    socket = None if unix_socket is None else _checked_socket(unix_socket)
    return {"unix_socket": socket, "socket_permissions": int(digits)}


def _checked_socket(unix_socket: str | os.PathLike[str]) -> str:
    if not isinstance(unix_socket, str | os.PathLike):
        raise InputTypeError(f"unix_socket must be a path or None, not {unix_socket!r}")
    path = os.fspath(unix_socket)
    if not _SOCKET.fullmatch(path):
        raise InputError(
            f"unix_socket={path!r} has characters that clients cannot read; use only letters,"
            " digits and any of . : , _ - /"
        )
    if not path.startswith("/") or path.endswith("/"):
        raise InputError(f"unix_socket={path!r} must be the absolute path of a file")
    if len(path) > _LONGEST_SOCKET:
        raise InputError(
            f"unix_socket={path!r} has {len(path)} bytes, and sockets can have"
            f" {_LONGEST_SOCKET}; choose a shorter path or None"
        )
    return path


def colocation_settings(
    strategy: Reach,
    options: Mapping[str, object],
    db_cpus: int,
    custom_pinning: Pinning | None,
    debug: bool,
    db_identifier: str,
    further: Mapping[str, object],
) -> ColocationSettings:
    """Check what both ways of colocation share; ``further`` are the server's settings.

    :raises InputError: a value that cannot be used
    :raises InputTypeError: a value of the wrong type
    :raises UnsupportedError: ``limit_app_cpus``
    """
    _refuse_misplaced(strategy, further)
    if not isinstance(db_identifier, str):
        raise InputTypeError(f"db_identifier must be a str, not {db_identifier!r}")
    if not _IDENTIFIER.fullmatch(db_identifier):
        raise InputError(
            f"db_identifier={db_identifier!r} becomes part of a variable's name; use only"
            " letters, digits and any of _ . -"
        )
    cpus = check_count(db_cpus, "db_cpus", minimum=1)
    if "allow_unauthenticated" in further:
        check_flag(further["allow_unauthenticated"], "allow_unauthenticated")
    texts = {name: _option_text(name, value) for name, value in further.items()}
    inference = {name: text for name, text in texts.items() if name in _INFERENCE}
    if inference:
        logger.warning(
            "%s set an inference module, which is not loaded; ignored", ", ".join(inference)
        )
    return ColocationSettings(
        strategy=strategy.value,
        options=dict(options),
        db_cpus=cpus,
        pinning=pinned_cpus(custom_pinning, cpus),
        debug=bool(debug),
        db_identifier=db_identifier,
        server_options={
            name.replace("_", "-"): text for name, text in texts.items() if name not in inference
        },
        inference_options=inference,
    )


def _refuse_misplaced(strategy: Reach, further: Mapping[str, object]) -> None:
    if "limit_app_cpus" in further:
        raise UnsupportedError(
            "limit_app_cpus is not supported: the application keeps its own pinning;"
            " leave it out and pin the database with custom_pinning"
        )
    if "tls" in further:
        raise UnsupportedError(
            "tls is not supported for a colocated database: what it is told does not leave the"
            " node; leave it out, or use a database of its own (create_database(tls=True))"
        )
    for name in further:
        owner = _OWN_OPTIONS.get(name)
        if owner is not None:
            raise InputError(f"colocate_db_{strategy} takes no {name}; use colocate_db_{owner}")


def _option_text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = scalar_text(value)
    if text is None:
        raise InputTypeError(
            f"{name} is passed to the server and must be a str, int, float or bool, not {value!r}"
        )
    return text


def pinned_cpus(custom_pinning: Pinning | None, db_cpus: int) -> tuple[int, ...] | None:
    """The cores for the database, sorted; None leaves it free.

    :param custom_pinning: None for the first ``db_cpus`` cores, nothing in it for no pinning,
        else numbers of cores and iterables of such
    """
    if custom_pinning is None:
        return tuple(range(db_cpus))
    cpus: set[int] = set()
    for item in _iterated(custom_pinning, "custom_pinning"):
        if hasattr(item, "__index__"):
            cpus.add(check_count(item, "a core in custom_pinning", minimum=0))
            continue
        for cpu in _iterated(item, "an item of custom_pinning that is not an integer"):
            cpus.add(check_count(cpu, "a core in custom_pinning", minimum=0))
    return tuple(sorted(cpus)) or None


def _iterated(value: object, what: str) -> Iterable[object]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InputTypeError(f"{what} must be an iterable of integers, not {value!r}")
    return value
