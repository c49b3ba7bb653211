"""``smartcore databases``: which servers there are."""

from __future__ import annotations

import os

import click

from .output import Json, json_option, print_json, print_table
from .shell import Shell, pass_shell


@click.group()
def databases() -> None:
    """Show database back ends.

    \b
    Example:
      smartcore databases list
    """


@databases.command("list")
@json_option
@pass_shell
def list_(shell: Shell, as_json: bool) -> None:
    """List back ends with the server that each finds here, or why it finds none.

    \b
    Example:
      REDIS_PATH=/opt/redis/bin/redis-server smartcore databases list
    """
    from smartcore.doctor import servers

    chosen = shell.config.text("database.backend")
    rows: list[dict[str, Json]] = []
    for found in servers(shell.registry, os.environ):
        server = found.server
        rows.append(
            {
                "name": found.name,
                "distribution": found.distribution,
                "default": found.name == chosen,
                "server": server.executable if server else None,
                "version": server.version if server else None,
                "source": server.source if server else None,
                "error": found.error or None,
            }
        )
    if as_json:
        print_json(rows)
    elif rows:
        print_table(rows)
    else:
        click.echo("no database back end is installed", err=True)
