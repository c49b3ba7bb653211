"""``smartcore ps`` and ``smartcore gc``: all experiments of a user on this host."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from smartcore.amounts import span
from smartcore.error import SmartcoreError
from smartcore.log import get_logger

from .experiments import observer_of
from .output import Json, json_option, print_json, print_table
from .shell import Shell, pass_shell

if TYPE_CHECKING:
    from smartcore.housekeeping import Leftover, Orphan, Overview, Place
    from smartcore.launch.run import Run

log = get_logger(__name__)

OLDER_THAN = 7.0


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Show also those that have ended.")
@json_option
@pass_shell
def ps(shell: Shell, everything: bool, as_json: bool) -> None:
    """Show your experiments on this host: those of which something runs, or that are driven.

    AGE is how long ago the newest driver took the experiment up. What runs without a driver goes on
    until it ends by itself, or until smartcore stop or smartcore gc ends it.

    \b
    Examples:
      smartcore ps
      smartcore ps --all --json
    """
    from smartcore.config.runtime import runtime_directory
    from smartcore.housekeeping import find_places, look, own_processes

    processes = own_processes()
    places = find_places(runtime_directory(shell.config), processes)
    views = [look(place, processes, shell.registry, shell.config) for place in places]
    # Of a removed directory of which nothing runs there is nothing to say.
    views = [
        view
        for view in views
        if view.living or view.place.problem or (everything and not view.place.gone)
    ]
    if as_json:
        print_json([_facts(view) for view in views])
    elif views:
        print_table([_line(view) for view in views])
    else:
        click.echo("nothing runs" if everything else "nothing runs; see also: smartcore ps --all")


def _facts(view: Overview) -> dict[str, Json]:
    driver = view.driver
    age = None
    if driver is not None:
        age = round((datetime.now(UTC) - driver.opened).total_seconds(), 3)
    return {
        "experiment": view.place.name,
        "path": str(view.place.path),
        "launcher": view.launcher or None,
        "driver": None
        if driver is None
        else {"host": driver.host, "pid": driver.pid, "living": driver.living},
        "keeper": view.keeper,
        "queued": view.queued,
        "running": view.running,
        "stale": view.stale,
        "ended": view.ended,
        "failed": view.failed,
        "age": age,
        "uses": [] if view.place.story is None else sorted(view.place.story.uses.values()),
        "problem": view.problem or None,
    }


def _line(view: Overview) -> dict[str, Json]:
    row = _facts(view)
    driver = view.driver
    who = None if driver is None else f"{driver.pid}" if driver.living else f"{driver.pid} (gone)"
    running = f"{view.running} ({view.stale} stale)" if view.stale else view.running
    age = None if row["age"] is None else span(float(str(row["age"])))
    shown: dict[str, Json] = {**row, "driver": who, "running": running, "age": age}
    del shown["stale"], shown["uses"]
    return shown


@dataclass(frozen=True, slots=True)
class _Found:
    orphans: Sequence[Orphan]
    used: Sequence[tuple[Orphan, Sequence[Place]]]
    elsewhere: Sequence[tuple[Place, Run]]
    leftovers: Sequence[Leftover]
    unread: Sequence[str]

    @property
    def nothing(self) -> bool:
        return not self.orphans and not self.leftovers

    def as_json(self) -> dict[str, Json]:
        return {
            "processes": [_orphan(orphan) for orphan in self.orphans],
            "used": [
                {**_orphan(orphan), "users": [str(user.path) for user in users]}
                for orphan, users in self.used
            ],
            "elsewhere": [
                {
                    "experiment": place.name,
                    "path": str(place.path),
                    "name": run.name,
                    "job": run.job,
                    "state": run.status.state.value,
                }
                for place, run in self.elsewhere
            ],
            "files": [
                {"path": str(item.path), "what": item.what, "age": round(_age(item), 3)}
                for item in self.leftovers
            ],
        }


def _orphan(orphan: Orphan) -> dict[str, Json]:
    return {
        "experiment": orphan.place.name,
        "name": orphan.name,
        "pid": orphan.pid,
        "processes": orphan.members,
        "since": orphan.since.isoformat(timespec="seconds"),
        "path": str(orphan.place.path),
    }


def _age(item: Leftover) -> float:
    return max(0.0, time.time() - item.changed)


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(file_okay=False, path_type=Path))
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=OLDER_THAN,
    show_default=True,
    metavar="DAYS",
    help="Remove scripts, notes and passwords of ended experiments that are older.",
)
@json_option
@pass_shell
def gc(
    shell: Shell,
    paths: tuple[Path, ...],
    dry_run: bool,
    yes: bool,
    older_than: float,
    as_json: bool,
) -> None:
    """End processes that have no living driver, and remove files that nobody needs any more.

    All of your experiments on this host are looked at, or those in PATHS. Only processes are ended
    whose number, start time and tag stand in a journal, or that a keeper of ours keeps. What a
    scheduler or another host runs, and a database that a living experiment uses, is only told.
    Journals, exit records and output stay.

    \b
    Examples:
      smartcore gc --dry-run
      smartcore gc ./my-experiment --yes
    """
    found = _find(shell, paths, older_than)
    if not (found.nothing or dry_run or yes) and (as_json or not sys.stdin.isatty()):
        raise click.UsageError("nobody can be asked here: give --yes, or --dry-run to look only")
    if not as_json:
        _show(found)
    if not (dry_run or yes or found.nothing):
        click.confirm(f"{_plan(found)}?", abort=True)
    # Of all experiments, one that cannot be read is only told: the others were looked after.
    failed = bool(paths and found.unread)
    errors = list(found.unread)
    done = not dry_run and not found.nothing
    if done:
        problems = [*_end(shell, found.orphans), *_remove(found.leftovers)]
        errors += problems
        failed |= bool(problems)
    if as_json:
        print_json({**found.as_json(), "done": done, "errors": errors})
    elif done and not errors:
        click.echo("done")
    for error in errors:
        click.echo(f"smartcore: error: {error}", err=True)
    if failed:
        raise click.exceptions.Exit(1)


def _find(shell: Shell, paths: Sequence[Path], older_than: float) -> _Found:
    from smartcore.config.runtime import runtime_directory
    from smartcore.housekeeping import (
        databases_in_use,
        find_leftovers,
        find_orphans,
        find_places,
        look,
        own_processes,
        users_of,
    )

    runtime = runtime_directory(shell.config)
    processes = own_processes()
    places = find_places(runtime, processes, paths)
    everywhere = find_places(runtime, processes) if paths else places
    users = [place for place in everywhere if place.story is not None and place.story.uses]
    in_use = databases_in_use(
        [
            place
            for place in users
            if place.owned or look(place, processes, shell.registry, shell.config).living
        ]
    )
    orphans: list[Orphan] = []
    used: list[tuple[Orphan, Sequence[Place]]] = []
    elsewhere: list[tuple[Place, Run]] = []
    idle = []
    for place in places:
        if place.owned:
            continue
        own = find_orphans(place, processes)
        view = look(place, processes, shell.registry, shell.config)
        ours = {orphan.identity for orphan in own}
        others = [(place, run) for run in view.active if run.job not in ours]
        for orphan in own:
            if users := users_of(orphan, in_use):
                used.append((orphan, users))
            else:
                orphans.append(orphan)
        elsewhere += others
        if not (own or others or place.keepers):
            idle.append(place)
    before = time.time() - older_than * 86400
    leftovers = find_leftovers(places, idle, None if paths else runtime, before)
    unread = [place.problem for place in places if place.problem]
    return _Found(orphans, used, elsewhere, leftovers, unread)


def _show(found: _Found) -> None:
    if found.orphans:
        click.echo("These have no living driver:\n")
        print_table([_orphan(orphan) for orphan in found.orphans])
        click.echo()
    if found.used:
        click.echo("These databases have no living driver, and are used, so they are left alone:\n")
        for orphan, users in found.used:
            who = ", ".join(str(user.path) for user in users)
            click.echo(
                f"  {orphan.name} ({orphan.pid}) is used by {who}; to end it all the same:"
                f" smartcore stop {quote(str(orphan.place.path))}"
            )
        click.echo()
    if found.elsewhere:
        click.echo("These are a scheduler's or another host's, and are left alone:\n")
        for place, run in found.elsewhere:
            click.echo(f"  {run.name} ({run.job}): smartcore stop {quote(str(place.path))}")
        click.echo()
    if found.leftovers:
        click.echo("These files are left over:\n")
        for item in found.leftovers:
            click.echo(f"  {item.path} ({item.what}, {span(_age(item))})")
        click.echo()
    if found.nothing and not found.unread:
        click.echo("nothing to end, nothing to remove")


def _plan(found: _Found) -> str:
    parts = []
    if found.orphans:
        count = sum(orphan.members for orphan in found.orphans)
        parts.append(f"end {count} process{'es' * (count != 1)}")
    if found.leftovers:
        count = len(found.leftovers)
        parts.append(f"remove {count} file{'s' * (count != 1)}")
    return " and ".join(parts).capitalize()


def _end(shell: Shell, orphans: Sequence[Orphan]) -> list[str]:
    from smartcore.config.runtime import runtime_directory
    from smartcore.housekeeping import end_orphans, find_orphans, find_places, own_processes

    runtime = runtime_directory(shell.config)
    grace = timedelta(seconds=shell.config.number("stop_grace"))
    agreed = {orphan.identity for orphan in orphans}
    errors = []
    processes = own_processes()
    for path in dict.fromkeys(orphan.place.path for orphan in orphans):
        try:
            # Somebody may have taken it up while we asked.
            (place,) = find_places(runtime, processes, [path])
            own = [one for one in find_orphans(place, processes) if one.identity in agreed]
            _stop(shell, place, own)
            processes = own_processes()
            own = [one for one in find_orphans(place, processes) if one.identity in agreed]
            end_orphans(place, own, runtime, grace)
        except SmartcoreError as error:
            errors.append(f"{path}: {error}")
    return errors


def _stop(shell: Shell, place: Place, orphans: Sequence[Orphan]) -> None:
    """Let the launcher end what it can, as it knows how its processes want to be ended: some run
    commands end what they have started at once if all their processes are signalled.
    """
    known = [] if place.story is None or place.gone else place.story.runs
    led = {orphan.identity for orphan in orphans if orphan.led}
    if names := {run.name for run in known if run.job in led}:
        try:
            with observer_of(shell, place.path) as observer:
                observer.stop(names)
        except SmartcoreError as error:
            log.debug("%s: what is left is ended without its launcher: %s", place.path, error)


def _remove(leftovers: Sequence[Leftover]) -> list[str]:
    from smartcore.housekeeping import remove

    errors = []
    for item in leftovers:
        try:
            remove(item)
        except OSError as error:
            errors.append(f"cannot remove {item.path}: {error.strerror}")
    return errors
