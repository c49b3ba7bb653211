"""Whether Slurm can be used from this host; bounded, whatever state it is in."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from datetime import timedelta

from smartcore.error import ShellError
from smartcore.spec import Detection, Score, run_command

from .commands import missing_configuration, query_environment, told

# Detectors have 2 s; while slurmctld is away sinfo would try again for 9.
LIMIT = timedelta(seconds=1.5)
_VERSION = re.compile(r"(\d+\.\d+(?:\.\S+)?)")


def detect(environment: Mapping[str, str], /) -> Detection:
    """Inside an allocation beats a controller that answers beats programs on PATH."""
    sinfo = shutil.which("sinfo", path=environment.get("PATH", ""))
    if sinfo is None or shutil.which("srun", path=environment.get("PATH", "")) is None:
        return Detection(Score.UNUSABLE, "no srun and sinfo on PATH")
    missing = missing_configuration(environment)
    if missing:
        return Detection(Score.UNUSABLE, missing)
    job = environment.get("SLURM_JOB_ID", "")
    if job:
        nodes = environment.get("SLURM_JOB_NODELIST", "")
        where = f", nodes {nodes}" if nodes else ""
        return Detection(Score.IN_ALLOCATION, f"SLURM_JOB_ID={job}{where}")
    return _ask(sinfo, environment)


def _ask(sinfo: str, environment: Mapping[str, str]) -> Detection:
    argv = [sinfo, "--noheader", "--format=%R %D %v"]
    try:
        completed = run_command(argv, timeout=LIMIT, env=query_environment(environment))
    except ShellError as error:
        return Detection(Score.ON_PATH, f"{sinfo}, but {error}")
    rows = [line.split() for line in completed.stdout.splitlines() if line.strip()]
    if completed.returncode != 0 or not rows:
        last = told(completed).rpartition("; ")[2]
        return Detection(Score.UNUSABLE, f"{sinfo} says: {last}")
    names = ", ".join(dict.fromkeys(row[0] for row in rows))
    found = _VERSION.search(rows[0][-1])
    return Detection(
        Score.SERVER_ANSWERS, f"sinfo answers: partitions {names}", found[1] if found else ""
    )
