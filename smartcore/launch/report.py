"""What people are told about a run that failed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from smartcore.launch.farewell import some
from smartcore.launch.run import Run
from smartcore.spec import DatabaseBackend, State

TAIL_LINES = 10
TAIL_BYTES = 4096
_VERBS = {
    State.LOST: "is lost",
    State.TIMEOUT: "ran out of time",
    State.CANCELLED: "was stopped",
    State.COMPLETED: "has ended, and nobody here asked it to,",
}

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a text file, without those before the last few kilobytes; "" if none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    # What a program prints must not steer the terminal of who reads about it.
    last = [_ESCAPES.sub("", line) for line in text.rstrip().splitlines()[-lines:]]
    return "\n".join("".join(c if c.isprintable() else " " for c in line) for line in last)


def failure(run: Run, *, output: bool = False, databases: Iterable[DatabaseBackend] = ()) -> str:
    """One message about a run that failed, or a server that ended: cause, code or signal, host,
    and the tail of its ``.err``.

    :param output: with the tail of its ``.out``, too
    :param databases: kinds of those that it may have used; they know what their refusals mean
    """
    status = run.status
    nodes = [share.node for share in run.shares]
    host = f" on {some(nodes) if nodes else status.host}" if nodes or status.host else ""
    verb = _VERBS.get(status.state, "failed")
    cause = f": {status.reason}" if status.reason else ""
    last = tail(run.step.stderr)
    where = ending(run.step.stderr)
    if output and (said := tail(run.step.stdout)) and said.splitlines()[-1] not in last:
        where = f"{where if last else ''}{ending(run.step.stdout)}"
    if run.job is None:
        where = ""
    advice = _advice(f"{last}\n{tail(run.step.stdout)}", databases)
    return f"{run.name} {verb}{host}{cause}{where}{advice}"


def _advice(said: str, databases: Iterable[DatabaseBackend]) -> str:
    # Clients may log a refusal to their output, and end without a word to standard error.
    found = (database.advice(said) for database in databases)
    return "".join(dict.fromkeys(f"\n    {advice}" for advice in found if advice))


def ending(path: Path) -> str:
    """How a file ends, as a part of a message."""
    shown = "".join(f"\n    {line}" for line in tail(path).splitlines())
    return f"; {path} ends with:{shown}" if shown else f"; {path} is empty"


def set_aside(run: Run) -> None:
    """Keep the output of an attempt that is going to be repeated: ``m.out`` becomes ``m.out.0``,
    and the run knows it.
    """
    run.step = replace(
        run.step, stdout=_kept(run.step.stdout, run), stderr=_kept(run.step.stderr, run)
    )


def _kept(path: Path, run: Run) -> Path:
    aside = path.with_name(f"{path.name}.{run.run_id}")
    try:
        path.rename(aside)
    except OSError:  # not there, or it cannot be kept: no reason not to try again
        return path
    return aside
