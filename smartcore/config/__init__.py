"""Settings of the user, the site and the environment, and where each comes from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from smartcore.config.setting import Stricter, Value, from_file, from_text
from smartcore.config.table import BY_KEY, OF_DATABASES, OTHER_VARIABLES, SETTINGS
from smartcore.error import ConfigError, InternalError

if TYPE_CHECKING:
    from smartcore.spec import Site

Environment = Mapping[str, str]
T = TypeVar("T")

FILE_NAME: Final = "smartcore.toml"
SITE_FILE: Final = Path("/etc/smartcore") / FILE_NAME
PREFIX: Final = "SMARTCORE_"
DEFAULT: Final = "default"
SITE: Final = "site"


@dataclass(frozen=True, slots=True)
class Config:
    """The settings that hold, and where each comes from. Made by :func:`load`."""

    environment: Environment = field(repr=False)
    files: tuple[Path, ...]
    _found: Mapping[str, tuple[Value, str]]

    def value(self, key: str) -> Value:
        """The value of a setting, by its name in files."""
        return self._entry(key)[0]

    def origin(self, key: str) -> str:
        """Where it comes from: a variable, the path of a file, ``site`` or ``default``."""
        return self._entry(key)[1]

    def text(self, key: str) -> str:
        """The value of a setting that is text."""
        return self._typed(key, str)

    def integer(self, key: str) -> int:
        """The value of a setting that is a whole number."""
        return self._typed(key, int)

    def number(self, key: str) -> float:
        """The value of a setting that is a number."""
        return self._typed(key, float)

    def flag(self, key: str) -> bool:
        """The value of a setting that is true or false."""
        return self._typed(key, bool)

    def names(self, key: str) -> tuple[str, ...]:
        """The value of a setting that is a list of names."""
        return self._typed(key, tuple)

    def _typed(self, key: str, kind: type[T]) -> T:
        value = self.value(key)
        if type(value) is not kind:
            raise InternalError(f"the setting {key} is a {type(value).__name__}")
        return value

    def _entry(self, key: str) -> tuple[Value, str]:
        if key not in BY_KEY:
            raise InternalError(f"there is no setting {key!r}; {_nearest(key)}")
        return self._found.get(key, (BY_KEY[key].default, DEFAULT))


def load(
    environment: Environment | None = None,
    *,
    site: Mapping[str, object] | None = None,
    site_file: Path = SITE_FILE,
) -> Config:
    """Read the settings: the environment wins over the user's file, that over the site's file, that
    over the defaults of the site's plugin. Of a limit, the strictest holds.

    :param environment: variables; None takes those of this process
    :param site: defaults from the plugin of the site; see :func:`site_defaults`
    :raises ConfigError: a file cannot be read, has an unknown key, or some value is none that the
        setting may have; names the place, the key, and what is allowed
    """
    environment = os.environ if environment is None else environment
    found = _site(site or {})
    files = tuple(path for path in config_files(environment, site_file) if _readable(path))
    for path in files:
        _merge(found, _checked(_flat(_read(path)), str(path), str(path)))
    for setting in SETTINGS:
        text = environment.get(setting.variable, "")
        if text:
            _merge(found, {setting.key: (from_text(setting, text), setting.variable)})
    return Config(environment, files, found)


_Found = dict[str, tuple[Value, str]]


def _merge(found: _Found, nearer: Mapping[str, tuple[Value, str]]) -> None:
    for key, entry in nearer.items():
        if not _is_stricter(BY_KEY[key].stricter, found.get(key, entry)[0], entry[0]):
            found[key] = entry


def _is_stricter(which: Stricter | None, value: Value, than: Value) -> bool:
    if which is None or not isinstance(value, float) or not isinstance(than, float) or not value:
        return False
    return not than or (value < than if which is Stricter.LOWER else value > than)


def _site(given: Mapping[str, object]) -> _Found:
    place = "the defaults of the site's plugin"
    if "disable_plugins" in given:  # it is among those that would be left out
        raise ConfigError(f"{place}: disable_plugins stands in a file or in the environment only")
    return _checked(given, SITE, place)


def config_files(environment: Environment, site_file: Path = SITE_FILE) -> tuple[Path, ...]:
    """Files that are read if they are there, the weakest first.

    :raises ConfigError: ``SMARTCORE_CONFIG`` names one that is not there
    """
    named = environment.get("SMARTCORE_CONFIG", "")
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise ConfigError(f"SMARTCORE_CONFIG names {path}, which is no file")
        return (path,)
    return site_file, user_file(environment)


def user_file(environment: Environment) -> Path:
    """The user's own file: ``smartcore/smartcore.toml`` below ``$XDG_CONFIG_HOME`` or
    ``~/.config``.
    """
    # A relative path there is invalid and to be ignored (XDG base directory specification).
    given = environment.get("XDG_CONFIG_HOME", "")
    home = environment.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 -- never raises
    base = Path(given) if given.startswith("/") else Path(home) / ".config"
    return base / "smartcore" / FILE_NAME


def _readable(path: Path) -> bool:
    try:
        if path.is_dir():
            raise ConfigError(f"{path} is a directory; settings stand in a file of that name")
        return path.is_file()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def _read(path: Path) -> Mapping[str, object]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # TOML and UTF-8
        raise ConfigError(f"{path} is no TOML file: {error}") from error


def _flat(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _checked(given: Mapping[str, object], origin: str, place: str) -> _Found:
    found = {}
    for key, value in given.items():
        setting = BY_KEY.get(key)
        if setting is None:
            raise ConfigError(f"{place}: there is no setting {key!r}; {_nearest(key)}")
        found[key] = (from_file(setting, value, place), origin)
    return found


def _nearest(key: str) -> str:
    import difflib

    near = difflib.get_close_matches(key, BY_KEY, 1)
    return f"is {near[0]} meant?" if near else f"there are: {', '.join(BY_KEY)}"


def site_defaults(sites: Iterable[Site], host: str) -> dict[str, object]:
    """The defaults of the sites that ``host`` belongs to, for :func:`load`; of several, the last
    wins.

    :param host: the name of this host
    """
    defaults: dict[str, object] = {}
    for site in sites:
        if any(fnmatchcase(host, pattern) for pattern in site.hostnames):
            defaults |= site.defaults
    return defaults


def misspelt_variables(environment: Environment) -> dict[str, str]:
    """Variables that look like one of ours and are none, with the one that is meant."""
    import difflib

    known = [*(setting.variable for setting in SETTINGS), *OTHER_VARIABLES]
    of_databases = tuple(f"{name}_" for name in OF_DATABASES)
    found = {}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known and not name.startswith(of_databases):
            near = difflib.get_close_matches(name, known, 1, cutoff=0.8)
            if near:
                found[name] = near[0]
    return found
