"""``smartcore db``: the databases of experiments, from any shell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smartcore.amounts import size, span
from smartcore.error import SmartcoreError

from .db_connect import connect
from .db_plot import plot
from .db_stop import stop
from .db_top import top
from .db_views import DATABASE, chosen_views, without_blanks
from .experiments import PATH, observer_of
from .output import Json, json_option, print_facts, print_json, print_table
from .shell import Shell, pass_shell

if TYPE_CHECKING:
    from smartcore.launch.run import Run
    from smartcore.observe import Observer
    from smartcore.spec import ShardPlan, ShardStatistics
    from smartcore.viewing import DatabaseView


@click.group()
def db() -> None:
    """Look into databases, stop them, connect to them.

    \b
    Examples:
      smartcore db list
      smartcore db top ./my-experiment
      smartcore db connect ./my-experiment
    """


db.add_command(connect)
db.add_command(plot)
db.add_command(stop)
db.add_command(top)


@db.command("list")
@click.argument(
    "path", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("-a", "--all", "everything", is_flag=True, help="Show also those that have ended.")
@json_option
@pass_shell
def list_(shell: Shell, path: Path | None, everything: bool, as_json: bool) -> None:
    """List the databases of the experiment in PATH; without it, those of all of your experiments
    on this host that run.

    Those next to a model (MODEL) are listed as long as they serve: they end with it.

    \b
    Examples:
      smartcore db list
      smartcore db list ./my-experiment --json
    """
    rows = list(_rows(shell, path))
    if path is None and not everything:
        rows = [row for row in rows if row["running"] or row["database"] is None]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(without_blanks([_line(row, path) for row in rows]))
    elif path is not None:
        click.echo(f"no database was started in {path}")
    else:
        click.echo("no database runs" + ("" if everything else "; see also: smartcore db list -a"))


def _rows(shell: Shell, path: Path | None) -> Iterator[dict[str, Json]]:
    for place in [path] if path is not None else _places(shell):
        try:
            with observer_of(shell, place) as observer:
                yield from _databases(shell, observer)
        except SmartcoreError as error:
            if path is not None:
                raise
            # Of all experiments, one that cannot be read is only told.
            unread: dict[str, Json] = {"experiment": None, "path": str(place), "database": None}
            yield {**unread, "running": False, "problem": str(error)}


def _places(shell: Shell) -> list[Path]:
    from smartcore.config.runtime import runtime_directory
    from smartcore.housekeeping import find_places, own_processes
    from smartcore.launch.notes import DIRECTORY

    places = find_places(runtime_directory(shell.config), own_processes())
    return [
        place.path
        for place in places
        if place.story is not None
        and (place.story.databases or Path(place.path, DIRECTORY).is_dir())
    ]


def _databases(shell: Shell, observer: Observer) -> Iterator[dict[str, Json]]:
    from smartcore.database.figures import between, total
    from smartcore.viewing import view_databases

    for view in view_databases(observer):
        answers, problem = _ask(shell, view)
        everything = total(between(answers))
        known, status = view.known, view.status
        failed = status.reason if status and any(run.failed for run in view.runs) else ""
        yield {
            "experiment": observer.story.name,
            "path": str(observer.path),
            "database": view.identifier,
            **_next_to(view),
            "backend": known.backend if known else None,
            "version": known.server.version if known else None,
            "shards": len(known.shards) if known else len(view.runs),
            "addresses": known.addresses if known else [],
            "state": view.state,
            "running": view.running,
            "memory": everything.memory,
            "keys": everything.keys,
            "problem": problem or failed or None,
        }


def _next_to(view: DatabaseView) -> dict[str, Json]:
    one = view.beside
    nodes = view.known.nodes if view.known else ()
    return {
        "model": one.run.name if one else None,
        "identifier": (one.identifier or None) if one else None,
        "nodes": list(nodes),
        "since": one.since.isoformat(timespec="seconds") if one else None,
    }


def _ask(shell: Shell, view: DatabaseView) -> tuple[Sequence[ShardStatistics], str]:
    try:
        answers = view.ask(shell.registry)
    except SmartcoreError as error:
        return (), str(error)
    problems = [answer.problem or answer.save_problem for answer in answers]
    return answers, view.problem or next(filter(None, problems), "")


def _line(row: Mapping[str, Json], path: Path | None) -> dict[str, Json]:
    memory, nodes, since = row.get("memory"), row.get("nodes"), row.get("since")
    shown = {
        "experiment": row["experiment"],
        "path": row["path"],
        "database": row["database"],
        "model": row.get("model"),
        "node": ", ".join(map(str, nodes)) if isinstance(nodes, list) else None,
        **{name: row.get(name) for name in ("backend", "version", "shards", "addresses", "state")},
        "since": f"{_age(datetime.fromisoformat(since))} ago" if isinstance(since, str) else None,
        "memory": size(memory) if isinstance(memory, int) else None,
        "keys": row.get("keys"),
        "problem": row["problem"],
    }
    return shown if path is None else {key: shown[key] for key in list(shown)[2:]}


@db.command()
@PATH
@DATABASE
@json_option
@pass_shell
def info(shell: Shell, path: Path, identifier: str | None, as_json: bool) -> None:
    """Tell all about the databases of the experiment in PATH.

    SAVED is when a shard last wrote its data to disk, off if it never does by itself.

    \b
    Examples:
      smartcore db info ./my-experiment
      smartcore db info ./my-experiment --db features --json
    """
    with observer_of(shell, path) as observer:
        views = chosen_views(observer, identifier)
        told = [(view, *_ask(shell, view)) for view in views]
    if as_json:
        print_json([_facts(view, answers, problem) for view, answers, problem in told])
        return
    for number, (view, answers, problem) in enumerate(told):
        if number:
            click.echo()
        facts = _facts(view, answers, problem)
        del facts["shards"], facts["running"]
        facts["nodes"] = ", ".join(view.known.nodes) if view.known else None
        print_facts(without_blanks([facts])[0])
        if view.known is not None:
            click.echo()
            print_table(without_blanks(_shard_lines(view, answers)))


def _facts(view: DatabaseView, answers: Sequence[ShardStatistics], problem: str) -> dict[str, Json]:
    from smartcore.database.figures import shard_facts

    known, status = view.known, view.status
    told = {answer.name: shard_facts(answer) for answer in answers}
    facts: dict[str, Json] = {
        "database": view.identifier,
        **_next_to(view),
        "state": view.state,
        "running": view.running,
        "reason": status.reason or None if status else None,
        "seen": status.seen.isoformat(timespec="seconds") if status else None,
        "reconnect file": str(view.checkpoint) if view.checkpoint else None,
    }
    if known is not None:
        facts |= {
            "directory": str(known.shards[0].directory),
            "backend": known.backend,
            "version": known.server.version,
            "program": known.server.executable,
            "addresses": known.addresses,
            "clustered": known.shards[0].clustered,
            "password needed": not known.credentials.open,
            "auth file": str(known.auth_file),
            "encrypted": known.credentials.certificate is not None,
        }
        if known.credentials.certificate is not None:
            facts["authority file"] = str(known.credentials.certificate.file)
    shards = known.shards if known else ()
    nodes = known.nodes if known and known.nodes else [""] * len(shards)
    facts["problem"] = problem or None
    facts["shards"] = [
        {
            "name": shard.name,
            "address": str(shard.address),
            "node": node or None,
            "state": _state(view, shard.name, run),
            "output": str(_output(view, shard, run)) if run else None,
            **told.get(shard.name, {}),
        }
        for shard, node in zip(shards, nodes, strict=True)
        for run in [view.run_of(shard.index)]
    ]
    return facts


def _state(view: DatabaseView, shard: str, run: Run | None) -> str | None:
    if view.beside is not None:
        return view.beside.state_of(shard).value
    return run.status.state.value if run else None


def _output(view: DatabaseView, shard: ShardPlan, run: Run) -> Path:
    return shard.directory / f"{shard.name}.log" if view.beside else run.step.stdout


def _shard_lines(view: DatabaseView, answers: Sequence[ShardStatistics]) -> list[dict[str, Json]]:
    from smartcore.database.figures import Figures, columns, figures

    told = {answer.name: answer for answer in answers}
    known = view.known
    assert known is not None
    rows: list[dict[str, Json]] = []
    for shard, node in zip(known.shards, known.nodes or [""] * len(known.shards), strict=True):
        answer, run = told.get(shard.name), view.run_of(shard.index)
        shown = columns(figures(answer) if answer else Figures(shard.name))
        well = answer is not None and answer.answered
        rows.append(
            {
                "shard": shard.name,
                "address": str(shard.address),
                "node": node,
                "state": _state(view, shard.name, run),
                "memory": shown.pop("memory"),
                "peak": size(answer.memory_peak) if answer and well else None,
                **shown,
                "uptime": span(answer.uptime.total_seconds()) if answer and well else None,
                "saved": _saved(answer) if answer and well else None,
                "role": answer.role or None if answer else None,
                "cluster": answer.cluster or None if answer else None,
                "problem": (answer.problem or answer.save_problem or None) if answer else None,
            }
        )
    return rows


def _saved(answer: ShardStatistics) -> str:
    if answer.saved is None:
        return "not yet" if answer.saves else "off"
    return f"{_age(answer.saved)} ago, {answer.unsaved} changes since"


def _age(time: datetime) -> str:
    return span((datetime.now(UTC) - time).total_seconds())
