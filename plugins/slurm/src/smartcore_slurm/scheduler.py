"""Slurm's batch side: sbatch, squeue, sacct and scancel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from smartcore.error import LauncherError
from smartcore.spec import Completed, Tag
from smartcore.spec.scheduler import (
    CommandLineScheduler,
    Invocation,
    JobRecord,
    NativeId,
    Outcome,
    Rates,
    Submission,
    SubmitAnswer,
    Unavailable,
)

from . import ids, sacct, squeue, states, submit
from .options import quoted, written
from .variables import VARIABLES

_RATES: Final = Rates(
    # One squeue takes slurmctld a few ms. Its clients give up after 9 s if it is down.
    query_burst=10,
    accounting_chunk=1000,
    cancel_chunk=500,
)


class SlurmScheduler(CommandLineScheduler):
    """Speaks with ``sbatch``, ``squeue``, ``sacct`` and ``scancel``.

    Every option is given twice: as ``#SBATCH`` lines, so that the script says what it is and can be
    submitted by hand, and on the command line, because the user's ``SBATCH_*`` variables win over
    those lines (sbatch(1), INPUT ENVIRONMENT VARIABLES).

    :param clusters: where to submit and to look jobs up, as ``sbatch --clusters`` takes it; empty
        for the cluster of this host
    :param array_limit: members of one array, see ``array_limit``; Slurm's default is 1001
    """

    name = "slurm"
    variables = VARIABLES
    words: Mapping[str, Outcome] = states.WORDS
    rates = _RATES

    def __init__(self, clusters: str = "", array_limit: int = 0) -> None:
        self._clusters = clusters
        if array_limit:
            self.rates = replace(self.rates, array_limit=array_limit)

    @classmethod
    def configured(cls, environment: Mapping[str, str], array_limit: int = 0) -> SlurmScheduler:
        """The scheduler as the user's variables choose its clusters.

        :param environment: of the user
        :param array_limit: members of one array
        """
        chosen = environment.get("SBATCH_CLUSTERS") or environment.get("SLURM_CLUSTERS", "")
        return cls(chosen, array_limit)

    # -- submit ---------------------------------------------------------------------------------

    def directives(self, submission: Submission, /) -> Sequence[str]:
        return [
            f"#SBATCH {' '.join(map(quoted, written(name, value)))}"
            for name, value in submit.options(submission).items()
        ]

    def submit(self, submission: Submission, /) -> Invocation:
        options = submit.options(submission)
        where = (f"--clusters={self._clusters}",) if self._clusters else ()
        words = [word for name, value in options.items() for word in written(name, value)]
        return Invocation(("sbatch", "--parsable", *where, *words, str(submission.script)))

    def parse_submit(self, completed: Completed, /) -> SubmitAnswer:
        return submit.parse(completed)

    def lookup(self, tag: Tag, /) -> Invocation:
        return Invocation(squeue.lookup(self._clusters))

    def parse_lookup(self, completed: Completed, tag: Tag, /) -> Sequence[NativeId]:
        return squeue.parse_tags(completed, tag)

    # -- ask ------------------------------------------------------------------------------------

    def query(self, ids_: Sequence[NativeId], /) -> Invocation:
        return Invocation(squeue.query(ids.cluster(ids_[0])))

    def parse_query(self, completed: Completed, /) -> Sequence[JobRecord]:
        return squeue.parse(completed)

    def accounting(self, ids_: Sequence[NativeId], /) -> Invocation | None:
        return Invocation(sacct.query(ids_))

    def parse_accounting(self, completed: Completed, /) -> Sequence[JobRecord] | Unavailable:
        return sacct.parse(completed)

    def outcome(self, record: JobRecord, /) -> Outcome:
        return states.outcome(record)

    # -- cancel ---------------------------------------------------------------------------------

    def cancel(self, ids_: Sequence[NativeId], /) -> Invocation:
        cluster = ids.cluster(ids_[0])
        where = (f"--clusters={cluster}",) if cluster else ()
        return Invocation(("scancel", *where, *map(ids.local, ids_)))

    # -- ids ------------------------------------------------------------------------------------

    def key(self, native: NativeId, /) -> str:
        return ids.key(native)

    def scope(self, native: NativeId, /) -> str:
        return ids.cluster(native)

    def member(self, native: NativeId, index: int, /) -> NativeId:
        return ids.member(native, index)


def array_limit(configuration: str) -> int:
    """How many members an array may have, from what ``scontrol show config`` prints: indices are
    below MaxArraySize (slurm.conf(5)).

    :raises LauncherError: it does not say
    """
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", configuration, re.MULTILINE)
    if found is None:
        raise LauncherError("scontrol show config does not tell MaxArraySize; is Slurm there?")
    return int(found[1])
