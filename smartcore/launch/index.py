"""The index: where the experiments of this user on this host are.

``<runtime directory>/experiments/<host>-<hash of the path>-<pid>.<start time>.json``: one file for
each driver, left when it opens its journal. It is a hint for ``smartcore ps`` and ``smartcore gc``:
the journals are the truth, and nothing depends on it.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from smartcore.config import Config
from smartcore.config.runtime import runtime_directory
from smartcore.error import ConfigError
from smartcore.launch import proc, spawn
from smartcore.log import get_logger

log = get_logger(__name__)

VERSION = 1
DIRECTORY = "experiments"


@dataclass(frozen=True, slots=True)
class Entry:
    """One driver of one experiment on this host.

    :param path: the experiment's directory, as it was then
    :param name: the experiment's name
    :param driver: the process, as :func:`spawn.identity` names it
    :param opened: when it took the experiment up
    :param file: the file of this entry
    """

    path: Path
    name: str
    driver: str
    opened: datetime
    file: Path

    @property
    def living(self) -> bool:
        """True while the driver's process is there."""
        return spawn.alive(self.driver)


def note(config: Config, path: Path, name: str) -> None:
    """Leave an entry for this process; those of dead drivers of the same experiment go.

    What cannot be written is only told to developers: nothing depends on it.
    """
    import hashlib  # `from smartcore import Experiment` stays quick

    host, pid, path = os.uname().nodename, os.getpid(), path.resolve()
    driver = spawn.identity(pid, proc.birth(pid) or 0)
    stem = f"{host}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}-"
    content = {"v": VERSION, "path": str(path), "name": name, "driver": driver, "at": time.time()}
    try:
        directory = runtime_directory(config) / DIRECTORY
        directory.mkdir(mode=0o700, exist_ok=True)
        partial = directory / f".{stem}{driver}"
        partial.write_text(json.dumps(content), "utf-8")
        partial.replace(directory / f"{stem}{driver}.json")
        for other in directory.glob(f"{stem}*.json"):
            if not spawn.alive(other.stem.removeprefix(stem)):
                other.unlink(missing_ok=True)
    except (OSError, ConfigError) as error:
        log.debug("the experiment is not in the index: %s", error)


def entries(runtime: Path) -> list[Entry]:
    """The entries of this host, oldest first; what cannot be read is passed over.

    :param runtime: the runtime directory
    """
    host = os.uname().nodename
    found = []
    for file in (runtime / DIRECTORY).glob("*.json"):
        if file.stem.rsplit("-", 2)[0] == host and (entry := _read(file)) is not None:
            found.append(entry)
    return sorted(found, key=lambda entry: entry.opened)


def _read(file: Path) -> Entry | None:
    try:
        content = json.loads(file.read_text("utf-8"))
        if content["v"] > VERSION:
            return None
        opened = datetime.fromtimestamp(content["at"], UTC)
        return Entry(Path(content["path"]), content["name"], content["driver"], opened, file)
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.debug("%s is no entry of the index: %s", file, error)
        return None
