"""What users are told when their driver ends and something goes on, or never began."""

from __future__ import annotations

import atexit
import shlex
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from smartcore.launch.run import Run
from smartcore.log import get_logger

log = get_logger(__name__)

# Named without a sentence of its own for each.
NAMED = 5


class Driven(Protocol):
    """An experiment of this process."""

    name: str
    path: Path

    def give_up(self) -> None:
        """End what a blocking call still waits for."""

    def hear_out(self) -> None:
        """Return when users' functions were called for all ends so far."""

    def active(self) -> list[Run]:
        """Everything that is queued or running."""


_DRIVEN: weakref.WeakSet[Driven] = weakref.WeakSet()


def warn_at_exit(driven: Driven) -> None:
    """Look at this one when the interpreter ends; it is not kept alive by that."""
    if driven not in _DRIVEN:
        if not _DRIVEN:
            atexit.register(_farewell)
        _DRIVEN.add(driven)


def _farewell() -> None:
    for driven in list(_DRIVEN):
        driven.give_up()
        driven.hear_out()
        going = [run for run in driven.active() if run.job is not None]
        if going:
            log.warning(
                "the driver of %r ends and these go on: %s; to end them: smartcore stop %s",
                driven.name,
                some([f"{run.name} ({run.job})" for run in going]),
                shlex.quote(str(driven.path)),
            )
        waiting = [run.name for run in driven.active() if run.job is None]
        if waiting:
            log.warning(
                "the driver of %r ends before these could be started, and they never will be: %s;"
                " wait() for them next time",
                driven.name,
                some(waiting),
            )


def some(names: Sequence[str]) -> str:
    """The first names, and how many there are more."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
