"""Whether all that a plugin registers can be imported and is what it should be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import click

from smartcore.error import PluginBrokenError, SmartcoreError
from smartcore.loader import Plugin
from smartcore.registration import Entry
from smartcore.registry import Registry
from smartcore.spec import BatchSettings, RunSettings


class Checked(NamedTuple):
    """What became of one registration, or of a plugin that has none; no error is good."""

    plugin: str
    what: str
    result: str
    error: str | None = None


def check_plugin(registry: Registry, plugin: Plugin) -> list[Checked]:
    """Load every target of one plugin."""
    if not plugin.usable:
        error = None if plugin.error is None else str(plugin.error)
        return [Checked(plugin.name, "plugin", plugin.state, error)]
    found = [
        _check(registry, plugin, kind, entry) for kind, entry in registry.registered(plugin.name)
    ]
    return found or [Checked(plugin.name, "plugin", "ok")]


def _check(registry: Registry, plugin: Plugin, kind: str, entry: Entry) -> Checked:
    what = f"{kind.removesuffix('s').replace('_', ' ')} {entry.name}"
    try:
        _CHECKS[kind](registry, entry.name)
    except SmartcoreError as error:
        return Checked(plugin.name, what, "broken", str(error))
    return Checked(plugin.name, what, "ok")


def _launcher(registry: Registry, name: str) -> None:
    entry = registry.launcher(name)
    for target in (entry.target, entry.detect):
        if target:
            _callable(registry, entry, target)
    made = registry.load(entry.target, entry.plugin)
    missing = getattr(made, "__abstractmethods__", ())
    if missing:
        raise _wrong(entry, entry.target, f"lacks {', '.join(sorted(missing))}")
    if entry.batch_settings:
        settings = registry.batch_settings_class(name)
        _expect(entry, entry.batch_settings, settings, BatchSettings)
    if entry.scheduler:
        for command in entry.run_commands:
            registry.run_command(command)


def _run_command(registry: Registry, name: str) -> None:
    registry.run_command(name)
    made = registry.run_settings_class(name)
    _expect(registry.entry("run_commands", name), "settings", made, RunSettings)


def _health_check(registry: Registry, name: str) -> None:
    entry = registry.entry("checks", name)
    _callable(registry, entry, entry.target)


def _command(registry: Registry, name: str) -> None:
    entry = registry.entry("commands", name)
    if not isinstance(registry.load(entry.target, entry.plugin), click.Command):
        raise _wrong(entry, entry.target, "is no click command")


def _callable(registry: Registry, entry: Entry, target: str) -> None:
    if not callable(registry.load(target, entry.plugin)):
        raise _wrong(entry, target, "cannot be called")


def _expect(entry: Entry, target: str, made: object, base: type) -> None:
    if not isinstance(made, type) or not issubclass(made, base):
        raise _wrong(entry, target, f"is no {base.__name__} class")


def _wrong(entry: Entry, target: str, what: str) -> PluginBrokenError:
    return PluginBrokenError(f"{target} of {entry.name!r} in the plugin {entry.plugin!r} {what}")


_CHECKS: Mapping[str, Callable[[Registry, str], object]] = {
    "launchers": _launcher,
    "run_commands": _run_command,
    "databases": Registry.database,
    "colocations": Registry.colocation,
    "sites": Registry.site,
    "checks": _health_check,
    "commands": _command,
}
