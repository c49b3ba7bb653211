"""``smartcore db stop``: ends databases, and tells what became of their data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from smartcore.error import DatabaseError, SmartcoreError

from .db_views import DATABASE, chosen_views, how_it_ended
from .experiments import PATH, observer_of
from .output import Json, json_option, print_json
from .shell import Shell, pass_shell

if TYPE_CHECKING:
    from smartcore.spec import Saved, ShardStatistics
    from smartcore.viewing import DatabaseView

# Of clocks: that of this host and that of a file server.
_TOLERANCE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Fate:
    """What became of the data of one shard.

    :param told: for people
    :param written: when it was last written to disk, None if it was not, or if that is not known
    """

    told: str
    written: datetime | None = None


@click.command()
@PATH
@DATABASE
@json_option
@pass_shell
def stop(shell: Shell, path: Path, identifier: str | None, as_json: bool) -> None:
    """Stop the databases of the experiment in PATH, or the one that is named.

    A server that is configured to writes its data to disk before it ends (enable_checkpoints).
    Models that use it are left alone; smartcore stop ends them first. A database next to a model
    ends with its model, and only so.

    \b
    Examples:
      smartcore db stop ./my-experiment
      smartcore db stop ./my-experiment --db features
    """
    with observer_of(shell, path) as observer:
        views = _apart(chosen_views(observer, identifier), path)
        running = [view for view in views if view.running]
        answers = {view.identifier: _ask(shell, view) for view in running}
        began = datetime.now(UTC)
        names = [run.name for view in running for run in view.runs if run.active]
        if names:
            observer.stop(names)
    fates = {
        view.identifier: {
            one.name: fate(one, saved.get(one.name), began) for one in answers[view.identifier]
        }
        for view in running
        for saved in [_saved(shell, view)]
    }
    if as_json:
        print_json({"stopped": [_facts(view, fates[view.identifier]) for view in running]})
        return
    for view in running:
        click.echo(f"stopped {view.identifier}")
        for name, found in fates[view.identifier].items():
            click.echo(f"  {name}: {found.told}")
    if not running:
        click.echo(f"nothing was running: {'; '.join(map(how_it_ended, views))}")


def _apart(views: Sequence[DatabaseView], path: Path) -> list[DatabaseView]:
    # Those that can be stopped by themselves.
    beside = [view.beside for view in views if view.beside is not None]
    apart = [view for view in views if view.beside is None]
    if beside:
        told = [f"{one.live.identifier} ends with its model {one.run.name}" for one in beside]
        models = " ".join(quote(one.run.name) for one in beside)
        why = f"{', '.join(told)}: smartcore stop {quote(str(path))} {models}"
        if not apart:
            raise DatabaseError(why)
        click.echo(f"smartcore: {why}", err=True)
    return apart


def _ask(shell: Shell, view: DatabaseView) -> Sequence[ShardStatistics]:
    try:
        return view.ask(shell.registry)
    except SmartcoreError as error:  # it can be stopped all the same
        click.echo(f"smartcore: warning: {error}", err=True)
        return ()


def _saved(shell: Shell, view: DatabaseView) -> Mapping[str, Saved | None]:
    known = view.known
    if known is None:
        return {}
    backend = shell.registry.database(known.backend)
    return {shard.name: backend.saved(shard) for shard in known.shards}


def fate(before: ShardStatistics, saved: Saved | None, began: datetime) -> _Fate:
    """What became of the data of a shard that was stopped.

    :param before: what it said before
    :param saved: what it has on disk now
    :param began: when it was asked to end
    """
    from smartcore.database.kept import described

    written = saved.written if saved else None
    if before.answered and before.saves and before.data is not None and before.data.is_dir():
        return _Fate(f"its data are kept in {before.data}", written)
    kept = f"its data are kept in {described(saved)}" if saved else ""
    if written is not None and written >= began - _TOLERANCE:
        return _Fate(kept, written)
    if not before.answered:
        newest = f"; what it wrote last is {described(saved)}" if saved else ""
        return _Fate(f"what became of its data is not known: {before.problem}{newest}", written)
    if saved is not None:
        lost = f"; {before.unsaved} changes after that are lost" if before.unsaved else ""
        return _Fate(kept + lost, written)
    if not before.keys:
        return _Fate("it held no data")
    why = "it did not write them to disk" if before.saves else "enable_checkpoints was not called"
    return _Fate(f"all its data ({before.keys} key{'s' * (before.keys != 1)}) are lost: {why}")


def _facts(view: DatabaseView, fates: Mapping[str, _Fate]) -> dict[str, Json]:
    return {
        "database": view.identifier,
        "shards": [
            {
                "name": name,
                "data": found.told,
                "written": found.written.isoformat() if found.written else None,
            }
            for name, found in fates.items()
        ],
    }
