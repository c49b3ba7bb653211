"""Passwords of one database, and the files of mode 0600 that hold them. That with smartcore's own
also names the files that servers were given: they are of no use without it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from smartcore.error import DatabaseFileError
from smartcore.spec import Credentials

ADMIN = "smartcore"

Files = Mapping[str, Sequence[str]]
"""Names of files, relative to their database's directory, by the name of their shard."""


def new_credentials(*, open_access: bool = False) -> Credentials:
    """Passwords that nobody can guess.

    :param open_access: clients that send no password are let in, too
    """
    import secrets  # takes a while

    return Credentials(
        ADMIN, secrets.token_urlsafe(24), password=secrets.token_urlsafe(24), open=open_access
    )


def secret_text(username: str, password: str, files: Files | None = None) -> str:
    """The content of a secret's file: what clients pass on as ``username`` and ``password``.

    :param files: what each shard was given, see :func:`read_files`
    """
    given = {"files": files} if files is not None else {}
    return json.dumps({"username": username, "password": password, **given}) + "\n"


def write_secret(path: Path, username: str, password: str, files: Files | None = None) -> None:
    """Write a secret's file, as :func:`write_private` does."""
    write_private(path, secret_text(username, password, files))


def write_private(path: Path, text: str) -> None:
    """Write a file, whole or not at all; from the start only its owner may read it.

    :raises DatabaseFileError: it cannot be written
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        partial.replace(path)
    except OSError as error:
        raise DatabaseFileError(f"cannot write {path}: {error.strerror}") from error


def read_secret(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Read name and password, e.g. from the file that ``SMARTCORE_DB_AUTH`` names.

    :raises DatabaseFileError: it cannot be read, or holds something else
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        username, password = found["username"], found["password"]
    except OSError as error:
        why = _whose(Path(path)) if isinstance(error, PermissionError) else ""
        if isinstance(error, FileNotFoundError):
            why = "; smartcore gc removes the passwords of databases that have ended"
        raise DatabaseFileError(f"cannot read {path}: {error.strerror}{why}") from error
    except (ValueError, KeyError, TypeError):
        raise DatabaseFileError(f"{path} holds no username and password") from None
    return str(username), str(password)


def read_files(path: Path) -> dict[str, tuple[Path, ...]]:
    """The files that each shard was given, by its name, as the file with smartcore's own password
    says, in whose directory they are. Nothing if that cannot be read.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {
            str(shard): tuple(path.parent / name for name in map(str, names) if _inside(Path(name)))
            for shard, names in found.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _inside(name: Path) -> bool:
    return not name.is_absolute() and ".." not in name.parts


def _whose(path: Path) -> str:
    try:
        return f"; only its owner can use the database: {path.owner()}"
    except (OSError, KeyError):  # its directory is closed, too, or its owner has no name
        return "; only its owner can use the database"
