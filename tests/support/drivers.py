"""Models and drivers for tests of whole experiments."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from smartcore import Experiment
from smartcore.entity import Model


def shell(exp: Experiment, name: str, script: str, **env: str) -> Model:
    """A model that runs a script of sh."""
    run = exp.create_run_settings("sh", ["-c", script], env_vars=dict(env))
    return exp.create_model(name, run)


def out(model: Model) -> str:
    """What a model has written to its standard output."""
    return (Path(model.path) / f"{model.name}.out").read_text()


def driver(text: str, cwd: Path) -> subprocess.Popen[str]:
    """A driver script that runs in ``cwd``; both outputs come through one pipe."""
    (cwd / "driver.py").write_text(text)
    return subprocess.Popen(
        [sys.executable, "driver.py"],
        cwd=cwd,
        env={**os.environ, "SMARTCORE_LAUNCHER": "local"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def proc_with(text: str) -> list[int]:
    """Processes whose command line has ``text``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue  # it ended meanwhile
    return found
