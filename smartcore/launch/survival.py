"""Whether what a driver leaves running outlives the shell that it was started from.

A keeper and its processes have a session of their own, so neither SIGHUP nor the end of the
terminal reaches them. What does end them is their control group: systemd-logind ends a whole login
session if the site wants that (logind.conf(5), KillUserProcesses), and workload managers end a
whole job.
"""

from __future__ import annotations

import configparser
import os
import pwd
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# Later ones win, also by the names of the files in the directories (logind.conf(5)).
LOGIND_DIRECTORIES = ("/usr/lib/systemd", "/usr/local/lib/systemd", "/run/systemd", "/etc/systemd")
LINGER = Path("/var/lib/systemd/linger")
# Of one login; a user's own service manager has another one.
_SESSION = re.compile(r"/session-[^/]+\.scope(/|$)")
# Slurm: .../job_123/step_0, PBS: /pbs_jobs.service/jobid/123.host, LSF: /lsf/c1/job.123.1, SGE:
# /sge/123.1 or qs123.1.scope: whatever has the number of a job in it.
_JOB = re.compile(r"/(job[_.]?\d+|jobid/\d|jobs?/\d|(sge/|qs)\d+\.\d+)")


@dataclass(frozen=True, slots=True)
class Survival:
    """What becomes of processes when the shell, or the job, that they were started in ends.

    :param survives: True when nothing was found that would end them
    :param why: what was seen, for people
    :param job: they end with a job of a workload manager, as they should
    """

    survives: bool
    why: str
    job: bool = False


def judge(cgroups: Iterable[str], *, kills: bool, lingers: bool) -> Survival:
    """Decide from what was read.

    :param cgroups: paths of the control groups of this process
    :param kills: logind ends the processes of a login session with it
    :param lingers: this user is exempt from that
    """
    groups = list(cgroups)
    job = next((group for group in groups if _JOB.search(group)), "")
    if job:
        return Survival(False, f"this is inside a job ({job}), and ends with it", job=True)
    session = next((group for group in groups if _SESSION.search(group)), "")
    if not session:
        return Survival(True, "this is no login session that could be ended as a whole")
    if kills and not lingers:
        why = f"logind ends {session} at logout (KillUserProcesses), with everything in it"
        return Survival(False, why)
    exempt = "this user lingers" if kills else "KillUserProcesses is off"
    return Survival(True, f"logind leaves {session} alone at logout: {exempt}")


def look() -> Survival:
    """Decide for this process; what cannot be read is taken for not there."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # in containers, users may have no name
        user = str(os.getuid())
    settings = logind_settings(Path(directory) for directory in LOGIND_DIRECTORIES)
    exempt = settings.get("killexcludeusers", "root").split()
    only = settings.get("killonlyusers", "").split()
    concerned = user in only if only else user not in exempt
    kills = settings.get("killuserprocesses", "no").lower() in {"yes", "true", "on", "1"}
    lingers = (LINGER / user).exists()
    return judge(own_cgroups(), kills=kills and concerned, lingers=lingers)


def own_cgroups(path: Path = Path("/proc/self/cgroup")) -> list[str]:
    """Paths of the control groups of this process; see cgroups(7)."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line.split(":", 2)[2] for line in lines if line.count(":") >= 2]


def logind_settings(directories: Iterable[Path]) -> dict[str, str]:
    """The section ``[Login]`` of all its files, merged; names are in lower case."""
    merged: dict[str, str] = {}
    for file in _logind_files(list(directories)):
        parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue
        if parser.has_section("Login"):
            merged |= {name: value or "" for name, value in parser["Login"].items()}
    return merged


def _logind_files(directories: Sequence[Path]) -> list[Path]:
    # One main file, the most important one that there is; then all drop-ins by name.
    mains = [directory / "logind.conf" for directory in directories]
    main = [path for path in mains if path.is_file()][-1:]
    drops = {
        path.name: path
        for directory in directories
        for path in sorted((directory / "logind.conf.d").glob("*.conf"))
    }
    return main + [drops[name] for name in sorted(drops)]
