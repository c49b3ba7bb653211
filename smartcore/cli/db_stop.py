"""``smartcore db stop``: ends databases, and tells what became of their data."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smartcore.error import SmartcoreError

from .db_views import DATABASE, chosen_views, how_it_ended
from .experiments import PATH, observer_of
from .output import Json, json_option, print_json
from .shell import Shell, pass_shell

if TYPE_CHECKING:
    from smartcore.spec import ShardStatistics
    from smartcore.viewing import DatabaseView

# Of clocks: that of this host and that of a file server.
_TOLERANCE = 1.0


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
    Models that use it are left alone; smartcore stop ends them first.

    \b
    Examples:
      smartcore db stop ./my-experiment
      smartcore db stop ./my-experiment --db features
    """
    with observer_of(shell, path) as observer:
        views = chosen_views(observer, identifier)
        running = [view for view in views if view.running]
        answers = {view.identifier: _ask(shell, view) for view in running}
        began = time.time()
        names = [run.name for view in running for run in view.runs if run.active]
        if names:
            observer.stop(names)
    fates = {
        view.identifier: {one.name: fate(one, began) for one in answers[view.identifier]}
        for view in running
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


def _ask(shell: Shell, view: DatabaseView) -> Sequence[ShardStatistics]:
    try:
        return view.ask(shell.registry)
    except SmartcoreError as error:  # it can be stopped all the same
        click.echo(f"smartcore: warning: {error}", err=True)
        return ()


def fate(before: ShardStatistics, began: float) -> _Fate:
    """What became of the data of a shard that was stopped.

    :param before: what it said before
    :param began: when it was asked to end, in seconds since 1970
    """
    if not before.answered:
        return _Fate(f"what became of its data is not known, it did not answer: {before.problem}")
    written = _changed(before.data)
    if before.saves and before.data is not None and before.data.is_dir():
        return _Fate(f"its data is in {before.data}", written)
    if before.saves and written is not None and written.timestamp() >= began - _TOLERANCE:
        when = written.astimezone().strftime("%H:%M:%S")
        return _Fate(f"its data was written to {before.data} at {when}", written)
    if before.saved is not None:
        when = before.saved.astimezone().isoformat(" ", "seconds")
        lost = f"; {before.unsaved} changes since then are lost" if before.unsaved else ""
        return _Fate(f"its data was written to {before.data} on {when}{lost}", before.saved)
    if not before.keys:
        return _Fate("it held no data")
    why = "it did not write it to disk" if before.saves else "it was to write nothing to disk"
    return _Fate(f"its data ({before.keys} key{'s' * (before.keys != 1)}) is lost: {why}")


def _changed(file: Path | None) -> datetime | None:
    try:
        return None if file is None else datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except OSError:
        return None


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
