"""What of a database's data is kept on disk, in words."""

from __future__ import annotations

from datetime import datetime

from smartcore.amounts import size, span
from smartcore.launch.report import tail
from smartcore.spec import DatabaseBackend, Saved, ShardPlan

_SHORTEST = 1.0


def kept_all(backend: DatabaseBackend, shard: ShardPlan) -> bool:
    """True if a shard that has ended wrote all its data before, by the end of its output."""
    output = tail(shard.directory / f"{shard.name}.out")
    return backend.kept_all(shard, output) and backend.saved(shard) is not None


def loss(saved: Saved | None, ended: datetime, *, whole: bool = False) -> str:
    """What of a shard's data is lost, and what keeps it the next time.

    :param saved: what it has on disk
    :param ended: when it ended
    :param whole: it wrote all its data before
    """
    if saved is None:
        return (
            "all its data are lost, as no checkpoint of them was written;"
            " enable_checkpoints(seconds) has one written so often, if something changed"
        )
    seconds = (ended - saved.written).total_seconds()
    if whole or seconds <= 0:
        return f"all its data are kept in {described(saved)}"
    # Of less than that, clocks and roundings tell nothing.
    after = f"in the {span(seconds)} after that" if seconds >= _SHORTEST else "after that"
    return f"its data are kept in {described(saved)}; what was written {after} is lost"


def described(saved: Saved) -> str:
    """A checkpoint with its size and its time."""
    when = saved.written.astimezone().isoformat(" ", "seconds")
    return f"{saved.path} ({size(saved.size)}, written {when})"
