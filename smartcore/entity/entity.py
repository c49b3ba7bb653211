"""What all things that can be started have in common: a name, a directory, settings."""

from __future__ import annotations

import os
from pathlib import Path

from smartcore.error import InputError, InputTypeError
from smartcore.spec.settings import RunSettings

PARAMS_FILE = "smartcore_params.txt"
"""The file in which ``generate`` writes down the parameters."""

_RESERVED_NAMES = frozenset({".", "..", ".smartcore", PARAMS_FILE})
_LONGEST_NAME = 240  # file names have at most 255 bytes, and a suffix is to fit


def check_name(name: str) -> str:
    """A name that can be a directory's and a job's.

    :raises InputTypeError: not a str
    :raises InputError: says what is wrong with it
    """
    if not isinstance(name, str):
        raise InputTypeError(f"a name must be a str, not {name!r} of type {type(name).__name__}")
    reason = _fault(name)
    if reason:
        raise InputError(f"{name!r} cannot be the name of an entity: {reason}")
    return name


def _fault(name: str) -> str:
    faults = {
        "it is empty": not name.strip(),
        "it has a meaning of its own": name in _RESERVED_NAMES,
        "commands would take the leading '-' for an option": name.startswith("-"),
        "it names a directory and cannot hold '/'": "/" in name,
        "it holds a control character": any(not _printing(character) for character in name),
        f"it is longer than {_LONGEST_NAME} bytes": len(os.fsencode(name)) > _LONGEST_NAME,
    }
    return next((fault for fault, found in faults.items() if found), "")


def _printing(character: str) -> bool:
    return ord(character) >= 32 and ord(character) != 127


def check_path(path: str | os.PathLike[str] | None) -> str:
    """An absolute path; None is the current directory.

    :raises InputTypeError: not a path
    :raises InputError: empty, or with a character that no path can have
    """
    if path is None:
        return str(Path.cwd())
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(text, str):
        raise InputTypeError(f"a path must be a str, not {path!r} of type {type(path).__name__}")
    if not text or "\0" in text:
        raise InputError(f"{text!r} is not a path")
    # absolute() keeps "..", resolve() follows symbolic links
    return os.path.abspath(text)  # noqa: PTH100


class Entity:
    """Something that can be started: what to run, and in which directory.

    :param name: unique in one ``start``; also the name of its directory
    :param path: its directory; None is the current one
    :param run_settings: what to run
    """

    def __init__(
        self, name: str, path: str | os.PathLike[str] | None, run_settings: RunSettings
    ) -> None:
        if not isinstance(run_settings, RunSettings):
            raise InputTypeError(
                f"run settings of {name!r} are of type {type(run_settings).__name__};"
                " make them with create_run_settings"
            )
        self.name = check_name(name)
        self.path = check_path(path)
        self.run_settings = run_settings

    @property
    def type(self) -> str:
        """The name of the class."""
        return type(self).__name__

    def set_path(self, path: str | os.PathLike[str]) -> None:
        """Set the directory.

        :raises InputTypeError: not a path
        """
        if path is None:
            raise InputTypeError(f"the path of {self.name!r} cannot be None")
        self.path = check_path(path)

    def __repr__(self) -> str:
        return self.name


SmartSimEntity = Entity
