"""Find the installed plugins and load each on its own, so that a broken one harms nobody else."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING

import pluggy

from smartcore.error import (
    PluginBrokenError,
    PluginConflictError,
    PluginError,
    PluginVersionError,
)
from smartcore.spec import hooks
from smartcore.version import __version__

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "smartcore"
ALL_PLUGINS = "all"
PREFIX = f"{hooks.PROJECT}_"


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point of the group ``smartcore``, and what became of it.

    :param name: name of the entry point
    :param module: the module that has the hooks
    :param distribution: what was pip-installed
    :param version: its version
    :param requires: the range of smartcore that it asks for, empty if it does not say
    :param error: why it cannot be used; None if it can
    :param disabled: switched off by the user
    """

    name: str
    module: str
    distribution: str = ""
    version: str = ""
    requires: str = ""
    error: PluginError | None = None
    disabled: bool = False

    @property
    def usable(self) -> bool:
        """True if it was loaded and registered."""
        return self.error is None and not self.disabled

    @property
    def state(self) -> str:
        """``ok``, ``disabled`` or ``broken``."""
        if self.disabled:
            return "disabled"
        return "ok" if self.error is None else "broken"


def core_version() -> str:
    """Version of the installed core; of the imported one if it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("smartcore")
    except PackageNotFoundError:
        return __version__


def discover(entry_points: Iterable[EntryPoint], disabled: Collection[str] = ()) -> list[Plugin]:
    """List plugins from metadata alone: nothing of them is imported.

    Those of another version of the core, and those whose name two distributions provide, carry
    their error already.

    :param disabled: names to switch off; ``all`` switches off every one
    """
    core = core_version()
    found = [
        _check_range(_from_metadata(point), core)
        for point in sorted(_distinct(entry_points), key=lambda point: point.name)
    ]
    found = [
        replace(plugin, disabled=True, error=None)
        if plugin.name in disabled or ALL_PLUGINS in disabled
        else plugin
        for plugin in found
    ]
    return [_check_conflict(plugin, found) for plugin in found]


def _distinct(points: Iterable[EntryPoint]) -> Iterable[EntryPoint]:
    # Entry points of two distributions are equal if they name the same module: a fork's may.
    by_origin = {
        (point.name, point.value, point.dist.name if point.dist else ""): point for point in points
    }
    return by_origin.values()


def _from_metadata(point: EntryPoint) -> Plugin:
    dist = point.dist
    if dist is None:
        return Plugin(point.name, point.module)
    return Plugin(point.name, point.module, dist.name, dist.version, _range(dist.requires or ()))


# A requirement of smartcore itself (PEP 508), unless for some environments or extras only. The
# parser of `packaging` would take longer than all the rest of this module.
_REQUIREMENT = re.compile(r"smartcore\s*(?:\[[^]]*\]\s*)?\(?([=<>!~][^;)]*)\)?\s*", re.IGNORECASE)


def _range(requirements: Iterable[str]) -> str:
    found = [match for text in requirements if (match := _REQUIREMENT.fullmatch(text))]
    return found[-1][1].strip() if found else ""


def _check_range(plugin: Plugin, core: str) -> Plugin:
    if not plugin.requires:
        return plugin
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        if SpecifierSet(plugin.requires).contains(core, prereleases=True):
            return plugin
    except InvalidSpecifier as cause:
        return replace(plugin, error=broken(plugin, "requires what cannot be read", cause))
    error = PluginVersionError(
        f"{plugin.distribution} {plugin.version} requires smartcore {plugin.requires}, but"
        f" {core} is installed; run: pip install --upgrade {plugin.distribution} smartcore"
    )
    return replace(plugin, error=error)


def _check_conflict(plugin: Plugin, found: list[Plugin]) -> Plugin:
    rivals = [other for other in found if other.name == plugin.name and not other.disabled]
    if len(rivals) < 2 or plugin.disabled:
        return plugin
    names = " and ".join(sorted(f"{rival.distribution} {rival.version}" for rival in rivals))
    error = PluginConflictError(
        f"two distributions provide the plugin {plugin.name!r}: {names}; uninstall one of them"
    )
    return replace(plugin, error=error)


Importer = Callable[[str], ModuleType]


def load(plugin: Plugin, manager: pluggy.PluginManager, importer: Importer) -> Plugin:
    """Import one plugin and hand it to the plugin manager; an error is kept, not raised."""
    if not plugin.usable:
        return plugin
    try:
        module = importer(plugin.module)
    except Exception as cause:  # noqa: BLE001 -- foreign code at import: anything can come
        return replace(plugin, error=broken(plugin, "cannot be imported", cause))
    try:
        _check_marks(module)
        manager.register(module, name=plugin.name)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as cause:
        if manager.has_plugin(plugin.name):
            manager.unregister(name=plugin.name)
        return replace(plugin, error=broken(plugin, "has a hook that smartcore lacks", cause))
    return plugin


def _check_marks(module: ModuleType) -> None:
    # Also names the nearest hook, which pluggy's message does not.
    specs = [name for name in vars(hooks) if name.startswith(PREFIX)]
    own = {
        name: value
        for name, value in vars(module).items()
        if name.startswith(PREFIX) and callable(value)
    }
    for name, value in own.items():
        if name not in specs:
            import difflib

            near = difflib.get_close_matches(name, specs, 1)
            raise ValueError(f"no hook is called {name}" + (f"; {near[0]}?" if near else ""))
        if not hasattr(value, f"{hooks.PROJECT}_impl"):
            raise ValueError(f"{name} is not marked with @hookimpl")


def broken(plugin: Plugin, what: str, cause: BaseException) -> PluginBrokenError:
    """The error of a plugin that failed; ``cause`` is chained to it."""
    error = PluginBrokenError(
        f"the plugin {plugin.name!r} of {plugin.distribution or plugin.module} {what}:"
        f" {type(cause).__name__}: {cause}"
    )
    error.__cause__ = cause
    return error
