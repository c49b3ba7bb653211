"""Templates: files cut at their tags, ready to be filled any number of times. Pure.

A tag is the name of a parameter between two delimiters: ``;name;``. Files are handled as bytes, so
that encodings, line ends and a missing last newline stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from smartcore.error import InputError, InputTypeError

DEFAULT_TAG = ";"

# Text between two delimiters that looks like the name of a parameter. Blanks are no part of one:
# in "a = 1; b = 2; c = 3;" nothing is a tag.
_IDENTIFIER = rb"[A-Za-z_][A-Za-z0-9_.\-]*?"


def check_tag(tag: str | None) -> str:
    """The delimiter of tags; None is the default.

    :raises InputError: it could not be told from the name inside
    """
    if tag is None:
        return DEFAULT_TAG
    if not isinstance(tag, str):
        raise InputTypeError(f"tag must be a str, not {tag!r}")
    if not tag or any(character.isalnum() or character in "_\r\n\0" for character in tag):
        raise InputError(
            f"tag {tag!r} cannot enclose the names of parameters; use punctuation such as"
            " '@', '%%' or ';'"
        )
    return tag


@dataclass(frozen=True, slots=True)
class Template:
    """A text in which every second piece, beginning with the second, is a parameter's name."""

    pieces: tuple[bytes, ...]
    names: tuple[str, ...]

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        """The text with each name replaced by its value, literally and once."""
        filled = list(self.pieces)
        filled[1::2] = [values[name] for name in self.names]
        return b"".join(filled)


def cut(text: bytes, tag: str, known: Collection[str]) -> Template:
    """Cut a text at the tags that enclose a known name; all else is left as it is."""
    if not known:
        return Template((text,), ())
    pieces = _known_pattern(tag, frozenset(known)).split(text)
    return Template(tuple(pieces), tuple(name.decode() for name in pieces[1::2]))


def unknown_tags(text: bytes, tag: str, known: Collection[str]) -> Iterator[tuple[int, str]]:
    """Line number and name of what looks like a tag but encloses no known name."""
    names = frozenset(name.encode() for name in known)
    for match in _any_pattern(tag, frozenset(known)).finditer(text):
        if match[1] not in names:
            yield text.count(b"\n", 0, match.start()) + 1, match[1].decode()


@lru_cache(maxsize=64)
def _known_pattern(tag: str, known: frozenset[str]) -> re.Pattern[bytes]:
    return _pattern(tag, _alternatives(known))


@lru_cache(maxsize=64)
def _any_pattern(tag: str, known: frozenset[str]) -> re.Pattern[bytes]:
    return _pattern(tag, [*_alternatives(known), _IDENTIFIER])


def _alternatives(known: frozenset[str]) -> list[bytes]:
    # the longest first; the end is the delimiter's, so that the order matters only for speed
    return sorted((re.escape(name.encode()) for name in known), key=len, reverse=True)


def _pattern(tag: str, alternatives: list[bytes]) -> re.Pattern[bytes]:
    delimiter = re.escape(tag.encode())
    return re.compile(delimiter + b"(" + b"|".join(alternatives) + b")" + delimiter)
