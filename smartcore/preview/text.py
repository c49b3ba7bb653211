"""Text for people: quoting for shells, unprintable characters made visible, secrets left out."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HIDDEN = "<hidden>"

# Names of variables whose values are secret. SSKEYIN, PWD, TOKENIZERS_PARALLELISM and the like are
# not; SMARTCORE_DB_AUTH holds a path.
_SECRET_NAME = re.compile(
    r"PASSW|PASSPHRASE|SECRET|CREDENTIAL|(API|ACCESS|PRIVATE|SIGNING|ENCRYPTION)_?KEY"
    r"|(?:^|_)(TOKEN|PASS)(?:$|_)|_PWD$",
    re.IGNORECASE,
)
# scheme://user:password@host
_URL_PASSWORD = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)")
# A shorter secret is replaced only where its variable's name stands before it: "1" is everywhere.
_SHORTEST_SECRET = 6


def shown(value: object) -> str:
    """One value on one line: as it is if that is plain to see, else as a JSON string."""
    text = str(value)
    if text and text.isprintable() and text == text.strip():
        return text
    return json.dumps(text)


def printable(line: str) -> str:
    """A line with its unprintable characters (but tabs) written as escapes."""
    return "".join(
        char if char.isprintable() or char == "\t" else char.encode("unicode_escape").decode()
        for char in line
    )


def shell_line(argv: Sequence[str]) -> str:
    """``argv`` as one line that a shell splits into the same arguments.

    Arguments with unprintable characters become ``$'...'``, which bash, zsh, ksh and POSIX.1-2024
    know.
    """
    return " ".join(_shell_word(word) for word in argv)


def _shell_word(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(_escaped(char) for char in word) + "'"


def _escaped(char: str) -> str:
    if char in {"\\", "'"}:
        return f"\\{char}"
    if char.isprintable():
        return char
    # Always three digits: what follows is never taken for a part of the number.
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(char))


def is_secret(name: str) -> bool:
    """True if a variable of that name holds a secret."""
    return _SECRET_NAME.search(name) is not None


@dataclass(frozen=True, slots=True)
class Redactor:
    """Hides the secret values among some variables, wherever they stand."""

    secrets: Mapping[str, str]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Redactor:
        """A redactor of the secrets in ``environment``."""
        return cls({name: value for name, value in environment.items() if is_secret(name)})

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The variables with their secret values hidden."""
        return {
            name: HIDDEN if name in self.secrets else self.text(value)
            for name, value in environment.items()
        }

    def text(self, text: str) -> str:
        """``text`` with every secret hidden, those in the addresses of servers included."""
        for name, value in self.secrets.items():
            for spelling in {value, shlex.quote(value)} - {"", "''"}:
                text = text.replace(f"{name}={spelling}", f"{name}={HIDDEN}")
                if len(value) >= _SHORTEST_SECRET:
                    text = text.replace(spelling, HIDDEN)
        return _URL_PASSWORD.sub(rf"\g<1>{HIDDEN}", text)
