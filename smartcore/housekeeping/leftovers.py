"""Files that nobody needs any more: sockets without a listener, and what is old in ``.smartcore``.

Journals and records stay: they are the evidence of what was done.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from smartcore.database.credentials import read_files, read_secret
from smartcore.error import DatabaseFileError
from smartcore.launch import link, spawn
from smartcore.launch.death import DIRECTORY as DEATHS
from smartcore.launch.notes import DIRECTORY

from .places import Place


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file, or a directory with all that is in it.

    :param what: what it was, for people
    :param changed: when it was last changed, in seconds since the epoch
    """

    path: Path
    what: str
    changed: float


def find_leftovers(
    places: Sequence[Place], idle: Sequence[Place], runtime: Path | None, before: float
) -> list[Leftover]:
    """What can be removed.

    :param places: the experiments that are looked at
    :param idle: those of which nothing runs or waits, and that nobody drives
    :param runtime: the runtime directory; None leaves it alone
    :param before: of an experiment's own files, those that have not been changed since then, in
        seconds since the epoch
    """
    found = [] if runtime is None else [*_dated(_of_runtime(runtime))]
    found += _dated(_of_index(places))
    for place in idle:
        if not place.gone:
            files = (
                *_of_keepers(place),
                *_scripts(place),
                *_meetings(place),
                *_notes(place),
                *_deaths(place),
                *_secrets(place),
            )
            own = _dated(files)
            found += [item for item in own if item.changed < before]
    return found


def _of_runtime(runtime: Path) -> Iterator[tuple[Path, str]]:
    for path in _children(runtime):
        if _is_socket(path) and not _listens(path):
            yield path, "socket without a listener"


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return False


def _listens(path: Path) -> bool:
    identity = path.name.removeprefix("keeper-")
    if identity != path.name and spawn.alive(identity):
        return True  # it has made its socket, and listens in a moment
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except OSError as error:
            return error.errno != errno.ECONNREFUSED
    return True


def _of_index(places: Sequence[Place]) -> Iterator[tuple[Path, str]]:
    for place in places:
        if place.gone and not place.keepers and not place.owned:
            for entry in place.entries:
                yield entry.file, f"index entry of {place.path}, gone"


def _of_keepers(place: Place) -> Iterator[tuple[Path, str]]:
    host = link.host_name()
    for path in _children(place.path / ".smartcore" / "keeper"):
        noted = path.suffix == ".begun" and path.stem.removeprefix(f"{host}-").isdigit()
        if noted or (path.suffix in {".json", ".err"} and path.stem == host):
            yield path, "notes of a keeper, gone"


def _scripts(place: Place) -> Iterator[tuple[Path, str]]:
    for path in _children(place.path / ".smartcore" / "scripts"):
        yield path, "script of an ended job"


def _meetings(place: Place) -> Iterator[tuple[Path, str]]:
    for path in _children(place.path / ".smartcore" / "meetings"):
        yield path, "what shards told one another, ended"


def _notes(place: Place) -> Iterator[tuple[Path, str]]:
    for path in _children(place.path / DIRECTORY):
        yield path, "what databases beside a model told, ended"


def _deaths(place: Place) -> Iterator[tuple[Path, str]]:
    for checkpoint in place.story.databases.values() if place.story is not None else ():
        yield Path(checkpoint).with_name(DEATHS), "what shards told of deaths, ended"


def _secrets(place: Place) -> Iterator[tuple[Path, str]]:
    # Only of databases that this experiment was the last to start there.
    if place.story is None:
        return
    tags = {str(run.step.tag) for run in place.story.runs}
    for identifier, checkpoint in place.story.databases.items():
        files = _secret_files(Path(checkpoint), tags)
        if not Path(checkpoint).exists():  # it never served
            files = [
                Path(checkpoint).with_name(f"{identifier}.{whose}.json")
                for whose in ("auth", "admin")
            ]
        for path in _with_given(files):
            yield path, f"file of the database {identifier}, ended"
    beside = {run.step.cwd / f"{run.name}-db.auth.json" for run in place.story.runs}
    for path in sorted(filter(_is_secret, beside)):
        yield path, "secret of a database beside a model, ended"


def _secret_files(checkpoint: Path, tags: set[str]) -> list[Path]:
    try:
        content = json.loads(checkpoint.read_text("utf-8"))
        started = {str(shard["tag"]) for shard in content["shards"]}
        names = [str(content[key]) for key in ("auth_file", "admin_file")]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    if not started or not started <= tags:
        return []
    return [checkpoint.parent / Path(name).name for name in names]


def _with_given(secrets: Sequence[Path]) -> Iterator[Path]:
    # What servers were given holds passwords' hashes, keys, and nothing that serves without them.
    for secret in filter(_is_secret, secrets):
        yield secret
        given = (file for files in read_files(secret).values() for file in files)
        yield from (file for file in given if file.is_file())


def _is_secret(path: Path) -> bool:
    try:
        read_secret(path)
    except DatabaseFileError:  # gone, or something else
        return False
    return True


def _children(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _dated(files: Iterable[tuple[Path, str]]) -> Iterator[Leftover]:
    for path, what in files:
        try:
            yield Leftover(path, what, path.lstat().st_mtime)
        except OSError:
            continue


def remove(leftover: Leftover) -> None:
    """Remove it, unless it has gone or was made anew meanwhile.

    :raises OSError: it cannot be removed
    """
    path = leftover.path
    try:
        if path.lstat().st_mtime != leftover.changed:
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        pass
