"""What the commands share: the plugins and the settings of one run of ``smartcore``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import cached_property
from typing import TYPE_CHECKING

import click

from smartcore import log
from smartcore.error import SmartcoreError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from smartcore.config import Config
    from smartcore.registry import Registry


class Shell:
    """Loads plugins and settings when a command first needs them.

    :param points: entry points of plugins; None finds those that are installed
    """

    def __init__(self, points: Iterable[EntryPoint] | None = None) -> None:
        self.points = points
        self.use_plugins = True

    @cached_property
    def registry(self) -> Registry:
        """The plugins; none of them with ``--no-plugins``."""
        from smartcore.loader import ALL_PLUGINS

        return self.load(None if self.use_plugins else [ALL_PLUGINS])

    def load(self, disabled: Collection[str] | None) -> Registry:
        """Load plugins but these; None reads the setting."""
        from smartcore.registry import Registry

        return Registry(self.points, disabled=disabled)

    @cached_property
    def config(self) -> Config:
        """The settings that hold here."""
        return self.registry.load_config()

    def log_level(self) -> str:
        """The level of messages; settings that cannot be read are for the commands to tell."""
        from smartcore import config

        try:
            return config.load().text("log_level")
        except SmartcoreError:
            return log.DEFAULT_LEVEL


pass_shell = click.make_pass_decorator(Shell, ensure=True)


Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def completer(list_names: Callable[[Registry], list[str]]) -> Completer:
    """Completes an argument in a shell from names that the registry has."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        try:
            names = list_names(context.ensure_object(Shell).registry)
        except SmartcoreError:  # no place for errors
            return []
        return [name for name in names if name.startswith(incomplete)]

    return complete


complete_launchers = completer(lambda registry: registry.names("launchers"))
complete_plugins = completer(lambda registry: [plugin.name for plugin in registry.plugins])
