"""What of a database's data is kept on disk, in words."""

from __future__ import annotations

from datetime import datetime

from smartcore.amounts import size, span
from smartcore.spec import Saved


def loss(saved: Saved | None, ended: datetime) -> str:
    """What of a shard's data is lost, and what keeps it the next time.

    :param saved: what it has on disk
    :param ended: when it ended
    """
    if saved is None:
        return (
            "all its data are lost, as no checkpoint of them was written;"
            " enable_checkpoints(seconds) has one written so often"
        )
    seconds = (ended - saved.written).total_seconds()
    if seconds <= 0:
        return f"its data are kept in {described(saved)}"
    return (
        f"its data are kept in {described(saved)}; what was written in the {span(seconds)} after"
        " that is lost"
    )


def described(saved: Saved) -> str:
    """A checkpoint with its size and its time."""
    when = saved.written.astimezone().isoformat(" ", "seconds")
    return f"{saved.path} ({size(saved.size)}, written {when})"
