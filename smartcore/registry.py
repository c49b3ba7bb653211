"""What the installed plugins offer: names first, objects only when somebody asks for them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from smartcore import config
from smartcore.error import (
    PluginBrokenError,
    PluginConflictError,
    PluginMissingError,
    SmartcoreError,
    UnsupportedError,
)
from smartcore.known import known_provider
from smartcore.loader import GROUP, Plugin, broken, discover, load
from smartcore.log import get_logger
from smartcore.registration import KINDS, Entry, LauncherEntry, RunCommandEntry
from smartcore.spec import (
    Check,
    Colocation,
    DatabaseBackend,
    Launcher,
    LauncherContext,
    LauncherFactory,
    RunCommand,
    Site,
    hooks,
)
from smartcore.spec.settings import BatchSettings, RunSettings

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

log = get_logger(__name__)
T = TypeVar("T")


class Registry:
    """The plugins of one process.

    Loading imports the light modules that entry points name, each guarded; launchers, databases and
    the rest are imported when they are asked for. Pass one to ``Experiment(registry=...)`` to
    choose the plugins yourself.

    :param points: entry points to load; None finds those that are installed
    :param disabled: names of plugins to leave out (``all`` for every one); None reads the setting
        ``disable_plugins``
    :raises ConfigError: that setting cannot be read
    """

    def __init__(
        self,
        points: Iterable[EntryPoint] | None = None,
        *,
        disabled: Collection[str] | None = None,
    ) -> None:
        if points is None:
            from importlib.metadata import entry_points

            points = entry_points(group=GROUP)
        if disabled is None:
            disabled = config.load().names("disable_plugins")
        self._manager = pluggy.PluginManager(hooks.PROJECT)
        self._manager.add_hookspecs(hooks)
        self._entries: dict[str, dict[str, list[Entry]]] = {kind: {} for kind in KINDS}
        self._objects: dict[tuple[str, str], object] = {}
        self.plugins: list[Plugin] = [
            self._register(plugin) for plugin in discover(points, disabled)
        ]

    def _register(self, plugin: Plugin) -> Plugin:
        plugin = load(plugin, self._manager, importlib.import_module)
        if not plugin.usable:
            return plugin
        collected: list[tuple[str, Entry]] = []
        for kind, registrar_class in KINDS.items():
            registrar = registrar_class(plugin.name)
            hook = f"smartcore_register_{kind}"
            try:
                self._call(hook, plugin.name, registry=registrar)
            except Exception as cause:  # noqa: BLE001 -- foreign code: kept for who asks
                self._manager.unregister(name=plugin.name)
                return replace(plugin, error=broken(plugin, f"failed in {hook}", cause))
            collected += [(kind, entry) for entry in registrar.entries]
        # All or nothing: a plugin that fails half-way registers nothing.
        for kind, entry in collected:
            self._entries[kind].setdefault(entry.name, []).append(entry)
        return plugin

    def _call(self, hook: str, plugin: str, **arguments: object) -> None:
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            if implementation.plugin_name == plugin:
                _invoke(implementation, arguments)

    def emit(self, event: str, **arguments: object) -> None:
        """Call an event hook of every plugin; one that raises is logged by name and harms
        nobody.
        """
        for implementation in getattr(self._manager.hook, event).get_hookimpls():
            try:
                _invoke(implementation, arguments)
            except Exception:  # foreign code: an event must not abort a launch
                log.exception("the plugin %r failed in %s", implementation.plugin_name, event)

    # -- names ----------------------------------------------------------------------------------

    def names(self, kind: str) -> list[str]:
        """Registered names of one kind: ``launchers``, ``run_commands``, ``databases``..."""
        return sorted(self._entries[kind])

    def entries(self, kind: str) -> list[Entry]:
        """Registered entries of one kind, those in conflict left out, ordered by name."""
        found = sorted(self._entries[kind].items())
        return [entries[0] for _, entries in found if len(entries) == 1]

    def entry(self, kind: str, name: str) -> Entry:
        """The entry of one kind and name.

        :raises PluginConflictError: two plugins registered it
        :raises PluginBrokenError: the plugin that would provide it is broken
        :raises PluginMissingError: a well-known plugin provides it, and is not installed
        :raises UnsupportedError: nobody knows it
        """
        entries = self._entries[kind].get(name, [])
        if len(entries) == 1:
            return entries[0]
        if entries:
            makers = " and ".join(sorted(self._distribution(entry.plugin) for entry in entries))
            noun = _noun(kind)
            raise PluginConflictError(
                f"two distributions provide the {noun} {name!r}: {makers}; uninstall one of them"
            )
        raise self._missing(kind, name)

    def _missing(self, kind: str, name: str) -> Exception:
        provider = known_provider(kind, name)
        installed = ", ".join(self.names(kind)) or "none"
        noun = _noun(kind)
        for plugin in self.plugins:
            if plugin.name in {name, provider.name if provider else name} and not plugin.usable:
                if plugin.error is not None:
                    return plugin.error
                return PluginMissingError(
                    f"the {noun} {name!r} is switched off: its plugin {plugin.name!r} is in"
                    f" SMARTCORE_DISABLE_PLUGINS; installed: {installed}"
                )
        if provider is not None:
            return PluginMissingError(
                f"the {noun} {name!r} is not installed; run: pip install"
                f" '{provider.distribution}'; installed: {installed}"
            )
        bad = [plugin.name for plugin in self.plugins if plugin.error is not None]
        hint = f"; broken plugins: {', '.join(bad)} (see: smartcore plugins list)" if bad else ""
        return UnsupportedError(f"no {noun} named {name!r}; installed: {installed}{hint}")

    def _distribution(self, plugin: str) -> str:
        found = self.plugin(plugin)
        return f"{found.distribution} {found.version}" if found.distribution else plugin

    def makers(self, kind: str, name: str) -> list[str]:
        """Names of the plugins that registered it; more than one are in conflict."""
        return [entry.plugin for entry in self._entries[kind].get(name, ())]

    def registered(self, plugin: str) -> list[tuple[str, Entry]]:
        """What one plugin registered, as (kind, entry), those in conflict with others included."""
        return [
            (kind, entry)
            for kind, named in self._entries.items()
            for entries in named.values()
            for entry in entries
            if entry.plugin == plugin
        ]

    def plugin(self, name: str) -> Plugin:
        """The plugin of that name.

        :raises UnsupportedError: there is none
        """
        for plugin in self.plugins:
            if plugin.name == name:
                return plugin
        names = ", ".join(plugin.name for plugin in self.plugins) or "none"
        raise UnsupportedError(f"no plugin named {name!r}; installed: {names}")

    # -- objects --------------------------------------------------------------------------------

    def load(self, target: str, plugin: str) -> Any:
        """Import the target of a registration.

        :raises PluginBrokenError: naming the plugin
        """
        module, _, attribute = target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as cause:
            raise broken(self.plugin(plugin), f"cannot give {target}", cause) from cause

    def _object(self, kind: str, name: str, expected: type[T]) -> T:
        entry = self.entry(kind, name)
        key = (kind, name)
        if key not in self._objects:
            self._objects[key] = self._make(entry)
        made = self._objects[key]
        if not isinstance(made, expected):
            raise PluginBrokenError(
                f"{entry.target} of the plugin {entry.plugin!r} is a {type(made).__name__},"
                f" not a {expected.__name__}"
            )
        return made

    def _make(self, entry: Entry) -> object:
        loaded = self.load(entry.target, entry.plugin)
        if not isinstance(loaded, type):
            return loaded
        try:
            return loaded()
        except Exception as cause:
            raise broken(self.plugin(entry.plugin), f"cannot make {entry.target}", cause) from cause

    def launcher(self, name: str) -> LauncherEntry:
        """The launcher's entry; a composed one has its scheduler's targets filled in.

        :raises PluginBrokenError: it is composed of a composed one
        """
        entry = self._launcher_entry(name)
        if not entry.scheduler:
            return entry
        base = self._launcher_entry(entry.scheduler)
        if base.scheduler:
            raise PluginBrokenError(
                f"the launcher {name!r} of the plugin {entry.plugin!r} is composed of"
                f" {base.name!r}, which is itself composed of {base.scheduler!r}; name a scheduler"
            )
        return replace(
            entry, target=base.target, detect=base.detect, batch_settings=base.batch_settings
        )

    def _launcher_entry(self, name: str) -> LauncherEntry:
        entry = self.entry("launchers", name)
        if not isinstance(entry, LauncherEntry):
            raise UnsupportedError(f"{name!r} is no launcher")
        return entry

    def make_launcher(self, name: str, context: LauncherContext) -> Launcher:
        """Make a launcher for one experiment."""
        entry = self.launcher(name)
        factory: LauncherFactory = self.load(entry.target, entry.plugin)
        try:
            made = factory(context)
        except SmartcoreError:
            raise
        except Exception as cause:
            raise broken(self.plugin(entry.plugin), f"cannot make {entry.target}", cause) from cause
        if not isinstance(made, Launcher):
            raise PluginBrokenError(
                f"{entry.target} of the plugin {entry.plugin!r} made a {type(made).__name__},"
                " not a Launcher"
            )
        return made

    def run_command(self, name: str) -> RunCommand:
        """The run command of that program name."""
        return self._object("run_commands", name, RunCommand)  # type: ignore[type-abstract]

    def database(self, name: str) -> DatabaseBackend:
        """The database back end of that name."""
        return self._object("databases", name, DatabaseBackend)  # type: ignore[type-abstract]

    def databases_in_use(self) -> list[DatabaseBackend]:
        """The database back ends that were asked for so far."""
        return [made for made in list(self._objects.values()) if isinstance(made, DatabaseBackend)]

    def colocation(self, name: str) -> Colocation:
        """The way of colocation of that name."""
        return self._object("colocations", name, Colocation)  # type: ignore[type-abstract]

    def site(self, name: str) -> Site:
        """The site of that name."""
        return self._object("sites", name, Site)

    def load_config(self, environment: Mapping[str, str] | None = None) -> config.Config:
        """The settings that hold on this host, the defaults of its site's plugin included.

        :param environment: variables; None takes those of this process
        :raises ConfigError: see :func:`smartcore.config.load`
        :raises PluginError: the plugin of a site is broken
        """
        sites = (self.site(name) for name in self.names("sites"))
        defaults = config.site_defaults(sites, os.uname().nodename)
        return config.load(environment, site=defaults)

    def check(self, name: str) -> Check:
        """The health check of that name."""
        entry = self.entry("checks", name)
        check: Check = self.load(entry.target, entry.plugin)
        return check

    def run_settings_class(self, command: str) -> type[RunSettings] | None:
        """The settings class of a run command, None if nobody registered that command.

        :raises PluginMissingError: a well-known plugin would provide it, and is not installed
        """
        if command not in self._entries["run_commands"]:
            if known_provider("run_commands", command) is None:
                return None
            raise self._missing("run_commands", command)
        entry = self.entry("run_commands", command)
        if not isinstance(entry, RunCommandEntry):
            return None
        made: type[RunSettings] = self.load(entry.settings, entry.plugin)
        return made

    def batch_settings_class(self, launcher: str) -> type[BatchSettings]:
        """The batch settings class of a launcher.

        :raises UnsupportedError: the launcher has no batch jobs
        """
        entry = self.launcher(launcher)
        if not entry.batch_settings:
            raise UnsupportedError(f"the launcher {launcher!r} has no batch jobs")
        made: type[BatchSettings] = self.load(entry.batch_settings, entry.plugin)
        return made


def _invoke(implementation: pluggy.HookImpl, arguments: Mapping[str, object]) -> None:
    # A hook may take fewer arguments than its specification has.
    implementation.function(**{name: arguments[name] for name in implementation.argnames})


def _noun(kind: str) -> str:
    return kind[:-1].replace("_", " ")


@cache
def default_registry() -> Registry:
    """The registry of the installed plugins that serves the lazy import paths."""
    return Registry()
