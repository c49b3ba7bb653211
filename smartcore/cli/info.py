"""``smartcore info``: versions, paths and settings."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .output import Json, json_option, print_facts, print_json, print_table
from .shell import Shell, pass_shell

if TYPE_CHECKING:
    from smartcore.config import Config


@click.command()
@json_option
@pass_shell
def info(shell: Shell, as_json: bool) -> None:
    """Show versions, paths, and every setting with its value, origin and meaning.

    \b
    Example:
      SMARTCORE_MAX_RUNNING=4 smartcore info
    """
    versions, paths = _versions(shell), _paths(shell.config)
    settings, others = _settings(shell.config), _others()
    if as_json:
        print_json(
            {"versions": versions, "paths": paths, "settings": settings, "variables": others}
        )
        return
    print_facts(versions)
    click.echo()
    print_facts(paths)
    click.echo()
    print_table([_for_people(row) for row in settings])
    click.echo()
    print_table(others)


def _versions(shell: Shell) -> dict[str, Json]:
    from smartcore.loader import core_version

    plugins = {plugin.distribution: plugin.version for plugin in shell.registry.plugins}
    return {
        "smartcore": core_version(),
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        **{name: version for name, version in plugins.items() if name},
    }


def _paths(config: Config) -> dict[str, Json]:
    import smartcore
    from smartcore.config import config_files
    from smartcore.config.runtime import runtime_path

    return {
        "package": str(Path(smartcore.__file__).parent),
        "settings read": [str(path) for path in config.files],
        "settings looked for": [str(path) for path in reversed(config_files(config.environment))],
        "runtime directory": str(runtime_path(config)),
    }


def _settings(config: Config) -> list[dict[str, Json]]:
    from smartcore.config.table import SETTINGS

    return [
        {
            "variable": setting.variable,
            "setting": setting.key,
            "value": config.value(setting.key),
            "origin": config.origin(setting.key),
            "meaning": setting.doc,
        }
        for setting in SETTINGS
    ]


def _others() -> list[dict[str, Json]]:
    from smartcore.config.table import OTHER_VARIABLES

    return [
        {"variable": name, "value": os.environ.get(name), "meaning": meaning}
        for name, meaning in OTHER_VARIABLES.items()
    ]


def _for_people(row: dict[str, Json]) -> dict[str, Json]:
    # As they are written in files and in the environment.
    value = row["value"]
    return {**row, "value": str(value).lower() if isinstance(value, bool) else value}
