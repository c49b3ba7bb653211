"""What ``squeue`` is asked, and what it answers: all the user's jobs in one question.

Ended jobs are asked for as well. slurmctld remembers them for MinJobAge (five minutes by default),
with their exit codes, whether there is accounting or not; ``scontrol show job`` knows no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from smartcore.error import LauncherError
from smartcore.spec import Completed, State, Tag
from smartcore.spec.scheduler import JobRecord, NativeId

from . import ids, reasons, states

# A column without a width is not cut (squeue(1), --Format). What may hold anything comes last.
_COLUMNS: Final = (
    "JobArrayID", "State", "exit_code", "RestartCnt", "TimeUsed", "BatchHost", "Reason",
)  # fmt: skip
_TAGS: Final = ("ArrayJobID", "Cluster", "Name", "Comment")
_TIME: Final = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d\d)")
# Only the accounting tells by whom.
_UNTOLD: Final = frozenset({"CANCELLED", "CA"})
_HELD: Final = frozenset({"SPECIAL_EXIT", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SE", "RH", "RD"})


def question(columns: Sequence[str], clusters: str) -> tuple[str, ...]:
    """The command that prints these columns of all the user's jobs, ended ones too."""
    where = (f"--clusters={clusters}",) if clusters else ()
    form = ",".join(f"{column}:|" for column in columns)
    return ("squeue", *where, "--me", "--all", "--noheader", "--states=all", f"--Format={form}")


def query(cluster: str) -> tuple[str, ...]:
    """The command that tells of all the user's jobs on one cluster."""
    return question(_COLUMNS, cluster)


def lookup(clusters: str) -> tuple[str, ...]:
    """The command that tells of the tags of all the user's jobs."""
    return question(_TAGS, clusters)


def parse(completed: Completed) -> list[JobRecord]:
    """Read the answer to ``query``.

    :raises LauncherError: it is none
    """
    cluster = asked_cluster(completed)
    return [record for row in _rows(completed, _COLUMNS) for record in _records(row, cluster)]


def parse_tags(completed: Completed, tag: Tag) -> list[NativeId]:
    """The jobs whose comment or name is the tag, or whose comment ends with it as a word.

    :raises LauncherError: it is no answer
    """
    found = []
    for number, cluster, *said in _rows(completed, _TAGS):
        if not number.isdecimal():
            raise LauncherError(f"squeue printed {number[:200]!r}, which is no job")
        name, _, comment = said[-1].partition("|")
        # A name with a bar in it: the comment is what comes after the last one.
        comment = comment.rpartition("|")[2]
        if tag in (name, comment) or comment.endswith(f" {tag}"):
            end = f";{cluster}" if asked_cluster(completed) else ""
            found.append(NativeId(f"{number}{end}"))
    return list(dict.fromkeys(found))


def asked_cluster(completed: Completed) -> str:
    """The cluster that a command was run for; empty for the one of this host."""
    return next(
        (word.partition("=")[2] for word in completed.argv if word.startswith("--clusters=")), ""
    )


def _rows(completed: Completed, columns: Sequence[str]) -> Iterator[list[str]]:
    said = completed.stderr.strip()
    if completed.returncode != 0 or (not completed.stdout.strip() and "error" in said):
        raise LauncherError(f"squeue failed: {said[-500:] or f'exit code {completed.returncode}'}")
    last = 3 if columns is _TAGS else len(columns)
    for line in completed.stdout.splitlines():
        fields = line.rstrip().removesuffix("|").split("|", last - 1)
        if len(fields) != last:
            raise LauncherError(f"squeue printed {line[:200]!r}, which is no row")
        yield fields


def _records(row: Sequence[str], cluster: str) -> Iterator[JobRecord]:
    name, state, code, restarts, used, host, reason = row
    status = int(code) if code.isdecimal() else -1
    outcome = states.WORDS.get(state)
    ended = outcome is not None and outcome.state.is_terminal
    # Raw, as wait(2) tells it.
    exit_code, signal = status >> 8 & 0xFF, status & 0x7F
    blocked = False
    if ended:
        reason = states.end_reason(state, startless=states.is_startless(signal))
    elif outcome is not None and outcome.state is State.QUEUED:
        reason, blocked = reasons.waiting(reason)
    else:
        reason = ""
    for native in ids.of_row(name, cluster):
        yield JobRecord(
            native,
            state,
            _returncode(state, exit_code, signal) if ended and status >= 0 else None,
            reason,
            "" if host in {"n/a", "N/A", "(null)"} else host,
            elapsed(used),
            int(restarts) if restarts.isdecimal() else None,
            blocked or state in _HELD,
            vague=state in _UNTOLD,
        )


def _returncode(state: str, code: int, signal: int) -> int | None:
    if (code, signal) == (0, 0) and state not in {"COMPLETED", "CD"}:
        return None  # Slurm says 0 of what did not end by itself
    return states.returncode(code, signal)


def elapsed(text: str) -> timedelta | None:
    """Read ``1-02:03:04``, ``2:03:04`` or ``3:04``."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(field or 0) for field in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
