"""Reading what keepers wrote, also when they are long gone."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
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
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            note = json.loads(line)
            if note["key"] == key:
                found[int(note["index"])] = note
    return found
