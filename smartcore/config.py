"""Settings of the user, the site and the environment: one table of what there is, and how it is
read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from smartcore.error import ConfigError, InternalError
from smartcore.log import DEFAULT_LEVEL, LEVELS

if TYPE_CHECKING:
    from smartcore.spec import Site

Value = str | int | float | bool | tuple[str, ...]
Environment = Mapping[str, str]
T = TypeVar("T")

FILE_NAME: Final = "smartcore.toml"
SITE_FILE: Final = Path("/etc/smartcore") / FILE_NAME
PREFIX: Final = "SMARTCORE_"
DEFAULT: Final = "default"
SITE: Final = "site"

GREATEST: Final = 10**9  # of numbers: about thirty years in seconds

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


class Stricter(Enum):
    """Of two values of a limit, which holds, whatever source it is from; 0 is no limit."""

    LOWER = "the lowest"
    HIGHER = "the highest"


class Kind(Enum):
    """What a setting may be."""

    TEXT = "text"
    INTEGER = "a whole number"
    NUMBER = "a number"
    FLAG = "true or false"
    NAMES = "names, separated by commas"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    :param key: its name in files, ``section.key``
    :param variable: its name in the environment
    :param default: what holds if nobody says otherwise
    :param doc: one line for people
    :param choices: all that it may be, if that is known
    :param minimum: the least that it may be
    :param stricter: it is a limit: the strictest of all sources holds, not the nearest
    """

    key: str
    variable: str
    kind: Kind
    default: Value
    doc: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    stricter: Stricter | None = None

    @property
    def allowed(self) -> str:
        """What it may be, for people."""
        if self.choices:
            return f"one of: {', '.join(self.choices)}"
        if self.kind is Kind.NUMBER:
            return f"a number from {self.minimum or 0:g} to {GREATEST}"
        least = "" if self.minimum is None else f", at least {self.minimum:g}"
        return f"{self.kind.value}{least}"


SETTINGS: Final = (
    Setting(
        "launcher",
        "SMARTCORE_LAUNCHER",
        Kind.TEXT,
        "",
        'what launcher="auto" takes; empty: the best that is detected',
    ),
    Setting(
        "max_running",
        "SMARTCORE_MAX_RUNNING",
        Kind.INTEGER,
        0,
        "models that run at the same time on one host; 0: from the number of cores",
        minimum=0,
    ),
    Setting(
        "stop_grace",
        "SMARTCORE_STOP_GRACE",
        Kind.NUMBER,
        5.0,
        "seconds between SIGTERM and SIGKILL when something is stopped",
        minimum=0,
    ),
    Setting(
        "log_level",
        "SMARTCORE_LOG_LEVEL",
        Kind.TEXT,
        DEFAULT_LEVEL,
        "which messages are shown",
        choices=tuple(LEVELS),
    ),
    Setting(
        "progress",
        "SMARTCORE_PROGRESS",
        Kind.TEXT,
        "auto",
        "live progress of a blocking start; auto: on a terminal and in a notebook",
        choices=("auto", "always", "never"),
    ),
    Setting(
        "disable_plugins",
        "SMARTCORE_DISABLE_PLUGINS",
        Kind.NAMES,
        (),
        "plugins to leave out; all: every one",
    ),
    Setting(
        "runtime_dir",
        "SMARTCORE_RUNTIME_DIR",
        Kind.TEXT,
        "",
        "directory for sockets; empty: below XDG_RUNTIME_DIR, else /tmp/smartcore-UID",
    ),
    Setting(
        "database.backend",
        "SMARTCORE_DB_BACKEND",
        Kind.TEXT,
        "redis",
        "kind of server of a database, as in: smartcore databases list",
    ),
    Setting(
        "database.interface",
        "SMARTCORE_DB_INTERFACE",
        Kind.TEXT,
        "",
        "network interface that databases listen on; empty: the launcher's choice",
    ),
    Setting(
        "database.allow_unauthenticated",
        "SMARTCORE_DB_ALLOW_UNAUTHENTICATED",
        Kind.FLAG,
        False,
        "let clients in that send no password, as SmartRedis clients do",
    ),
    Setting(
        "database.tls",
        "SMARTCORE_DB_TLS",
        Kind.FLAG,
        False,
        "encrypt connections to databases, but for colocated ones; SmartRedis clients cannot",
    ),
    Setting(
        "database.start_timeout",
        "SMARTCORE_DB_START_TIMEOUT",
        Kind.NUMBER,
        60.0,
        "seconds that a database may take until it answers",
        minimum=0,
    ),
    Setting(
        "database.answer_timeout",
        "SMARTCORE_DB_ANSWER_TIMEOUT",
        Kind.NUMBER,
        30.0,
        "seconds until a restart takes a shard that does not answer for hung, and ends it",
        minimum=0.1,
    ),
    Setting(
        "database.telemetry_interval",
        "SMARTCORE_DB_TELEMETRY_INTERVAL",
        Kind.NUMBER,
        5.0,
        "seconds between two samples of a database whose telemetry is enabled",
        minimum=0.1,
    ),
    Setting(
        "scheduler.queries_per_minute",
        "SMARTCORE_SCHEDULER_QUERIES_PER_MINUTE",
        Kind.NUMBER,
        0.0,
        "queries and cancels of one user on one host; 0: what the launcher's plugin allows",
        minimum=0,
        stricter=Stricter.LOWER,
    ),
    Setting(
        "scheduler.submits_per_second",
        "SMARTCORE_SCHEDULER_SUBMITS_PER_SECOND",
        Kind.NUMBER,
        0.0,
        "submits of one user on one host; 0: what the launcher's plugin allows",
        minimum=0,
        stricter=Stricter.LOWER,
    ),
    Setting(
        "scheduler.query_interval_min",
        "SMARTCORE_SCHEDULER_QUERY_INTERVAL_MIN",
        Kind.NUMBER,
        0.0,
        "seconds between two queries soon after a change; 0: what the launcher's plugin says",
        minimum=0,
        stricter=Stricter.HIGHER,
    ),
    Setting(
        "scheduler.query_interval_max",
        "SMARTCORE_SCHEDULER_QUERY_INTERVAL_MAX",
        Kind.NUMBER,
        0.0,
        "seconds between two queries when nothing changes; 0: what the launcher's plugin says",
        minimum=0,
        stricter=Stricter.HIGHER,
    ),
    Setting(
        "scheduler.command_timeout",
        "SMARTCORE_SCHEDULER_COMMAND_TIMEOUT",
        Kind.NUMBER,
        0.0,
        "seconds that one command of a scheduler may take; 0: what the launcher's plugin says",
        minimum=0,
    ),
)

_OF_DATABASES: Final = {
    "SMARTCORE_DB_AUTH": "set for models: the file with the password of their database; with"
    " _<identifier> for each of several",
    "SMARTCORE_DB_CA": "set for models: the file with the certificate of the authority of their"
    " database, if connections are encrypted; with _<identifier> for each of several",
}
OTHER_VARIABLES: Final = {
    "SMARTCORE_CONFIG": "one file to read instead of the user's and the site's",
    "SMARTCORE_TAG": "set for all that is launched: names the launch",
    **_OF_DATABASES,
}

_BY_KEY: Final = {setting.key: setting for setting in SETTINGS}


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
        if key not in _BY_KEY:
            raise InternalError(f"there is no setting {key!r}; {_nearest(key)}")
        return self._found.get(key, (_BY_KEY[key].default, DEFAULT))


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
            _merge(found, {setting.key: (_from_text(setting, text), setting.variable)})
    return Config(environment, files, found)


_Found = dict[str, tuple[Value, str]]


def _merge(found: _Found, nearer: Mapping[str, tuple[Value, str]]) -> None:
    for key, entry in nearer.items():
        if not _is_stricter(_BY_KEY[key].stricter, found.get(key, entry)[0], entry[0]):
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
        setting = _BY_KEY.get(key)
        if setting is None:
            raise ConfigError(f"{place}: there is no setting {key!r}; {_nearest(key)}")
        found[key] = (_from_file(setting, value, place), origin)
    return found


def _nearest(key: str) -> str:
    import difflib

    near = difflib.get_close_matches(key, _BY_KEY, 1)
    return f"is {near[0]} meant?" if near else f"there are: {', '.join(_BY_KEY)}"


def _from_text(setting: Setting, text: str) -> Value:
    read: Mapping[Kind, Callable[[str], Value]] = {
        Kind.TEXT: str,
        Kind.INTEGER: int,
        Kind.NUMBER: float,
        Kind.FLAG: _flag,
        Kind.NAMES: _names,
    }
    try:
        return _limited(setting, read[setting.kind](text.strip()))
    except ValueError:
        raise ConfigError(f"{setting.variable} is {text!r}; give {setting.allowed}") from None


def _from_file(setting: Setting, value: object, place: str) -> Value:
    try:
        return _limited(setting, _convert(setting.kind, value))
    except (ValueError, OverflowError):
        raise ConfigError(f"{place}: {setting.key} is {value!r}; give {setting.allowed}") from None


def _convert(kind: Kind, value: object) -> Value:
    if isinstance(value, bool):
        if kind is Kind.FLAG:
            return value
    elif isinstance(value, int) and kind is Kind.INTEGER:
        return value
    elif isinstance(value, int | float) and kind is Kind.NUMBER:
        return float(value)
    elif isinstance(value, str) and kind is Kind.TEXT:
        return value
    elif isinstance(value, str) and kind is Kind.NAMES:
        return _names(value)
    elif isinstance(value, list) and kind is Kind.NAMES:
        return tuple(_text(item) for item in value)
    raise ValueError(value)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(value)


def _flag(text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise ValueError(text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _limited(setting: Setting, value: Value) -> Value:
    if setting.choices and isinstance(value, str):
        value = value.lower()
    if setting.choices and value not in setting.choices:
        raise ValueError(value)
    if isinstance(value, float) and not value <= GREATEST:  # nor not-a-number
        raise ValueError(value)
    if setting.minimum is not None and isinstance(value, int | float) and value < setting.minimum:
        raise ValueError(value)
    return value


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
    of_databases = tuple(f"{name}_" for name in _OF_DATABASES)
    found = {}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known and not name.startswith(of_databases):
            near = difflib.get_close_matches(name, known, 1, cutoff=0.8)
            if near:
                found[name] = near[0]
    return found


# -- the runtime directory --------------------------------------------------------------------


def runtime_path(config: Config) -> Path:
    """The directory for sockets of this host, which may not be there yet."""
    given = config.text("runtime_dir")
    if given:
        return Path(given).expanduser().resolve()
    # Batch systems hand on a variable whose directory the compute node does not have.
    session = config.environment.get("XDG_RUNTIME_DIR", "")
    if session.startswith("/") and os.access(session, os.W_OK | os.X_OK):
        return Path(session) / "smartcore"
    return Path(f"/tmp/smartcore-{os.geteuid()}")


def nodes_runtime_path(config: Config) -> Path:
    """The same directory of other hosts: that of a login session is not there."""
    given = config.text("runtime_dir")
    return Path(given).expanduser().absolute() if given else Path(f"/tmp/smartcore-{os.geteuid()}")


def runtime_directory(config: Config) -> Path:
    """Make the directory for sockets of this host, which nobody but its owner may enter.

    :raises ConfigError: it cannot be made, is a link, belongs to somebody else, or is open to
        others
    """
    path = runtime_path(config)
    advice = "set SMARTCORE_RUNTIME_DIR to another one"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = path.lstat()
    except OSError as error:
        raise ConfigError(f"cannot make {path}: {error.strerror}; {advice}") from error
    if path.is_symlink():
        raise ConfigError(f"the runtime directory {path} is a symbolic link; {advice}")
    if facts.st_uid != os.geteuid():
        raise ConfigError(
            f"the runtime directory {path} belongs to the user {facts.st_uid}; {advice}"
        )
    if facts.st_mode & 0o077:
        # A shared directory must stay one: only what looks like nobody else's is to be closed.
        shared = facts.st_mode & 0o1022
        step = advice if shared else f"run: chmod 700 {path}"
        raise ConfigError(f"the runtime directory {path} is open to others; {step}")
    return path
