"""What the core can say about plugins that are not installed; reads ``known.toml``."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache


@dataclass(frozen=True, slots=True)
class KnownPlugin:
    """One well-known plugin.

    :param name: its entry point's name
    :param distribution: what ``pip install`` takes
    :param classes: public class -> module that has it
    :param modules: import path below ``smartcore`` -> module that serves it
    """

    name: str
    distribution: str
    launchers: tuple[str, ...] = ()
    run_commands: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()
    colocations: tuple[str, ...] = ()
    classes: dict[str, str] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)


@cache
def known_plugins() -> tuple[KnownPlugin, ...]:
    """All well-known plugins, in the order of the file."""
    import tomllib
    from importlib.resources import files

    text = (files("smartcore") / "known.toml").read_text(encoding="utf-8")
    return tuple(
        KnownPlugin(
            name,
            table["distribution"],
            tuple(table.get("launchers", ())),
            tuple(table.get("run_commands", ())),
            tuple(table.get("databases", ())),
            tuple(table.get("colocations", ())),
            table.get("classes", {}),
            table.get("modules", {}),
        )
        for name, table in tomllib.loads(text).items()
    )


def known_provider(kind: str, name: str) -> KnownPlugin | None:
    """The well-known plugin that provides ``name``.

    :param kind: ``launchers``, ``run_commands``, ``databases``, ``colocations``, ``classes`` or
        ``modules``
    """
    return next((plugin for plugin in known_plugins() if name in getattr(plugin, kind)), None)
