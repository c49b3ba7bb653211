"""``smartcore launchers``: what can launch here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from smartcore.error import SmartcoreError

from .output import Json, cell, json_option, print_facts, print_json, print_table
from .shell import Shell, complete_launchers, pass_shell

if TYPE_CHECKING:
    from smartcore.detection import Choice, Finding


@click.group()
def launchers() -> None:
    """Show launchers, and which one launcher="auto" takes.

    \b
    Examples:
      smartcore launchers list
      smartcore launchers show local
      smartcore launchers detect --json
    """


@launchers.command("list")
@json_option
@pass_shell
def list_(shell: Shell, as_json: bool) -> None:
    """List the installed launchers, the best for this host first.

    A score of 100 means inside an allocation, 50 a server that answers, 10 a program on PATH, 1 a
    fallback, 0 not usable here. The highest score wins.

    \b
    Example:
      smartcore launchers list --json
    """
    from smartcore.detection import Choice, choose, find

    findings = find(shell.registry, os.environ)
    try:
        choice = choose(shell.registry, shell.config, os.environ, findings)
    except SmartcoreError as error:
        choice = Choice("", str(error))
    rows = [_row(shell, finding, choice) for finding in findings]
    if as_json:
        print_json({"launchers": rows, "auto": {"name": choice.name or None, "why": choice.why}})
        return
    if rows:
        print_table(rows)
        click.echo()
    click.echo(f"auto takes {choice.name or 'none'}: {cell(choice.why)}")
    _tell_of_broken(shell)


def _row(shell: Shell, finding: Finding, choice: Choice) -> dict[str, Json]:
    entry, detection = finding.entry, finding.detection
    makers = [
        plugin for plugin in shell.registry.plugins if plugin.name in entry.plugin.split(", ")
    ]
    return {
        "name": entry.name,
        "distribution": ", ".join(plugin.distribution for plugin in makers),
        "version": ", ".join(plugin.version for plugin in makers),
        "usable": detection.usable,
        "score": int(detection.score),
        "auto": entry.name == choice.name,
        "evidence": detection.evidence,
    }


def _tell_of_broken(shell: Shell) -> None:
    bad = [plugin.name for plugin in shell.registry.plugins if plugin.error is not None]
    if bad:
        click.echo(f"broken plugins: {', '.join(bad)}; see: smartcore plugins list", err=True)


@launchers.command()
@click.argument("name", shell_complete=complete_launchers)
@json_option
@pass_shell
def show(shell: Shell, name: str, as_json: bool) -> None:
    """Show one launcher: what it is made of, and what it finds here.

    \b
    Example:
      smartcore launchers show local
    """
    from smartcore.detection import find

    registry = shell.registry
    entry = registry.launcher(name.lower())
    plugin = registry.plugin(entry.plugin)
    (detection,) = (
        finding.detection
        for finding in find(registry, os.environ)
        if finding.entry.name == entry.name
    )
    facts: dict[str, Json] = {
        "name": entry.name,
        "summary": entry.summary,
        "plugin": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "made by": entry.target,
        "scheduler": entry.scheduler or None,
        "run commands": list(entry.run_commands),
        "batch settings": entry.batch_settings or None,
        "auto may take it": entry.auto,
        "usable here": detection.usable,
        "score": int(detection.score),
        "evidence": detection.evidence,
        "workload manager": detection.version or None,
    }
    (print_json if as_json else print_facts)(facts)


@launchers.command()
@json_option
@pass_shell
def detect(shell: Shell, as_json: bool) -> None:
    """Print the launcher that launcher="auto" takes here; exit code 1 if there is none.

    \b
    Example:
      launcher=$(smartcore launchers detect)
    """
    from smartcore.detection import choose

    try:
        choice = choose(shell.registry, shell.config, os.environ)
    except SmartcoreError as error:
        if not as_json:
            raise
        print_json({"name": None, "why": str(error)})
        raise click.exceptions.Exit(1) from None
    if as_json:
        print_json({"name": choice.name, "why": choice.why})
    else:
        click.echo(choice.name)
