"""``smartcore plugins``: what is installed, and whether it works."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .output import Json, json_option, print_facts, print_json, print_table
from .shell import Shell, complete_plugins, pass_shell

if TYPE_CHECKING:
    from smartcore.loader import Plugin

NO_PLUGINS = "no plugins are installed"


@click.group()
def plugins() -> None:
    """Show and check the installed plugins.

    \b
    Examples:
      smartcore plugins list
      smartcore plugins show local
      smartcore plugins check
    """


@plugins.command("list")
@json_option
@pass_shell
def list_(shell: Shell, as_json: bool) -> None:
    """List plugins: ok, disabled, or broken with the error.

    \b
    Example:
      SMARTCORE_DISABLE_PLUGINS=local smartcore plugins list
    """
    rows = [_row(plugin) for plugin in shell.registry.plugins]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(rows)
    else:
        click.echo(NO_PLUGINS, err=True)


def _row(plugin: Plugin) -> dict[str, Json]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "requires": f"smartcore {plugin.requires}" if plugin.requires else None,
        "state": plugin.state,
        "error": None if plugin.error is None else str(plugin.error),
    }


@plugins.command()
@click.argument("name", shell_complete=complete_plugins)
@json_option
@pass_shell
def show(shell: Shell, name: str, as_json: bool) -> None:
    """Show one plugin, and all that it registers.

    \b
    Example:
      smartcore plugins show local
    """
    plugin = shell.registry.plugin(name)
    facts = {**_row(plugin), "module": plugin.module}
    entries: list[Json] = [
        {"kind": kind, "name": entry.name, "target": entry.target, "summary": entry.summary}
        for kind, entry in shell.registry.registered(name)
    ]
    if as_json:
        print_json({**facts, "registers": entries})
        return
    print_facts(facts)
    if entries:
        click.echo()
        print_table([entry for entry in entries if isinstance(entry, dict)])


@plugins.command()
@click.argument("name", required=False, shell_complete=complete_plugins)
@json_option
@pass_shell
def check(shell: Shell, name: str | None, as_json: bool) -> None:
    """Import all that plugins register, and check that each is what it should be.

    Exit code 1 if anything is broken. Plugins that are disabled are not looked at.

    \b
    Example:
      smartcore plugins check local
    """
    from .targets import check_plugin

    registry = shell.registry
    wanted = registry.plugins if name is None else [registry.plugin(name)]
    rows: list[dict[str, Json]] = [
        found._asdict() for plugin in wanted for found in check_plugin(registry, plugin)
    ]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(rows)
    else:
        click.echo(NO_PLUGINS, err=True)
    if any(row["error"] for row in rows):
        raise click.exceptions.Exit(1)


@plugins.command()
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Directory to make it in; the current one by default.",
)
@json_option
def new(name: str, into: Path, as_json: bool) -> None:
    """Begin a launcher plugin: a distribution with tests that are green.

    It speaks with a fake workload manager, until its commands are replaced by yours.

    \b
    Example:
      smartcore plugins new flux && cd smartcore-flux && pip install -e '.[dev]' && pytest
    """
    from .scaffold import new_plugin

    root = new_plugin(name, into)
    files = [str(path) for path in sorted(root.rglob("*")) if path.is_file()]
    if as_json:
        print_json({"directory": str(root), "files": files})
    else:
        click.echo("\n".join(files))
