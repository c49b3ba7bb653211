"""Importing, and the shell command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measure import Result, interleaved, seconds

TIMES = 15


def python(*argv: str) -> Callable[[], float]:
    command = [sys.executable, *argv]
    return lambda: seconds(lambda: subprocess.run(command, check=True, capture_output=True))


def results() -> Iterator[Result]:
    """Import of the package, of its main class, and ``smartcore launchers list``."""
    bare = python("-c", "pass")
    cases = [
        ("import smartcore", python("-c", "import smartcore"), 3.0),
        ("from smartcore import Experiment", python("-c", "from smartcore import Experiment"), 6.0),
    ]
    for name, ours, budget in cases:
        yield Result(name, *interleaved(ours, bare, TIMES), budget, "python -c pass")
    script = str(Path(sys.executable).with_name("smartcore"))
    listing = python(script, "launchers", "list")
    # 0.25 s where bare python takes 0.015 s.
    yield Result(
        "smartcore launchers list",
        *interleaved(listing, bare, TIMES),
        0.25 / 0.015,
        "python -c pass",
    )
