"""Import paths that users know, served by plugins: found when used, or an error with the pip
name.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec

# Part of `import smartcore`, which stays cheap: what only annotations need is not imported, and the
# table of known plugins is read when an unknown path is asked for.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from smartcore.known import KnownPlugin


def resolve_class(name: str) -> object:
    """The public class of that name from the plugin that has it.

    :raises PluginMissingError: the plugin is not installed; says what to install
    :raises AttributeError: no well-known plugin has such a class
    """
    from smartcore.known import known_provider

    provider = known_provider("classes", name)
    if provider is None:
        raise AttributeError(f"module 'smartcore.settings' has no attribute {name!r}")
    return getattr(_import(provider, provider.classes[name], name), name)


def _import(provider: KnownPlugin, module: str, wanted: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # the plugin is there, something that it needs is not
        from smartcore.error import PluginMissingError

        raise PluginMissingError(
            f"{wanted} comes with a plugin that is not installed; run: pip install"
            f" '{provider.distribution}'",
            name=wanted,
        ) from None


class PluginPathFinder:
    """Serves import paths below ``smartcore`` that ``known.toml`` gives to a plugin.

    Stands last on ``sys.meta_path``: it is asked only for what the core itself does not have.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("smartcore."):
            return None
        from smartcore.known import known_provider

        if known_provider("modules", fullname) is None:
            return None
        # A loader by its methods; importlib.abc is slow to import.
        return ModuleSpec(fullname, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        from smartcore.known import known_provider

        provider = known_provider("modules", module.__name__)
        if provider is None:
            raise ImportError(f"no plugin serves {module.__name__}", name=module.__name__)
        served = _import(provider, provider.modules[module.__name__], module.__name__)
        # The import system hands out what stands in sys.modules after this.
        sys.modules[module.__name__] = served


def install() -> None:
    """Put the finder on ``sys.meta_path``, once."""
    if not any(isinstance(finder, PluginPathFinder) for finder in sys.meta_path):
        sys.meta_path.append(PluginPathFinder())
