"""``smartcore db plot``: a picture of a database's telemetry."""

from __future__ import annotations

from pathlib import Path

import click

from smartcore.error import DatabaseError

from .db_views import DATABASE
from .experiments import PATH
from .output import json_option, print_json


@click.command()
@PATH
@DATABASE
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to; its ending says how: .png, .svg, .pdf.  [default: ./<ID>.png]",
)
@json_option
def plot(path: Path, identifier: str | None, file: Path | None, as_json: bool) -> None:
    """Draw memory and operations of each shard of a database over time, from the telemetry that the
    experiment in PATH wrote: database.telemetry.enable().

    Needs matplotlib: pip install 'smartcore[plot]'.

    \b
    Examples:
      smartcore db plot ./my-experiment
      smartcore db plot ./my-experiment --db features -o features.svg
    """
    from smartcore.database.plot import draw, read_series

    path = path.expanduser().absolute()
    identifier = _chosen(path, identifier)
    series = read_series(path, identifier)
    file = file or Path(f"{identifier}.png")
    draw(series, f"{identifier} of {path.name}", file)
    if as_json:
        print_json({"database": identifier, "file": str(file), "shards": [s.name for s in series]})
    else:
        click.echo(f"written to {file}")


def _chosen(path: Path, identifier: str | None) -> str:
    from smartcore.database.plot import recorded

    names = recorded(path)
    if identifier is not None:
        return identifier
    if not names:
        raise DatabaseError(
            f"no telemetry of a database in {path}; switch it on: database.telemetry.enable()"
        )
    if len(names) > 1:
        raise DatabaseError(
            f"several databases have telemetry; choose one with --db: {', '.join(names)}"
        )
    return names[0]
