"""One setting: what it may be, and how its value is read from a variable or from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from smartcore.error import ConfigError

Value = str | int | float | bool | tuple[str, ...]

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


def from_text(setting: Setting, text: str) -> Value:
    """The value that a variable gives.

    :raises ConfigError: it is none that the setting may have
    """
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


def from_file(setting: Setting, value: object, place: str) -> Value:
    """The value that a file gives.

    :param place: names the file, for an error
    :raises ConfigError: it is none that the setting may have
    """
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
