"""Checks of what users give to settings: counts, walltimes, names of hosts and variables, texts."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Literal

from smartcore.error import InputError, InputTypeError

EnvValue = str | int | float | bool | None
ArgValue = str | int | float | None

_WALLTIME = re.compile(r"(?:([0-9]+)-)?([0-9]+)(?::([0-9]+))?(?::([0-9]+))?")
_WALLTIME_FORMS = "write HH:MM:SS, D-HH:MM:SS or a number of seconds"


def check_count(value: object, what: str, *, minimum: int = 1) -> int:
    """Return ``value`` as a whole number of at least ``minimum``.

    :raises InputTypeError: it is no whole number; True and False are none
    :raises InputError: it is too small
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise InputTypeError(f"{what} must be a whole number, not {value!r}")
    if number < minimum:
        raise InputError(f"{what} must be at least {minimum}, not {number}")
    return number


def check_text(value: object, what: str) -> str:
    """Return ``value`` if it is a text that a program can be given.

    :raises InputTypeError: it is no text
    :raises InputError: it holds a NUL, which ends an argument
    """
    if not isinstance(value, str):
        raise InputTypeError(f"{what} must be text, not {type(value).__name__}: {value!r}")
    if "\0" in value:
        raise InputError(f"{what} {value!r} holds a NUL character, which no program can be given")
    return value


def check_flag(value: object, what: str) -> bool:
    """Return ``value`` if it is True or False.

    :raises InputTypeError: it is neither
    """
    if not isinstance(value, bool):
        raise InputTypeError(f"{what} must be True or False, not {value!r}")
    return value


def check_arguments(value: object, what: str = "exe_args") -> list[str]:
    """Return a program's arguments: a text is split on blanks, of a list each item is one argument.

    :raises InputTypeError: an item is no text; the message names it
    """
    if value is None:
        return []
    if isinstance(value, str):
        return check_text(value, what).split()
    if not isinstance(value, Sequence):
        raise InputTypeError(f"{what} must be text or a list of texts, not {type(value).__name__}")
    return [check_text(item, f"item {index} of {what}") for index, item in enumerate(value)]


def check_env_vars(variables: object) -> dict[str, str | None]:
    """Return environment variables with their values as text; None stays None.

    :raises InputError: a name that cannot be one, or a NUL in a value
    :raises InputTypeError: a name that is no text, or a value that is no text, number or bool
    """
    if not isinstance(variables, Mapping):
        raise InputTypeError(f"env_vars must be a dictionary, not {type(variables).__name__}")
    return {_env_name(name): _env_value(name, value) for name, value in variables.items()}


def _env_name(name: object) -> str:
    text = check_text(name, "name of environment variable")
    if not text or "=" in text or any(character.isspace() for character in text):
        raise InputError(
            f"environment variable {text!r} cannot be set: a name is not empty and has no '=' and "
            "no blanks"
        )
    return text


def _env_value(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | int | float):
        raise InputTypeError(
            f"environment variable {name} must be text, a number, True, False or None, "
            f"not {type(value).__name__}"
        )
    return check_text(str(value), f"environment variable {name}:")


def check_options(options: object, what: str = "run_args") -> dict[str, ArgValue]:
    """Return a copy of the arguments of a run or batch command, ``name -> value``; None or an empty
    text is an argument without a value.

    :raises InputError: a name that is empty or has blanks
    :raises InputTypeError: names or values of another type
    """
    if not isinstance(options, Mapping):
        raise InputTypeError(f"{what} must be a dictionary, not {type(options).__name__}")
    return {_option_name(name, what): _option(name, what, options[name]) for name in options}


def _option_name(name: object, what: str) -> str:
    text = check_text(name, f"name in {what}")
    if not text.strip("-") or any(character.isspace() for character in text):
        raise InputError(f"{text!r} in {what} is no name of an argument: empty, or with blanks")
    return text


def _option(name: str, what: str, value: object) -> ArgValue:
    if isinstance(value, bool) or not (value is None or isinstance(value, str | int | float)):
        raise InputTypeError(
            f"{what}[{name!r}] must be text, a number, or None for an argument without a value, "
            f"not {value!r}"
        )
    return check_text(value, f"{what}[{name!r}]") if isinstance(value, str) else value


def check_hosts(value: object, what: str = "host_list") -> list[str]:
    """Return names of hosts from one text or a list; a text may hold several, as the run command
    spells them (``n1,n2``, ``n[1-4]``), and is not split.

    :raises InputTypeError: it is neither a text nor a list of texts
    :raises InputError: none, or one that is empty, has blanks or begins with a dash
    """
    items: Iterable[object] = [value] if isinstance(value, str) else _sequence(value, what)
    hosts = [check_text(item, f"name in {what}").strip() for item in items]
    if not hosts:
        raise InputError(f"{what} is empty; give at least one host")
    for host in hosts:
        if not host or host.startswith("-") or any(character.isspace() for character in host):
            raise InputError(f"{host!r} in {what} cannot be the name of a host")
    return hosts


def check_texts(value: object, what: str) -> list[str]:
    """Return a text or a list of texts as a list.

    :raises InputTypeError: it is neither
    """
    if isinstance(value, str):
        return [check_text(value, what)]
    return [check_text(item, f"item of {what}") for item in _sequence(value, what)]


def _sequence(value: object, what: str) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, bytes | bytearray):
        raise InputTypeError(f"{what} must be text or a list of texts, not {type(value).__name__}")
    return value


def parse_walltime(text: str, *, two_fields: Literal["MM:SS", "HH:MM"] | None = None) -> timedelta:
    """Read a limit of time.

    ========================== ======================================================
    ``3600``                   seconds, whatever a plain number means to a scheduler
    ``01:30:00``               hours (any number), minutes, seconds
    ``2-01:30:00``             days, hours (below 24), minutes, seconds
    ``2-01:30``, ``2-01``      the same without seconds, without minutes
    ``01:30``                  refused unless ``two_fields`` says what it is: Slurm takes it for
                               minutes and seconds, LSF for hours and minutes
    ========================== ======================================================

    :raises InputError: it is none of these, or minutes or seconds are over 59
    :raises InputTypeError: it is no text
    """
    match = _WALLTIME.fullmatch(check_text(text, "walltime").strip())
    if match is None:
        raise InputError(f"walltime {text!r} cannot be read; {_WALLTIME_FORMS}")
    days, *clock = match.groups()
    fields = [int(field) for field in clock if field is not None]
    if days is None:
        fields = _clock(text, fields, two_fields)
    elif fields[0] > 23:
        raise InputError(f"walltime {text!r} has {fields[0]} hours besides days; {_WALLTIME_FORMS}")
    hours, minutes, seconds = (*fields, 0, 0)[:3]
    if len(fields) > 1 and max(minutes, seconds) > 59:
        raise InputError(f"walltime {text!r} has over 59 minutes or seconds; {_WALLTIME_FORMS}")
    try:
        return timedelta(days=int(days or 0), hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        raise InputError(f"walltime {text!r} is too long to be counted") from None


def _clock(text: str, fields: list[int], two_fields: str | None) -> list[int]:
    """Hours, minutes, seconds of a walltime without days."""
    if len(fields) == 1:
        minutes, seconds = divmod(fields[0], 60)
        return [*divmod(minutes, 60), seconds]
    if len(fields) == 3 or two_fields == "HH:MM":
        return fields
    if two_fields == "MM:SS":
        if fields[1] > 59:
            raise InputError(f"walltime {text!r} has over 59 seconds; {_WALLTIME_FORMS}")
        return [*divmod(fields[0], 60), fields[1]]
    raise InputError(
        f"walltime {text!r} may mean hours and minutes or minutes and seconds; {_WALLTIME_FORMS}"
    )


def format_walltime(duration: timedelta) -> str:
    """Write a limit of time as ``HH:MM:SS``, hours beyond 99 included; parts of a second count as
    one.

    :raises InputError: it is negative
    """
    total = math.ceil(duration.total_seconds())
    if total < 0:
        raise InputError(f"walltime of {total} s is negative")
    minutes, seconds = divmod(total, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}"
