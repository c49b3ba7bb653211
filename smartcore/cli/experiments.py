"""``smartcore status``, ``logs`` and ``stop``: an experiment seen from any shell."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smartcore.amounts import span
from smartcore.error import InputError

from .output import Json, json_option, print_json, print_table
from .shell import Shell, pass_shell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smartcore.launch.run import Run
    from smartcore.observe import Observer
    from smartcore.spec import JobId

PATH = click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
WATCH_INTERVAL = 1.0


def observer_of(shell: Shell, path: Path) -> Observer:
    """Who looks at the experiment in ``path``."""
    from smartcore.observe import Observer

    return Observer(path, shell.registry, shell.config)


@click.command()
@PATH
@click.option("--watch", is_flag=True, help="Show it again every second until all has ended.")
@json_option
@pass_shell
def status(shell: Shell, path: Path, watch: bool, as_json: bool) -> None:
    """Show how the models and databases of the experiment in PATH stand.

    AGE is how long ago the status was seen. A status that nobody confirmed now, since the
    scheduler does not answer or the process is on another host, is stale. Shards that ended, and
    whose database serves again by others, are replaced. The exit code is 1 if something else failed
    or is lost.

    \b
    Examples:
      smartcore status ./my-experiment
      smartcore status ./my-experiment --watch
    """
    observer = observer_of(shell, path)
    runs = observer.refresh()
    _show(observer, runs, as_json)
    with suppress(KeyboardInterrupt):
        while watch and any(run.active for run in runs):
            # What another process drives can only be asked about.
            time.sleep(WATCH_INTERVAL)
            runs = observer.refresh()
            click.clear()
            _show(observer, runs, as_json)
    if any(run.failed and not run.replaced for run in runs):
        raise click.exceptions.Exit(1)


def _show(observer: Observer, runs: list[Run], as_json: bool) -> None:
    names = observer.native_ids(runs)
    rows = [_row(observer, run, names) for run in runs]
    driver = observer.driver
    if as_json:
        drivers: Json = None if driver is None else {"host": driver.host, "pid": driver.pid}
        print_json(
            {
                "experiment": observer.story.name,
                "launcher": observer.story.launcher,
                "driver": drivers,
                "runs": rows,
            }
        )
        return
    print_table([_text(row) for row in rows])
    who = "no driver" if driver is None else f"driven by process {driver.pid} on {driver.host}"
    click.echo(f"\n{observer.story.name}: launcher {observer.story.launcher}, {who}")


def _row(observer: Observer, run: Run, names: Mapping[JobId, str]) -> dict[str, Json]:
    status = run.status
    return {
        "name": run.name,
        "type": run.kind,
        "job": names[run.job] if run.job is not None else None,
        "run": run.run_id,
        "state": status.state.value,
        "stale": observer.is_stale(run),
        "replaced": run.replaced,
        "code": status.returncode,
        "reason": status.reason or (status.cause.value if status.cause else None),
        "age": round(max(0.0, (datetime.now(UTC) - status.seen).total_seconds()), 3),
    }


def _text(row: dict[str, Json]) -> dict[str, Json]:
    age = span(float(str(row["age"])))
    more = f" (stale, {age})" if row["stale"] else " (replaced)" if row["replaced"] else ""
    shown = {key: row[key] for key in row if key not in {"stale", "replaced"}}
    return shown | {"state": f"{row['state']}{more}", "age": age}


@click.command()
@PATH
@click.argument("name")
@click.option("-e", "--errors", is_flag=True, help="Show standard error instead of output.")
@click.option("-f", "--follow", is_flag=True, help="Go on as it grows, until it has ended.")
@json_option
@pass_shell
def logs(shell: Shell, path: Path, name: str, errors: bool, follow: bool, as_json: bool) -> None:
    """Print the output of NAME, a model or shard of the experiment in PATH.

    \b
    Examples:
      smartcore logs ./my-experiment flow_0
      smartcore logs ./my-experiment flow_0 --errors --follow
    """
    observer = observer_of(shell, path)
    run = named(observer.refresh(), name)
    file = run.step.stderr if errors else run.step.stdout
    try:
        stream = file.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from error
    with stream, suppress(KeyboardInterrupt):
        if as_json:
            text = stream.read().decode(errors="replace")
            print_json({"name": name, "file": str(file), "text": text})
            return
        while True:
            going = follow and named(observer.refresh(), name).active
            while chunk := stream.read(65536):
                click.echo(chunk, nl=False)
            if not going:
                return
            # Somebody else's file: its growth is no event that works on every file system.
            time.sleep(WATCH_INTERVAL / 4)


def named(runs: list[Run], name: str) -> Run:
    """The newest run of a name.

    :raises InputError: there is none
    """
    for run in reversed(runs):
        if run.name == name:
            return run
    known = ", ".join(dict.fromkeys(run.name for run in runs))
    raise InputError(f"no {name} in this experiment; there are: {known}")


@click.command()
@PATH
@click.argument("names", nargs=-1)
@json_option
@pass_shell
def stop(shell: Shell, path: Path, names: tuple[str, ...], as_json: bool) -> None:
    """Stop what the experiment in PATH runs: all of it, or what is NAMED.

    Models go first, then databases. What has ended already is left as it is. The identifier of a
    database names all its shards.

    \b
    Examples:
      smartcore stop ./my-experiment
      smartcore stop ./my-experiment flow_0 flow_1
    """
    stopped = observer_of(shell, path).stop(names)
    if as_json:
        print_json({"stopped": [{"name": run.name, "job": run.job} for run in stopped]})
        return
    if not stopped:
        click.echo("nothing was running")
    for run in stopped:
        click.echo(f"stopped {run.name} ({run.job})")
