"""Files that are written on a node, with what is known there only in the place of words."""

# Used by programs that must start quickly: nothing that takes long to import.
# ruff: noqa: PTH103, PTH104, PTH118, PTH119, PTH120

from __future__ import annotations

import os


def filled(text: str, words: dict[str, str]) -> str:
    """The text with these words replaced; no word is a part of another."""
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def write_file(path: str, text: str) -> None:
    """Write a file for its owner only, whole or not at all."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    partial = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(partial, path)
