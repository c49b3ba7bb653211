"""Bytes and spans of time for people."""

from __future__ import annotations

from math import isnan


def size(count: float) -> str:
    """A number of bytes: three digits, and the unit; a dash for what is no number."""
    if isnan(count):
        return "-"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} TiB"


def span(seconds: float) -> str:
    """A span of time, in the largest unit of which there are two or more; nothing is below 0."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{max(0.0, seconds):.1f} s"
