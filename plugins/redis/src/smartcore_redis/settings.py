"""Directives of a server: asked of its program before it starts, and of the server when it runs."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path

from smartcore.error import DatabaseError, InputError, ShellError
from smartcore.spec import ShardPlan, run_command

from .conf import UNITS, option_lines
from .resp import ProtocolError, Refusal, Reply, decode

_TRIAL_TIMEOUT = timedelta(seconds=10)
# No server knows it, so each gives up there at the latest, before it listens.
_LAST = "smartcore-ends-here"
_LINE = re.compile(r"at line (\d+)$", re.MULTILINE)

# What CONFIG GET never shows, and without which a server does not start if it cannot take it.
_NOT_SHOWN = frozenset({"loadmodule", "rename-command"})
# Directives whose value is a secret: what is not asked for cannot get into a file.
_SECRET = re.compile(r"(pass|auth|secret|password)$")

# Other names for the same in the servers' tables (config.c).
_ALIASES = {"relative": "yes", "slave": "replica"}
# All classes of events but those of misses and of new keys (notify-keyspace-events).
_ALL_EVENTS = "g$lshzxetd"


# -- before the start -----------------------------------------------------------------------------


@cache
def try_options(executable: str, version: str, options: tuple[tuple[str, str], ...]) -> None:
    """Let the server's program read these directives, and end before it serves.

    :param version: of the program, for the cache
    :raises InputError: it does not know one of them, or does not take its value
    """
    lines = [(name, line) for name, value in options for line in option_lines(name, value)]
    text = "\n".join([*(line for _, line in lines), _LAST, ""])
    try:
        answer = run_command([executable, "-"], timeout=_TRIAL_TIMEOUT, stdin=text)
    except ShellError:
        return  # it cannot be asked so; its start will tell
    found = _LINE.search(answer.stderr)
    if found is None or int(found[1]) > len(lines):
        return
    name = lines[int(found[1]) - 1][0]
    value, reason = dict(options)[name], answer.stderr.strip().splitlines()[-1]
    if reason.startswith("Bad directive"):
        raise InputError(
            f"{executable} {version} knows no setting {name!r}, or none with the value {value!r};"
            " see the configuration file that comes with this version"
        )
    raise InputError(f"{executable} {version} does not take {name}={value!r}: {reason}")


def check_module(value: str) -> None:
    """Look for the file of a module, which a server loads after it has read all its directives.

    :param value: of ``loadmodule``: its path, and arguments
    :raises InputError: there is none
    """
    path = Path((value.split() or [""])[0])
    # A server looks for it in the directory in which it runs, and is not started in this one.
    if not path.is_absolute():
        raise InputError(f"loadmodule={value!r}: give the absolute path of the module's file")
    if not path.is_file():
        raise InputError(f"loadmodule={value!r}: there is no file {path}")


# -- when it runs ---------------------------------------------------------------------------------


def readable(options: Mapping[str, str]) -> list[str]:
    """The directives that can be read back."""
    shown = [name for name in options if name.lower() not in _NOT_SHOWN]
    return [name for name in shown if not _is_secret(name)]


def _is_secret(name: str) -> bool:
    return _SECRET.search(name.lower()) is not None


def verify_options(shard: ShardPlan, answer: bytes) -> dict[str, str]:
    """Compare what a server shows with what it was started with.

    :param answer: replies to a login, and to CONFIG GET of each directive that is readable
    :returns: directives that were not verified, and why
    :raises DatabaseError: one is not as it was given
    """
    left = {name: "it is a secret" for name in shard.options if _is_secret(name)}
    names = readable(shard.options)
    try:
        found = _shown(answer, len(names))
    except (EOFError, ProtocolError) as error:
        raise DatabaseError(
            f"{shard.name} at {shard.address} was asked how it took its settings, and its answer"
            f" cannot be read: {str(error) or 'it breaks off'}"
        ) from None
    for name, shown in zip(names, found, strict=True):
        value = shard.options[name]
        if isinstance(shown, Refusal):
            raise DatabaseError(f"{shard.name} does not show {name}: {shown}")
        if shown == []:
            left[name] = "this version of the server reads it, and does not show it"
            continue
        now = value_of(shown)
        if now is None or not same_setting(value, now, name):
            raise DatabaseError(
                f"{shard.name} was started with {name}={value!r} and says it is {now!r}; ask for"
                " what it can do, its output may say more"
            )
    return left


def _shown(answer: bytes, count: int) -> list[Reply]:
    stream = io.BytesIO(answer)
    if count and (login := decode(stream)) != "OK":
        raise ProtocolError(f"it refuses our password ({login})")
    return [decode(stream) for _ in range(count)]


def value_of(shown: Reply) -> str | None:
    """The value in the reply to CONFIG GET of one directive."""
    now = shown[1] if isinstance(shown, list) and len(shown) == 2 else None
    return now if isinstance(now, str) else None


def same_setting(asked: str, found: str, name: str = "") -> bool:
    """True if what CONFIG GET shows is what the server was given, which it may spell differently:
    sizes come back as bytes, flags in another order, and classes that were not named as well.
    """
    if name.lower() == "notify-keyspace-events":
        return _events(asked) <= _events(found) if asked else not found
    wanted, shown = _normal(asked), _normal(found)
    if name.lower() == "client-output-buffer-limit":
        return _classes(wanted).items() <= _classes(shown).items()
    # Only numbers have an order that means something.
    return wanted == shown or (asked.replace(" ", "").isalpha() and set(wanted) == set(shown))


def _normal(value: str) -> list[str]:
    return [_ALIASES.get(word, word) for word in map(_number, value.lower().split())]


def _number(word: str) -> str:
    size = re.fullmatch(r"(\d+)([kmg]b?|b)?", word)
    if size is not None:
        return str(int(size[1]) * UNITS.get(size[2] or "b", 1))
    return str(float(word)).removesuffix(".0") if re.fullmatch(r"\d+\.\d+", word) else word


def _classes(words: list[str]) -> dict[str, list[str]]:
    # Groups of four: the class of clients, hard limit, soft limit, seconds.
    return {words[at]: words[at + 1 : at + 4] for at in range(0, len(words), 4)}


def _events(flags: str) -> set[str]:
    return set(flags.replace("A", _ALL_EVENTS))
