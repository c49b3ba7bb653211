"""Passwords of one database, and the files of mode 0600 that hold them."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from smartcore.error import DatabaseFileError
from smartcore.spec import Credentials

ADMIN = "smartcore"


def new_credentials(*, open_access: bool = False) -> Credentials:
    """Passwords that nobody can guess.

    :param open_access: clients that send no password are let in, too
    """
    return Credentials(
        ADMIN, secrets.token_urlsafe(24), password=secrets.token_urlsafe(24), open=open_access
    )


def secret_text(username: str, password: str) -> str:
    """The content of a secret's file: what clients pass on as ``username`` and ``password``."""
    return json.dumps({"username": username, "password": password}) + "\n"


def write_secret(path: Path, username: str, password: str) -> None:
    """Write a secret's file, as :func:`write_private` does."""
    write_private(path, secret_text(username, password))


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
        whose = _whose(Path(path)) if isinstance(error, PermissionError) else ""
        raise DatabaseFileError(f"cannot read {path}: {error.strerror}{whose}") from error
    except (ValueError, KeyError, TypeError):
        raise DatabaseFileError(f"{path} holds no username and password") from None
    return str(username), str(password)


def _whose(path: Path) -> str:
    try:
        return f"; only its owner can use the database: {path.owner()}"
    except (OSError, KeyError):  # its directory is closed, too, or its owner has no name
        return "; only its owner can use the database"
