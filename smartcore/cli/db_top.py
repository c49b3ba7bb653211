"""``smartcore db top``: what databases do, live."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .db_views import DATABASE, how_it_ended, running_views, without_blanks
from .experiments import PATH, observer_of
from .output import Json, json_option, print_table
from .shell import Shell, pass_shell

if TYPE_CHECKING:
    from rich.table import Table

    from smartcore.database.figures import Figures
    from smartcore.observe import Observer
    from smartcore.registry import Registry
    from smartcore.spec import ShardStatistics
    from smartcore.viewing import DatabaseView

# How long a shard may take to answer: it must not hold up the others.
_LEAST, _MOST = 0.5, 2.0
_NEARLY_FULL, _FULL = 0.8, 0.95
# What goes first on a narrow terminal; the name of a shard begins with that of its database.
_DISPENSABLE = ("evicted", "out/s", "in/s", "clients", "database", "limit")
_GAP = 3  # between columns


@click.command()
@PATH
@DATABASE
@click.option(
    "-i",
    "--interval",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks.",
)
@click.option("--once", is_flag=True, help="Look once.")
@json_option
@pass_shell
def top(
    shell: Shell,
    path: Path,
    identifier: str | None,
    interval: float,
    once: bool,
    as_json: bool,
) -> None:
    """Show what each shard of the databases of the experiment in PATH does, until Ctrl-C.

    OPS/S, HITS (reads that found their key), IN/S, OUT/S and EVICTED are those of the time since
    the last look. Of the first look, and of the only one without a terminal or with --once, OPS/S
    is what the server itself measures, HITS and EVICTED are those since its start. Each look counts
    as three or four operations. With --json each look is one line.

    \b
    Examples:
      smartcore db top ./my-experiment
      smartcore db top ./my-experiment --interval 5 --json
    """
    from smartcore.progress import is_terminal

    with observer_of(shell, path) as observer:
        watch = Watch(observer, running_views(observer, identifier), shell.registry, interval)
        try:
            if as_json:
                for look in watch.looks(once):
                    click.echo(json.dumps(look_facts(look), ensure_ascii=False))
            elif once or not is_terminal(sys.stdout):
                if rows := _rows(watch.look()):
                    print_table(without_blanks([dict(row) for row in rows]))
                for view in watch.views:
                    if view.running and view.problem:
                        click.echo(f"{view.identifier}: {view.problem}", err=True)
            else:
                _live(watch)
        except KeyboardInterrupt:
            return
        if not once and not watch.running:
            click.echo("; ".join(map(how_it_ended, watch.views)), err=True)


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one time.

    :param seconds: since the look before, None of the first
    :param shards: identifier of the database, and figures
    """

    experiment: str
    time: datetime
    seconds: float | None
    shards: Sequence[tuple[str, Figures]]


@dataclass
class Watch:
    """Looks at databases again and again."""

    observer: Observer
    views: list[DatabaseView]
    registry: Registry
    interval: float
    _before: dict[str, Sequence[ShardStatistics]] = field(default_factory=dict)
    _last: float | None = None

    @property
    def running(self) -> bool:
        """True while one of them runs."""
        return any(view.running for view in self.views)

    def looks(self, once: bool = False) -> Iterator[Look]:
        """One look in each interval, until none of them runs."""
        due = time.monotonic()
        while True:
            yield self.look()
            if once or not self.running:
                return
            due = max(due + self.interval, time.monotonic())
            # Nothing tells of a server's numbers: they can only be asked for.
            time.sleep(max(0.0, due - time.monotonic()))

    def look(self) -> Look:
        """Ask all of them."""
        from smartcore.database.figures import between

        timeout = timedelta(seconds=min(max(self.interval, _LEAST), _MOST))
        now = time.monotonic()
        seconds = None if self._last is None else now - self._last
        shards: list[tuple[str, Figures]] = []
        silent = False
        for view in self.views:
            answers = view.ask(self.registry, timeout)
            before = self._before.get(view.identifier, ())
            shards += [(view.identifier, one) for one in between(answers, before, seconds or 0.0)]
            self._before[view.identifier] = answers
            silent |= not answers or any(answer.problem for answer in answers)
        self._last = now
        if silent:
            self._refresh()
        return Look(self.observer.story.name, datetime.now(UTC), seconds, shards)

    def _refresh(self) -> None:
        # It may have ended, or it was started again on other ports.
        from smartcore.viewing import view_databases

        watched = {view.identifier for view in self.views}
        self.views = [view for view in view_databases(self.observer) if view.identifier in watched]


def look_facts(look: Look) -> dict[str, Json]:
    """A look for programs."""
    from smartcore.database.figures import facts, total

    return {
        "time": look.time.isoformat(timespec="milliseconds"),
        "interval": None if look.seconds is None else round(look.seconds, 3),
        "shards": [
            {"database": database, "shard": one.name, **facts(one), "problem": one.problem or None}
            for database, one in look.shards
        ],
        "total": dict(facts(total(one for _, one in look.shards))),
    }


def _rows(look: Look) -> list[dict[str, str]]:
    from smartcore.database.figures import columns, total

    rows = [
        {"database": database, "shard": one.name, **columns(one), "problem": one.problem}
        for database, one in look.shards
    ]
    if len(rows) > 1:
        everything = total(one for _, one in look.shards)
        rows.append({"database": "", "shard": "total", **columns(everything), "problem": ""})
    return rows


def fitting(rows: Sequence[dict[str, str]], width: int) -> list[dict[str, str]]:
    """The rows without the columns that matter least, as many as must go to fit into ``width``."""
    names = list(rows[0]) if rows else []
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    for name in _DISPENSABLE:
        if sum(widths[each] + _GAP for each in names) <= width:
            break
        names = [each for each in names if each != name]
    return [{name: row[name] for name in names} for row in rows]


def _live(watch: Watch) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with Live(console=console, auto_refresh=False, redirect_stderr=False) as live:
        for look in watch.looks():
            live.update(_table(look, watch.interval, console.width), refresh=True)


def _table(look: Look, interval: float, width: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    at = look.time.astimezone().strftime("%H:%M:%S")
    table = Table(
        title=f"{look.experiment} at {at}, every {interval:g} s, Ctrl-C ends it",
        title_justify="left",
        title_style="dim",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    rows = _rows(look)
    if not any(row["problem"] for row in rows):
        rows = [{name: row[name] for name in row if name != "problem"} for row in rows]
    rows = fitting(rows, width)
    for name in rows[0] if rows else ():
        left = name in {"database", "shard", "problem"}
        table.add_column(name, justify="left" if left else "right", no_wrap=name != "problem")
    styles = [*(_style(one) for _, one in look.shards), "bold"]
    for row, style in zip(rows, styles, strict=False):
        table.add_row(*(Text(text) for text in row.values()), style=style)
    return table


def _style(one: Figures) -> str:
    from smartcore.database.figures import fullness

    if one.problem:
        return "red"
    part = fullness(one) or 0.0
    return "red" if part >= _FULL else "yellow" if part >= _NEARLY_FULL else ""
