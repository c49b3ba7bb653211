"""What the commands of ``smartcore db`` share: which databases are meant, and what is said of one
that has ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from shlex import quote
from typing import TYPE_CHECKING

import click

from smartcore.amounts import span
from smartcore.error import DatabaseError

from .output import Json

if TYPE_CHECKING:
    from smartcore.observe import Observer
    from smartcore.viewing import DatabaseView

DATABASE = click.option(
    "--db",
    "identifier",
    metavar="ID",
    help="Only the database of this identifier.",
)


def chosen_views(observer: Observer, identifier: str | None) -> list[DatabaseView]:
    """The databases of an experiment, or the one that was named.

    :raises DatabaseError: there is none
    """
    from smartcore.viewing import choose, view_databases

    return choose(view_databases(observer), identifier, observer.path)


def running_views(observer: Observer, identifier: str | None) -> list[DatabaseView]:
    """Those of them that run.

    :raises DatabaseError: none does; when and how each ended
    """
    views = chosen_views(observer, identifier)
    running = [view for view in views if view.running]
    if not running:
        again = f"; its driver can start it again ({quote(str(observer.path))})"
        advice = "" if all(view.beside for view in views) else again
        raise DatabaseError(f"{'; '.join(map(how_it_ended, views))}{advice}")
    return running


def one_running_view(observer: Observer, identifier: str | None) -> DatabaseView:
    """The one that runs and can be asked.

    :raises DatabaseError: there is none, or more than one, or its passwords cannot be read
    """
    running = running_views(observer, identifier)
    if len(running) > 1:
        names = ", ".join(view.identifier for view in running)
        raise DatabaseError(f"several databases run; choose one with --db: {names}")
    (view,) = running
    if view.problem or view.known is None:
        raise DatabaseError(f"the database {view.identifier!r} cannot be used: {view.problem}")
    return view


def how_it_ended(view: DatabaseView) -> str:
    """When, and how, in one line."""
    status = view.status
    if view.beside is not None:
        how = next(iter(view.beside.dead.values()))
        return f"the database {view.identifier!r} has ended: {how}"
    if status is None:
        return f"the database {view.identifier!r} has not begun to run"
    age = span((datetime.now(UTC) - status.seen).total_seconds())
    reason = f", {status.reason}" if status.reason else ""
    return f"the database {view.identifier!r} ended {age} ago ({view.state}{reason})"


def without_blanks(rows: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """The rows without the columns in which there is nothing."""
    blank = {None, "", "-"}
    kept = [
        name
        for name in (rows[0] if rows else ())
        if any(isinstance(row[name], list) or row[name] not in blank for row in rows)
    ]
    return [{name: row[name] for name in kept} for row in rows]
