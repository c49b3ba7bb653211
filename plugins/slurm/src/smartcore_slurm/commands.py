"""Running Slurm's commands: bounded, in one locale, and without the user's formats."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from smartcore.error import LauncherError, ShellError
from smartcore.spec import Completed, run_command

# While slurmctld is away commands try again for 9 s, scontrol and sstat for 18 s.
TIMEOUT = timedelta(seconds=30)
# What is named in one command: a command line has its limits, and so has slurmctld's patience.
CHUNK = 100
# Change what squeue, sinfo, sacct and scontrol print.
_FORMATS = ("SQUEUE_", "SINFO_", "SACCT_", "SCONTROL_", "SLURM_TIME_FORMAT", "SLURM_BITSTR_LEN")


def ask(*argv: str, timeout: timedelta = TIMEOUT) -> Completed:
    """Run a command of Slurm to its end; its exit code is for the caller to judge.

    :raises LauncherError: it is not installed, or did not answer in time
    """
    missing = missing_configuration(os.environ)
    if missing:
        raise LauncherError(missing)
    try:
        return run_command(argv, timeout=timeout, env=query_environment(os.environ))
    except ShellError as error:
        raise LauncherError(f"{error}; is Slurm installed here, and slurmctld up?") from error


def told(completed: Completed) -> str:
    """What a command said of its failure, on one line."""
    lines = (completed.stderr.strip() or completed.stdout.strip()).splitlines()
    words = "; ".join(dict.fromkeys(line.strip() for line in lines if line.strip()))
    return words or f"{completed.argv[0]} returned {completed.returncode} and said nothing"


def query_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what changes the output of commands."""
    kept = {k: v for k, v in environment.items() if not k.startswith(_FORMATS)}
    return {**kept, "LC_ALL": "C"}


def missing_configuration(environment: Mapping[str, str]) -> str:
    """What is wrong with ``SLURM_CONF``; empty if nothing is.

    Every command of Slurm, even ``--version``, hangs for a minute if it names a missing file.
    """
    conf = environment.get("SLURM_CONF", "")
    if conf and not Path(conf).is_file():
        return f"SLURM_CONF names {conf}, which is not there; unset or correct it"
    return ""


def chunks(items: Sequence[str], size: int = CHUNK) -> list[Sequence[str]]:
    """The items in pieces of ``size``."""
    return [items[start : start + size] for start in range(0, len(items), size)]
