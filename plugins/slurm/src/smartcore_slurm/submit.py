"""What ``sbatch`` is asked, and what it answers."""

from __future__ import annotations

import re
from typing import Final

from smartcore.error import LauncherError
from smartcore.spec import Completed, Resources
from smartcore.spec.scheduler import Refusal, Refused, Submission, SubmitAnswer
from smartcore.spec.values import format_walltime

from . import ids
from .options import complaint, merged

# Asked first: what may have come through although sbatch failed, and is no answer of slurmctld.
_UNSURE: Final = re.compile(
    r"timed out|zero bytes|(send|receive|shutdown) failure|connection (reset|aborted)|broken pipe"
    r"|unexpected message|message (length|header)|protocol version|transport endpoint"
    r"|unspecified error|interrupted",
    re.IGNORECASE,
)
# Over a limit on jobs: there is room when others have ended.
_QUOTA: Final = re.compile(
    r"(Assoc|QOS)(Grp|Max)Submit\w*|MaxSubmitJob|MaxJobCount|job queue full"
    r"|temporarily unable to accept job|resource temporarily unavailable",
    re.IGNORECASE,
)
# Nothing was sent, or slurmctld has told that it took nothing and may later.
_TRANSIENT: Final = re.compile(
    r"unable to contact slurm controller \(connect failure\)|standby mode|munge encode failed"
    r"|connection refused|server too busy|rate limit",
    re.IGNORECASE,
)
# slurmctld's, or sbatch's own, refusal of what was asked (slurm_errno.c).
_REFUSED: Final = re.compile(
    r"unrecognized option|invalid option|option requires|requires an argument|ambiguous option"
    r"|invalid (--|numeric value|directive|account|partition|qos|feature|node name|job array"
    r"|license|time|dependency|wckey|generic resource|gres|mcs|reservation|user|group|cluster)"
    r"|count specification invalid|unable to open file|is less than minimum|is invalid"
    r"|not available|not permitted|not supported|permission denied|violates accounting|exceeds"
    r"|can ?not be satisfied|more processors requested|no cluster|can't be reached now"
    r"|does not contain a|this does not look like a batch script|dos line breaks"
    r"|script is empty|pathname of a file|too large|too long|partition or node|required partition"
    r"|must be specified|mutually exclusive|reservation|drained|in an inactive state",
    re.IGNORECASE,
)
_LONGEST = 500


def options(submission: Submission) -> dict[str, str | None]:
    """All options of a submission by their long names; those that the user gave win.

    :raises LauncherError: one that nobody may give
    """
    given = dict(submission.arguments)
    for name, value in given.items():
        if problem := complaint(name, value):
            raise LauncherError(problem)
    ours: dict[str, str | None] = {
        "job-name": submission.name,
        "output": _pattern(str(submission.log)),
        "open-mode": "append",  # a job that is begun again says more, and hides nothing
        "chdir": str(submission.cwd),
        "export": "ALL",
        **_of_resources(submission.resources),
    }
    asked = merged({}, given)
    if not submission.requeue and "requeue" not in asked:
        ours["no-requeue"] = None
    found = merged(ours, given)
    throttle = found.pop("array", None)
    if not throttle:
        throttle = f"%{submission.throttle}" if submission.throttle else ""
    if submission.members:
        found["array"] = f"0-{submission.members - 1}{throttle}"
    return found | _tagged(submission, asked)


def _tagged(submission: Submission, given: dict[str, str | None]) -> dict[str, str | None]:
    # The tag is found in the comment or in the name. It leaves the user's own ones alone.
    comment = given.get("comment")
    if not comment:
        return {"comment": submission.tag}
    if "job-name" not in given:
        return {"job-name": submission.tag}
    return {"comment": f"{comment} {submission.tag}"}


def _of_resources(resources: Resources) -> dict[str, str | None]:
    memory = resources.memory_per_node
    walltime = resources.walltime
    values = {
        "nodes": resources.nodes,
        "ntasks": resources.tasks,
        "ntasks-per-node": resources.tasks_per_node,
        "cpus-per-task": resources.cpus_per_task,
        "gpus-per-node": resources.gpus_per_node,
        "mem": None if memory is None else f"{-(-memory // 2**20)}M",
        "time": None if walltime is None else format_walltime(walltime),
        "nodelist": ",".join(resources.hosts) or None,
        "exclude": ",".join(resources.excluded_hosts) or None,
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def _pattern(path: str) -> str:
    # sbatch(1), "filename pattern": %j and its like are replaced, and a backslash is special.
    if "\\" in path:
        raise LauncherError(
            f"Slurm cannot write to {path!r}: it has a backslash; move the experiment"
        )
    return path.replace("%", "%%")


def parse(completed: Completed) -> SubmitAnswer:
    """The id in what ``sbatch --parsable`` printed, or why there is none."""
    said = _words(completed)
    if completed.returncode == 0:
        lines = map(ids.answer, completed.stdout.splitlines())
        found = list(dict.fromkeys(line for line in lines if line is not None))
        if len(found) == 1:
            return found[0]
        return Refused(Refusal.AMBIGUOUS, f"sbatch printed no id that can be read: {said!r}")
    # Only what stands on standard error: a site's chatter on the other says nothing for certain.
    return Refused(_kind(completed.stderr), said or f"sbatch returned {completed.returncode}")


def _kind(said: str) -> Refusal:
    if _UNSURE.search(said) and not _told_why(said):
        return Refusal.AMBIGUOUS
    if _QUOTA.search(said):
        return Refusal.QUOTA
    if _TRANSIENT.search(said):
        return Refusal.TRANSIENT
    if _REFUSED.search(said) or _told_why(said):
        return Refusal.PERMANENT
    return Refusal.AMBIGUOUS


def _told_why(said: str) -> bool:
    # A site's plugin refuses with words of its own, followed by "Unspecified error".
    return re.search(
        r"sbatch: error: (?!Batch job submission failed)[^\n]+\n"
        r"sbatch: error: Batch job submission failed: Unspecified error",
        said,
    ) is not None and not re.search(r"timed out|connect|zero bytes", said, re.IGNORECASE)


def _words(completed: Completed) -> str:
    text = completed.stderr.strip() or completed.stdout.strip()
    lines = [re.sub(r"^sbatch: (error: |fatal: )?", "", line) for line in text.splitlines()]
    return "; ".join(line.strip() for line in lines if line.strip())[-_LONGEST:]
