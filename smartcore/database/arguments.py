"""Checks of what users give to a database."""

from __future__ import annotations

import re
from collections.abc import Mapping

from smartcore.error import InputError, InputTypeError, UnsupportedError
from smartcore.log import get_logger
from smartcore.spec.values import check_count, check_text

log = get_logger(__name__)

_IDENTIFIER = re.compile(r"[A-Za-z0-9_.\-]+")
_SIZE = re.compile(r"\d+([kmg]b?)?", re.IGNORECASE)
KNOWN = frozenset({"run_args", "cpus_per_shard", "shards_per_node"})
# Settings of SmartSim that have a meaning for an inference module only.
INFERENCE = frozenset(
    {"threads_per_queue", "inter_op_threads", "intra_op_threads", "inter_op_parallelism"}
    | {"intra_op_parallelism", "gpus_per_shard"}
)


def check_identifier(name: object) -> str:
    """A name that can end the name of a variable.

    :raises InputError: it has characters that cannot
    """
    text = check_text(name, "db_identifier")
    if not _IDENTIFIER.fullmatch(text):
        raise InputError(
            f"db_identifier={text!r} becomes part of a variable's name; use only letters, digits"
            " and any of _ . -"
        )
    return text


def check_port(port: object) -> int | None:
    """A TCP port; None for one that is chosen at the start.

    :raises InputError: beyond what there is
    """
    number = 0 if port is None else check_count(port, "port", minimum=0)
    if number > 65535:
        raise InputError(f"port must be at most 65535, not {number}; None picks a free one")
    return number or None


def check_shards(db_nodes: object) -> int:
    """A number of shards.

    :raises UnsupportedError: two
    """
    count = check_count(db_nodes, "db_nodes")
    if count == 2:
        raise UnsupportedError(
            "db_nodes=2 cannot work: if one of two shards fails, neither has a majority to go on;"
            " use 1, or 3 and more for a cluster"
        )
    return count


def check_interface(interface: object) -> str | list[str] | None:
    """Names of network interfaces; whether they are there is seen at the start.

    :raises InputTypeError: no names
    """
    if interface is None or (isinstance(interface, str) and interface):
        return interface
    if isinstance(interface, list | tuple) and interface:
        return [check_text(name, "interface") for name in interface]
    raise InputTypeError(
        f"interface must be the name of a network interface, a list of names, or None for the"
        f" default, not {interface!r}"
    )


def check_size(size: object) -> str:
    """A size as the servers read it.

    :raises InputError: it is none
    """
    text = check_text(size, "size of memory")
    if not _SIZE.fullmatch(text):
        raise InputError(f"{text!r} is no size; write bytes, or a number with k, mb, gb")
    return text


def check_further(given: Mapping[str, object]) -> dict[str, object]:
    """The further keyword arguments, without those that have no effect.

    :raises InputError: one that nobody knows
    """
    unknown = sorted(set(given) - KNOWN - INFERENCE)
    if unknown:
        known = ", ".join(sorted({"allow_unauthenticated", "backend", "tls"} | KNOWN))
        raise InputError(
            f"a database has no argument {', '.join(map(repr, unknown))}; those besides the named"
            f" ones are: {known}; set_db_conf sets directives of the server"
        )
    ignored = sorted(name for name in set(given) & INFERENCE if given[name] is not None)
    if ignored:
        log.warning("%s: of an inference module, which is not loaded; ignored", ", ".join(ignored))
    return {name: value for name, value in given.items() if name in KNOWN}


def check_batch_only(name: str, given: Mapping[str, str | None], *, batch: bool) -> None:
    """Tell of arguments that only a batch job has a use for.

    :param name: of the database
    :raises InputTypeError: one is no text
    """
    told = [arg for arg, value in given.items() if value is not None and check_text(value, arg)]
    if told and not batch:
        log.warning(
            "%s: for batch jobs, and the database %r is none; ignored (batch=True makes it one)",
            ", ".join(told),
            name,
        )


def check_arguments(given: object) -> dict[str, str | None]:
    """Arguments of a run command.

    :raises InputTypeError: no mapping of texts to texts, or None
    """
    if given is not None and not isinstance(given, Mapping):
        raise InputTypeError(f"run_args must map names of arguments to values, not {given!r}")
    return {check_argument(arg): check_value(value) for arg, value in (given or {}).items()}


def check_argument(arg: str) -> str:
    """The name of an argument, without the hyphens in front of it.

    :raises InputTypeError: it is no text
    """
    return check_text(arg, "name of an argument").strip().lstrip("-")


def check_value(value: str | None) -> str | None:
    """The value of an argument.

    :raises InputTypeError: neither text nor None
    """
    if value is not None and not isinstance(value, str):
        raise InputTypeError(f"the value of an argument must be text or None, not {value!r}")
    return value
