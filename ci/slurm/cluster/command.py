"""Commands of the cluster, each with a bound."""

from __future__ import annotations

import subprocess

from cluster.error import ClusterError
from cluster.settings import Settings


def run(
    settings: Settings, *argv: str, seconds: float = 60, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """A command of this cluster, whatever comes of it; exit code 124 says that time ran out."""
    try:
        return subprocess.run(
            argv,
            env=settings.environment(),
            cwd="/",
            input=text if text is not None else "",
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 124, "", f"no answer within {seconds:.0f} s")


def must(settings: Settings, *argv: str, seconds: float = 60, text: str | None = None) -> str:
    """The output of a command that has to succeed.

    Raises:
        ClusterError: with the command's own words.
    """
    done = run(settings, *argv, seconds=seconds, text=text)
    if done.returncode != 0:
        words = (done.stderr + done.stdout).strip()
        raise ClusterError(f"`{' '.join(argv)}` failed with exit code {done.returncode}: {words}")
    return done.stdout
