"""The directory for sockets of a host, which nobody but its owner may enter."""

from __future__ import annotations

import os
from pathlib import Path

from smartcore.config import Config
from smartcore.error import ConfigError


def runtime_path(config: Config) -> Path:
    """The directory for sockets of this host, which may not be there yet."""
    given = config.text("runtime_dir")
    if given:
        return Path(given).expanduser().resolve()
    # Batch systems hand on a variable whose directory the compute node does not have.
    session = config.environment.get("XDG_RUNTIME_DIR", "")
    if session.startswith("/") and os.access(session, os.W_OK | os.X_OK):
        return Path(session) / "smartcore"
    return Path(f"/tmp/smartcore-{os.geteuid()}")


def nodes_runtime_path(config: Config) -> Path:
    """The same directory of other hosts: that of a login session is not there."""
    given = config.text("runtime_dir")
    return Path(given).expanduser().absolute() if given else Path(f"/tmp/smartcore-{os.geteuid()}")


def runtime_directory(config: Config) -> Path:
    """Make the directory for sockets of this host, which nobody but its owner may enter.

    :raises ConfigError: it cannot be made, is a link, belongs to somebody else, or is open to
        others
    """
    path = runtime_path(config)
    advice = "set SMARTCORE_RUNTIME_DIR to another one"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = path.lstat()
    except OSError as error:
        raise ConfigError(f"cannot make {path}: {error.strerror}; {advice}") from error
    if path.is_symlink():
        raise ConfigError(f"the runtime directory {path} is a symbolic link; {advice}")
    if facts.st_uid != os.geteuid():
        raise ConfigError(
            f"the runtime directory {path} belongs to the user {facts.st_uid}; {advice}"
        )
    if facts.st_mode & 0o077:
        # A shared directory must stay one: only what looks like nobody else's is to be closed.
        shared = facts.st_mode & 0o1022
        step = advice if shared else f"run: chmod 700 {path}"
        raise ConfigError(f"the runtime directory {path} is open to others; {step}")
    return path
