"""The start of a new launcher plugin: a distribution whose tests are green from the first day."""

from __future__ import annotations

import re
from pathlib import Path

from smartcore.error import InputError, PathExistsError
from smartcore.known import known_plugins
from smartcore.version import __version__

TEMPLATES = Path(__file__).with_name("templates") / "plugin"
_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_SUFFIX = ".j2"


def new_plugin(name: str, parent: Path) -> Path:
    """Write a distribution ``smartcore-<name>`` below ``parent``, and return its directory.

    :raises InputError: it cannot be the name of a launcher, or there is one of that name
    :raises PathExistsError: something is there already
    """
    _check(name)
    facts = _facts(name)
    root = parent / facts["distribution"]
    if root.exists() or root.is_symlink():
        raise PathExistsError(f"{root} exists already; remove it, or choose another directory")
    for path, text in render(facts).items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return root


def render(facts: dict[str, str]) -> dict[Path, str]:
    """The files of a new plugin, by their path below its directory."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    files = {}
    for template in sorted(TEMPLATES.glob(f"*{_SUFFIX}")):
        name = template.name.removesuffix(_SUFFIX)
        files[_place(name, facts["package"])] = environment.get_template(template.name).render(
            facts
        )
    return files


def _place(name: str, package: str) -> Path:
    if not name.endswith(".py"):
        return Path(name)
    if name.startswith("test_"):
        return Path("tests", name)
    return Path("src", package, name)


def _check(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be the name of a launcher; use lower-case letters, digits and single"
            " dashes, beginning with a letter"
        )
    for plugin in known_plugins():
        if name in plugin.launchers or plugin.distribution == f"smartcore-{name}":
            raise InputError(
                f"there is a launcher {name!r} already; run: pip install {plugin.distribution}"
            )


def _facts(name: str) -> dict[str, str]:
    major, minor, *_ = __version__.split(".")
    return {
        "name": name,
        "distribution": f"smartcore-{name}",
        "package": f"smartcore_{name.replace('-', '_')}",
        "cls": "".join(part.capitalize() for part in name.split("-")),
        "title": name,
        "smartcore": f"{major}.{minor}.0",
    }
