"""Facts about processes of this host that ``/proc`` tells; see proc(5)."""

from __future__ import annotations

import os

# The keeper imports this and must be ready in no time: no pathlib.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

PROC = "/proc"


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks after boot; None if there is none or it is a zombie.

    With the process id it names one process for ever, until the next boot.
    """
    fields = _stat(pid)
    return None if fields is None or fields[0] in {b"Z", b"X"} else int(fields[19])


def birth(pid: int) -> int | None:
    """As :func:`start_time`, but a zombie has one, too."""
    fields = _stat(pid)
    return None if fields is None else int(fields[19])


def session_members(sessions: Collection[int]) -> Iterator[tuple[int, int]]:
    """Yield ``(pid, session)`` of every living process in one of ``sessions``; one pass of
    /proc.
    """
    for name in os.listdir(PROC):  # noqa: PTH208 -- names are all that is needed, and it is quick
        if name.isdigit():
            fields = _stat(int(name))
            if fields is not None and int(fields[3]) in sessions and fields[0] not in {b"Z", b"X"}:
                yield int(name), int(fields[3])


def living() -> Iterator[tuple[int, int, int, int]]:
    """Yield ``(pid, parent, session, start time)`` of every living process; one pass of /proc."""
    for name in os.listdir(PROC):  # noqa: PTH208
        if name.isdigit():
            fields = _stat(int(name))
            if fields is not None and fields[0] not in {b"Z", b"X"}:
                yield int(name), int(fields[1]), int(fields[3]), int(fields[19])


def _stat(pid: int) -> list[bytes] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123 -- hot path
            text = file.read(1024)
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the command in brackets and may itself hold blanks and brackets.
    return text[text.rindex(b")") + 2 :].split() or None
