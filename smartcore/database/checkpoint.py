"""The file by which another driver finds a running database. Nothing in it is secret: it names the
files that are.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from smartcore.error import (
    DatabaseError,
    DatabaseFileError,
    InputTypeError,
    PathNotFoundError,
    SmartcoreError,
)
from smartcore.registry import Registry
from smartcore.spec import (
    Certificate,
    Command,
    Credentials,
    DatabaseBackend,
    Server,
    ShardAddress,
    ShardPlan,
    Step,
    Tag,
)

from .credentials import read_secret
from .live import LiveDatabase, Placing
from .orchestrator import Orchestrator

VERSION = 1
_ASK_TIMEOUT = timedelta(seconds=2)


def checkpoint_text(live: LiveDatabase, host: str) -> str:
    """What the file holds; see :func:`read_checkpoint` for the way back."""
    certificate = live.credentials.certificate
    content = {
        "version": VERSION,
        "identifier": live.identifier,
        "backend": live.backend,
        "host": host,
        "open": live.credentials.open,
        "auth_file": live.auth_file.name,
        "admin_file": live.admin_file.name,
        "authority_file": certificate.file.name if certificate else "",
        "server": {
            "executable": live.server.executable,
            "version": live.server.version,
            "source": live.server.source,
        },
        "environment": dict(live.environment),
        "placing": asdict(live.placing),
        "shards": [
            {
                "name": shard.name,
                "host": shard.address.host,
                "node": node,
                "port": shard.address.port,
                "socket": shard.address.socket,
                **_step_content(live, shard.index),
            }
            for shard, node in zip(live.shards, live.nodes or [""] * len(live.shards), strict=True)
        ],
    }
    return json.dumps(content, indent=1) + "\n"


def _step_content(live: LiveDatabase, index: int) -> dict[str, object]:
    step = live.step_of(index)
    return {
        "step": step.name,
        "job": live.jobs.get(step.name, ""),
        "tag": step.tag,
        "argv": list(step.command.argv),
    }


def write_checkpoint(live: LiveDatabase, path: Path) -> None:
    """Write the file, whole or not at all.

    :raises DatabaseFileError: it cannot be written
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(checkpoint_text(live, socket.gethostname()), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise DatabaseFileError(f"cannot write {path}: {error.strerror}") from error


def read_checkpoint(path: Path, *, secrets: bool = True) -> LiveDatabase:
    """What the file says of a database; whether it still runs is not asked.

    :param secrets: read the files with the passwords, too, which do not outlive the database for
        ever
    :raises PathNotFoundError: there is no such file
    :raises DatabaseFileError: it is torn, of a newer version, or not of this kind; or the files
        with the passwords cannot be read
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PathNotFoundError(
            f"there is no {path}; give the checkpoint_file of a database that was started"
        ) from None
    except OSError as error:
        raise DatabaseFileError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DatabaseFileError(
            f"{path} is torn, or does not tell of a database ({error}); start the database anew"
        ) from None
    version = content.get("version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise DatabaseFileError(
            f"{path} was written by a newer smartcore (format {version}, this one reads"
            f" {VERSION}); upgrade smartcore to reconnect"
        )
    try:
        return _live(content, path.parent, secrets=secrets)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise DatabaseFileError(
            f"{path} lacks something that tells of a database ({error!r}); start the database anew"
        ) from None


def shard_count(path: Path) -> int | None:
    """How many shards the file tells of; None if there is none, or it cannot be read."""
    try:
        return len(read_checkpoint(path, secrets=False).shards)
    except SmartcoreError:
        return None


def _live(content: Mapping[str, object], directory: Path, *, secrets: bool) -> LiveDatabase:
    texts = {key: str(content[key]) for key in ("identifier", "backend", "auth_file", "admin_file")}
    auth, admin = directory / texts["auth_file"], directory / texts["admin_file"]
    user, password = read_secret(auth) if secrets else ("", "")
    admin_name, admin_password = read_secret(admin) if secrets else ("", "")
    opened = bool(content["open"])
    authority = str(content.get("authority_file", ""))
    certificate = _certificate(directory / authority) if authority and secrets else None
    credentials = Credentials(admin_name, admin_password, user, password, opened, certificate)
    shards = [_mapping(item) for item in _list(content["shards"])]
    server = _mapping(content["server"])
    environment = _mapping(content.get("environment", {}))
    peers = tuple(
        ShardAddress(str(item["host"]), int(str(item["port"])), str(item["socket"]))
        for item in shards
    )
    if not peers:
        raise ValueError("no shards")
    # By the step's name, which is the shard's unless one step runs all.
    by_step = {str(item.get("step", item["name"])): item for item in shards}
    return LiveDatabase(
        identifier=texts["identifier"],
        backend=texts["backend"],
        server=Server(*(str(server[key]) for key in ("executable", "version", "source"))),
        shards=tuple(
            ShardPlan(str(item["name"]), directory, peers[index], peers, index, credentials)
            for index, item in enumerate(shards)
        ),
        steps=tuple(_step(name, item, directory) for name, item in by_step.items()),
        auth_file=auth,
        admin_file=admin,
        jobs={name: str(item["job"]) for name, item in by_step.items() if item["job"]},
        environment={key: str(value) for key, value in environment.items()},
        nodes=tuple(filter(None, (str(item.get("node", "")) for item in shards))),
        placing=_placing(_mapping(content.get("placing", {}))),
    )


def _placing(item: Mapping[str, object]) -> Placing:
    args, alloc, cpus = item.get("run_args", {}), item.get("alloc"), item.get("cpus")
    return Placing(
        str(item.get("launcher", "local")),
        str(item.get("run_command", "auto")),
        {key: None if value is None else str(value) for key, value in _mapping(args).items()},
        None if alloc is None else str(alloc),
        bool(item.get("batch")),
        None if cpus is None else int(str(cpus)),
    )


def _certificate(file: Path) -> Certificate:
    try:
        return Certificate(file.read_text(encoding="utf-8"), file)
    except OSError as error:
        raise DatabaseFileError(f"cannot read {file}: {error.strerror}") from error


def _step(name: str, item: Mapping[str, object], directory: Path) -> Step:
    return Step(
        name=name,
        tag=Tag(str(item["tag"])),
        command=Command(tuple(str(word) for word in _list(item["argv"]))),
        cwd=directory,
        stdout=directory / f"{name}.out",
        stderr=directory / f"{name}.err",
        private=True,
    )


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is no object")
    return value


def reconnect(
    checkpoint: str | os.PathLike[str], registry: Registry
) -> tuple[Orchestrator, dict[str, str]]:
    """Take up a running database that another process started.

    :returns: its handle, and the launcher's id of each of its steps by name
    :raises PathNotFoundError: there is no such file
    :raises DatabaseFileError: it cannot be read
    :raises DatabaseError: the database does not run any more, or the servers there are others
    """
    database, live, backend = describe(checkpoint, registry)
    # This host may not reach nodes; whether the shards run there, their launcher tells.
    if not live.nodes and not backend.ready(live.shards, _ASK_TIMEOUT):
        path = Path(checkpoint).expanduser().absolute()
        raise DatabaseError(
            f"the database {live.identifier!r} of {path} does not answer at"
            f" {', '.join(live.addresses)}{_elsewhere(path)}; bring it back with restart() in the"
            " experiment that started it, or start it anew"
        )
    database.bind(live, backend)
    return database, dict(live.jobs)


def describe(
    checkpoint: str | os.PathLike[str], registry: Registry
) -> tuple[Orchestrator, LiveDatabase, DatabaseBackend]:
    """The description of a database by its checkpoint, whether or not it runs; it is not bound.

    :raises InputTypeError: not a path
    :raises PathNotFoundError: there is no such file
    :raises DatabaseFileError: it cannot be read
    """
    if not isinstance(checkpoint, str | os.PathLike):
        raise InputTypeError(
            f"the checkpoint is a {type(checkpoint).__name__}; give the path of a database's"
            " checkpoint_file"
        )
    path = Path(checkpoint).expanduser().absolute()
    live = read_checkpoint(path)
    placing = live.placing
    database = Orchestrator(
        path=path.parent,
        port=live.shards[0].address.port,
        launcher=placing.launcher,
        run_command=placing.run_command,
        db_nodes=len(live.shards),
        batch=placing.batch,
        alloc=placing.alloc,
        db_identifier=live.identifier,
        allow_unauthenticated=live.credentials.open,
        backend=live.backend,
        tls=True if live.credentials.certificate else None,
    )
    database.run_args, database.cpus = dict(placing.run_args), placing.cpus
    return database, live, registry.database(live.backend)


def _elsewhere(path: Path) -> str:
    host = json.loads(path.read_text(encoding="utf-8")).get("host")
    here = socket.gethostname()
    return "" if host == here else f" (it was started from {host}, and this is {here})"
