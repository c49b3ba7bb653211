"""Options of sbatch: their names, how they are written, and how times are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

_TIME: Final = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")

# sbatch(1): the letters that options have besides their names.
_LETTERS: Final = MappingProxyType(
    {
        "A": "account",
        "a": "array",
        "b": "begin",
        "B": "extra-node-info",
        "C": "constraint",
        "c": "cpus-per-task",
        "D": "chdir",
        "d": "dependency",
        "e": "error",
        "F": "nodefile",
        "G": "gpus",
        "H": "hold",
        "h": "help",
        "i": "input",
        "J": "job-name",
        "k": "no-kill",
        "L": "licenses",
        "M": "clusters",
        "m": "distribution",
        "N": "nodes",
        "n": "ntasks",
        "O": "overcommit",
        "o": "output",
        "p": "partition",
        "Q": "quiet",
        "q": "qos",
        "S": "core-spec",
        "s": "oversubscribe",
        "t": "time",
        "V": "version",
        "v": "verbose",
        "W": "wait",
        "w": "nodelist",
        "x": "exclude",
    }
)
_OTHER_NAMES: Final = MappingProxyType(
    {"workdir": "chdir", "cluster": "clusters", "tasks": "ntasks", "jobname": "job-name"}
)

REFUSED: Final = MappingProxyType(
    {
        "clusters": "set SLURM_CLUSTERS instead, so that the job is also found there",
        "help": "it submits nothing",
        "parsable": "it is given anyway",
        "test-only": "it submits nothing",
        "usage": "it submits nothing",
        "version": "it submits nothing",
        "wait": "sbatch would not return; wait with block=True",
        "wrap": "the script is written from the models",
    }
)
"""Options of sbatch that nobody may give, by name, and what to do instead."""

_THROTTLE = re.compile(r"%[1-9][0-9]*")


def canonical(name: str) -> str:
    """The long name of an option, by which two spellings of one are known for the same."""
    plain = name.lstrip("-")
    if len(plain) == 1:
        return _LETTERS.get(plain, plain)
    return _OTHER_NAMES.get(plain, plain)


def complaint(name: str, value: str | None) -> str:
    """Why nobody may give this option; empty if one may.

    ``array`` is for the throttle only: ``%8`` lets eight members run at once.
    """
    long = canonical(name)
    if long in REFUSED:
        return f"sbatch argument {name!r} cannot be given: {REFUSED[long]}"
    if long == "array" and not _THROTTLE.fullmatch(value or ""):
        return (
            f"sbatch argument {name!r} is {value!r}: the indices are given by smartcore; give '%8'"
            " to let 8 members run at once"
        )
    return ""


def written(name: str, value: str | None) -> list[str]:
    """One option as words: ``--name=value``, ``--name``, or ``-x value``."""
    plain = name.lstrip("-")
    if len(plain) == 1:
        return [f"-{plain}"] if value is None or value == "" else [f"-{plain}", value]
    return [f"--{plain}"] if value is None or value == "" else [f"--{plain}={value}"]


def merged(
    ours: Mapping[str, str | None], given: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Options by their long names; what the user gave wins."""
    return {**ours, **{canonical(name): value for name, value in given.items()}}


def quoted(word: str) -> str:
    """A word of a ``#SBATCH`` line: quotes are as in a shell, but a backslash is taken away also
    inside of single ones.
    """
    if re.fullmatch(r"[\w@%+=:,./\[\]-]+", word, re.ASCII):
        return word
    inside = word.replace("\\", "\\\\").replace("'", "'\"'\"'")
    return f"'{inside}'"


def parse_time(text: str) -> timedelta | None:
    """Read a time as srun and sbatch do: a plain number is minutes (sbatch(1), ``--time``).

    :returns: None if it is none
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    days, *fields = match.groups()
    first, second, third = (int(field or 0) for field in fields)
    if days is not None:
        return timedelta(days=int(days), hours=first, minutes=second, seconds=third)
    if fields[2] is not None:
        return timedelta(hours=first, minutes=second, seconds=third)
    return timedelta(minutes=first, seconds=second)
