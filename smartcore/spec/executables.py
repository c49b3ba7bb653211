"""Finding programs of this host by path or name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from smartcore.error import InputError, InputTypeError, PathNotFoundError


def absolute_command(name: str) -> str:
    """Return the absolute path of a command, or the name itself if this host does not have it."""
    found = shutil.which(name)
    # absolute() and not resolve(): one program behind several links may look at the name by which
    # it is called.
    return str(Path(found).absolute()) if found else name


def find_executable(name: str) -> str:
    """Return the absolute path of an executable, given as a path, a name on ``PATH``, or the name
    of a file in the current directory. Symlinks are not followed.

    :raises PathNotFoundError: there is none
    :raises InputTypeError: a file of that name may not be executed
    """
    if not name.strip():
        raise InputError("exe is empty; give a path, or a name on PATH")
    found = None if "/" in name else shutil.which(name)
    path = _expanded(found or name).absolute()
    if path.is_dir():
        raise PathNotFoundError(f"executable {name!r} is a directory; give the program inside it")
    if not path.is_file():
        where = f"as {str(path)!r}" if "/" in name else "on PATH or in the current directory"
        raise PathNotFoundError(
            f"executable {name!r} was not found {where}; give its absolute path, or load the "
            "module that provides it"
        )
    if not os.access(path, os.X_OK):
        raise InputTypeError(f"{str(path)!r} is not executable; try chmod +x")
    return str(path)


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # ~somebody who has no home here
        return Path(name)
