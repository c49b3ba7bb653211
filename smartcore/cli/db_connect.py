"""``smartcore db connect``: becomes the server's own command-line client."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smartcore.error import DatabaseError

from .db_views import DATABASE, one_running_view
from .experiments import PATH, observer_of
from .output import json_option, print_json
from .shell import Shell, pass_shell

if TYPE_CHECKING:
    from smartcore.database import LiveDatabase
    from smartcore.spec import Command


@click.command()
@PATH
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@DATABASE
@json_option
@pass_shell
def connect(
    shell: Shell, path: Path, command: tuple[str, ...], identifier: str | None, as_json: bool
) -> None:
    """Become the client of the database server of the experiment in PATH, logged in as the user
    that models use. With a COMMAND, run that only.

    The password is not on the command line. Without a client on this host, lines of Python are
    printed that connect. With --json, how to connect is printed, and nothing is run.

    \b
    Examples:
      smartcore db connect ./my-experiment
      smartcore db connect ./my-experiment --db features
      smartcore db connect ./my-experiment -- DBSIZE
    """
    with observer_of(shell, path) as observer:
        view = one_running_view(observer, identifier)
    known = view.known
    assert known is not None
    program, why = _client(shell, known)
    recipe = shell.registry.database(known.backend).recipe(known.shards, known.auth_file)
    if as_json:
        print_json(
            {
                "database": view.identifier,
                "addresses": known.addresses,
                "clustered": known.shards[0].clustered,
                "auth_file": str(known.auth_file),
                "command": [*program.argv, *command] if program else None,
                "password_in": list(program.env) if program else [],
                "recipe": recipe or None,
            }
        )
        return
    if program is None:
        click.echo(recipe or f"{', '.join(known.addresses)}, password in {known.auth_file}")
        raise DatabaseError(f"{why}; the lines above connect from Python")
    _become(program, command)


def _client(shell: Shell, known: LiveDatabase) -> tuple[Command | None, str]:
    backend = shell.registry.database(known.backend)
    why = ""
    # The client beside the server that runs, else any that is here.
    for setting in (known.server.executable, ""):
        try:
            server = backend.find(os.environ, setting=setting)
        except DatabaseError as error:
            why = why or f"no command-line client here: {error}"
            continue
        program = backend.client(server, known.shards[0])
        if program is not None:
            return program, ""
        why = f"no command-line client for {known.backend} beside {server.executable} or on PATH"
    return None, why


def _become(program: Command, command: tuple[str, ...]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    argv = [*program.argv, *command]
    try:
        os.execve(argv[0], argv, {**os.environ, **program.env})
    except OSError as error:
        raise DatabaseError(f"cannot run {argv[0]}: {error.strerror}") from error
