"""Why a job waits: Slurm's reasons, in plain words, and which of them never pass by themselves.

Sources: squeue(1), JOB REASON CODES; https://slurm.schedmd.com/resource_limits.html for those of
limits.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final

# Pass only if somebody changes the job or the site.
_FOR_EVER: Final = MappingProxyType(
    {
        "AccountNotAllowed": "its account may not use this partition",
        "BadConstraints": "no nodes can ever satisfy what it asks for",
        "DependencyNeverSatisfied": "a job that it depends on has not ended as it had to",
        "InvalidAccount": "its account is not valid",
        "InvalidQOS": "its QOS is not valid",
        "JobHeldAdmin": "an administrator holds it",
        "JobHeldUser": "it is held; release it with scontrol release",
        "JobHoldMaxRequeue": "it was requeued too often, and is held",
        "MaxMemPerLimit": "it asks for more memory than it may",
        "PartitionDown": "its partition is down",
        "PartitionInactive": "its partition starts no jobs",
        "PartitionNodeLimit": "it asks for other numbers of nodes than its partition allows",
        "PartitionTimeLimit": "its time limit is over that of its partition",
        "QOSNotAllowed": "its QOS may not use this partition or account",
        "ReservationDeleted": "its reservation is gone",
        "launch_failed_requeued_held": "it could not be launched, and is held",
        "job_requeued_in_held_state": "it was requeued, and is held",
    }
)
# Of limits, those that one job breaks all alone, or whose budget is spent.
_BREAKS_ALONE = re.compile(r"(?:Assoc|QOS)(?:Max\w+Per(?:Job|Node)(?:Limit)?|Min\w*)")
_SPENT = re.compile(
    r"(?:Assoc|QOS)Grp\w*?(?<!Run)Minutes(?:Limit)?|AssociationTimeLimit|QOSTimeLimit"
)
_GROUP = re.compile(r"(?:Assoc|QOS)(?:Grp\w+|Max\w+)")

_PASSING: Final = MappingProxyType(
    {
        "BeginTime": "its earliest start is in the future",
        "Dependency": "a job that it depends on has not ended",
        "JobArrayTaskLimit": "as many members of its array run as may at once",
        "Licenses": "it waits for a license",
        "NodeDown": "a node that it asks for is down",
        "PartitionConfig": "its partition cannot give what it asks for now",
        "Priority": "others come first",
        "ReqNodeNotAvail": "a node that it asks for is not to be had now",
        "Reservation": "its reservation has not begun",
        "Resources": "the nodes are in use",
    }
)
_NOTHING = frozenset({"None", "(null)", "N/A", ""})


def waiting(text: str) -> tuple[str, bool]:
    """Slurm's reason with plain words, and whether it never passes by itself.

    :param text: as squeue prints it, perhaps with details: ``ReqNodeNotAvail,_UnavailableNodes:n1``
    """
    said = "" if text in _NOTHING else text.replace("_", " ") if "," in text else text
    # Some are one word, some are sentences, with blanks or, in other places, without.
    plain, blocked = _meaning(re.split(r"[,(]", text)[0].replace(" ", "_"))
    return (f"{said}: {plain}" if plain else said), blocked


def _meaning(word: str) -> tuple[str, bool]:
    if word in _FOR_EVER:
        return _FOR_EVER[word], True
    if _BREAKS_ALONE.fullmatch(word):
        return "it asks for more, or less, than one job may", True
    if _SPENT.fullmatch(word):
        return "the time that was granted is used up", True
    if _GROUP.fullmatch(word):
        return "a limit on all jobs together; it starts if it fits when others have ended", False
    return _PASSING.get(word, ""), False
