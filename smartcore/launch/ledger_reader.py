"""Reading what keepers wrote, also when they are long gone."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from smartcore.error import LauncherError
from smartcore.launch.ledger import VERSION
from smartcore.spec import JobId

if TYPE_CHECKING:
    from smartcore.launch.ledger import Message


def read_records(directory: Path, host: str) -> dict[JobId, Message]:
    """The newest record of each process that keepers on ``host`` have seen the end of.

    Lines that are torn are passed over: power was cut before they were whole.

    :raises LauncherError: a record is of a newer version
    """
    found: dict[JobId, Message] = {}
    for path in directory.glob("*.jsonl"):
        if not path.stem.removeprefix(f"{host}-").isdigit():
            continue
        for record in _parse_records(path.read_bytes().splitlines()):
            if record["v"] > VERSION:
                raise LauncherError(f"{path} is of a newer smartcore; use that one to read it")
            found[JobId(record["id"])] = record
    return found


def _parse_records(lines: Iterable[bytes]) -> Iterable[Message]:
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and "id" in record and "v" in record:
            yield record


def read_begun(path: Path, key: str) -> dict[int, Message]:
    """What a killed keeper noted of one request to start: the last line for each step.

    :param key: names the request
    """
    return {note["index"]: note for note in _parse_notes(path) if note["key"] == key}


def read_notes(directory: Path, host: str) -> Iterator[tuple[int, Message]]:
    """What keepers on ``host`` noted of what they were starting, with the keeper's number.

    Those that ended by themselves have left none.
    """
    for path in directory.glob("*.begun"):
        number = path.stem.removeprefix(f"{host}-")
        if number.isdigit():
            for note in _parse_notes(path):
                yield int(number), note


def _parse_notes(path: Path) -> Iterator[Message]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError):
            note = json.loads(line)
            if isinstance(note, dict) and note.keys() >= {"key", "index", "tag"}:
                yield note
