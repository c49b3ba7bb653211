"""``smartcore doctor``: is everything in order?"""

from __future__ import annotations

import os

import click

from smartcore.error import ConfigError

from .output import Json, json_option, print_json, print_table
from .shell import Shell, pass_shell


@click.command()
@json_option
@pass_shell
def doctor(shell: Shell, as_json: bool) -> None:
    """Check that smartcore can work here, and say what to do where it cannot.

    Looks at Python, plugins, settings, launchers, database servers, ports, limits and directories.
    Exit code 1 if a check failed; warnings are no failure.

    \b
    Example:
      smartcore doctor --json
    """
    from smartcore.doctor import examine
    from smartcore.spec import Verdict

    try:
        registry = shell.registry
    except ConfigError:  # one of the things that are found and told below
        registry = shell.load(())
    results = examine(registry, os.environ)
    rows: list[dict[str, Json]] = [
        {
            "check": result.name,
            "result": result.verdict.name,
            "seen": result.detail,
            "advice": result.advice or None,
        }
        for result in results
    ]
    (print_json if as_json else print_table)(rows)
    if any(result.verdict is Verdict.FAILURE for result in results):
        raise click.exceptions.Exit(1)
