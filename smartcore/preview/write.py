"""Write a preview to a file that was not there before."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

from smartcore.error import InputError

from .view import Format, format_of

SUFFIXES = {Format.PLAINTEXT: ".txt", Format.JSON: ".json"}


def write(
    text: str, filename: str | os.PathLike[str], output_format: str = Format.PLAINTEXT
) -> Path:
    """Write ``text`` to a new file and return its path; nothing is ever overwritten.

    :param filename: without a suffix, that of the format is added; if the name is taken, it gets
        ``_01``, ``_02``... before the suffix. Missing directories are made
    :raises InputError: the file cannot be written
    :raises PreviewFormatError: there is no such format
    """
    wanted = Path(filename)
    if not wanted.suffix:
        wanted = wanted.with_name(wanted.name + SUFFIXES[format_of(output_format)])
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        for number in count():
            tail = f"_{number:02d}" if number else ""
            path = wanted.with_name(f"{wanted.stem}{tail}{wanted.suffix}")
            try:
                # "x" decides and creates at once, so that two writers never share a name.
                with path.open("x", encoding="utf-8") as file:
                    file.write(text.removesuffix("\n") + "\n")
            except FileExistsError:
                continue
            return path
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write the preview to {filename}: {error}") from error
    raise AssertionError("unreachable")
