"""What a keeper writes: exit records, notes of what is being started, and where it is found.

Nothing but the standard library and little of it: the keeper imports this, and stays small.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys

from smartcore.launch import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]

# Of the messages and of the files.
VERSION = 1


class RecordFile:
    """The file of ends; what cannot be written is kept until it can."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.unsaved: list[Message] = []
        # The number of an earlier keeper may have come again, and its last line be torn.
        self._torn = os.fstat(self._fd).st_size > 0

    def save(self, records: list[Message]) -> None:
        """Write all of these with one write and one fdatasync."""
        self.unsaved += records
        lines = [json.dumps(record, separators=(",", ":")) + "\n" for record in self.unsaved]
        data = (("\n" if self._torn else "") + "".join(lines)).encode()
        try:
            self._torn = os.write(self._fd, data) < len(data)
            os.fdatasync(self._fd)
        except OSError as error:
            with contextlib.suppress(OSError):  # nor is this
                print(f"records are not written: {error.strerror}", file=sys.stderr, flush=True)  # noqa: T201
            return
        if not self._torn:
            self.unsaved = []


class BegunFile:
    """Notes of what is being started: a line before and a line after each.

    Without fdatasync: they are for the case that the keeper is killed, not the host.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)

    def note(self, key: str, index: int, **more: str) -> None:
        """Write one line.

        :raises OSError: it cannot be written whole
        """
        # The line break comes first: what an earlier write left torn stays a line of its own.
        data = b"\n" + json.dumps({"key": key, "index": index, **more}).encode()
        if os.write(self._fd, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)

    def clear(self) -> None:
        """Forget all, which everybody knows by now."""
        os.ftruncate(self._fd, 0)


def remove_stale(info: str) -> None:
    """Remove what a killed keeper left.

    :raises SystemExit: it lives
    """
    try:
        with open(info, encoding="utf-8") as file:  # noqa: PTH123
            facts = json.load(file)
        address = str(facts["socket"])
        identity = spawn.identity(facts["pid"], facts["born"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if spawn.alive(identity):
        sys.exit(f"the keeper {facts['pid']} lives")
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(os.lstat(address).st_mode):
            os.unlink(address)  # noqa: PTH108


def publish(path: str, facts: Message) -> None:
    """Write a file whole or not at all."""
    partial = f"{path}.{os.getpid()}"
    with open(partial, "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(facts, file)
    os.replace(partial, path)  # noqa: PTH105
