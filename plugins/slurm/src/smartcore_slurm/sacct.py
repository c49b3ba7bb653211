"""What ``sacct`` is asked, and what it answers: jobs that slurmctld has forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta

from smartcore.error import LauncherError
from smartcore.spec import Completed
from smartcore.spec.scheduler import JobRecord, NativeId, Unavailable

from . import ids, states
from .nodes import expand_hosts
from .squeue import asked_cluster

_COLUMNS = ("JobID", "State", "ExitCode", "ElapsedRaw", "NodeList")
_CODE = re.compile(r"(\d+):(\d+)")


def query(natives: Sequence[NativeId]) -> tuple[str, ...]:
    """The command that asks about jobs of one cluster; one question for all members of an array."""
    cluster = ids.cluster(natives[0])
    where = (f"--clusters={cluster}",) if cluster else ()
    return (
        "sacct",
        *where,
        "--noheader",
        "--parsable2",
        "--allocations",
        f"--format={','.join(_COLUMNS)}",
        f"--jobs={','.join(ids.named(natives))}",
    )


def parse(completed: Completed) -> list[JobRecord] | Unavailable:
    """Read the answer to ``query``. A job that has just been submitted is not in it for seconds.

    :raises LauncherError: it is none
    """
    said = completed.stderr.strip()
    if re.search("accounting storage is disabled", said, re.IGNORECASE):
        return Unavailable(said[-500:])
    if completed.returncode != 0 or (not completed.stdout.strip() and "error" in said):
        raise LauncherError(f"sacct failed: {said[-500:] or f'exit code {completed.returncode}'}")
    cluster = asked_cluster(completed)
    return [record for line in completed.stdout.splitlines() for record in _records(line, cluster)]


def _records(line: str, cluster: str) -> Iterator[JobRecord]:
    fields = line.split("|")
    if len(fields) != len(_COLUMNS):
        raise LauncherError(f"sacct printed {line[:200]!r}, which is no row")
    name, state, code, seconds, nodes = fields
    status = _CODE.fullmatch(code)
    exit_code, signal = (int(status[1]), int(status[2])) if status else (0, 0)
    outcome = states.WORDS.get(states.word(state))
    ended = outcome is not None and outcome.state.is_terminal
    reason = states.end_reason(state, startless=states.is_startless(signal)) if ended else ""
    if ended and exit_code:
        reason = reason or _either(exit_code)
    told = ended and not exit_code and (signal or states.word(state) == "COMPLETED")
    for native in ids.of_row(name, cluster):
        yield JobRecord(
            native,
            state,
            states.returncode(0, signal) if told else None,
            reason,
            _first_host(nodes),
            timedelta(seconds=int(seconds)) if seconds.isdecimal() else None,
        )


def _either(code: int) -> str:
    # sacct takes 128 away from codes that are larger: 137 reads "9:0".
    return f"exit code {code} or {code + 128}: sacct does not tell which"


def _first_host(nodes: str) -> str:
    if nodes in {"", "None assigned", "Unknown"}:
        return ""
    try:
        return expand_hosts(nodes)[0]
    except ValueError:
        return ""
