"""What is to go wrong, as data that a test writes.

A fault is a dictionary. ``on`` is what it meets: ``submit``, ``query``, ``account``, ``cancel`` (a
command) or ``job`` (a job that starts). ``do`` is what happens; ``times`` how often (for ever if
not given), ``skip`` how many are let through first. ``text``, ``rc`` and ``seconds`` are details.

=========== ======================================================================================
of commands
fail        nothing is done; prints ``text`` on standard error and returns ``rc``
lose        a submit is done, and then fails like that; the job is listed after ``seconds`` only
hang        nothing is done, and the program does not end
slow        takes ``seconds``
chatter     prints ``text`` before and after the answer
empty       prints nothing, returns 0
garbage     prints ``text`` instead of the answer, returns 0
binary      an answer that is no UTF-8 has somebody else's job in it
huge        ``seconds`` thousand jobs of somebody else in the answer
word        every state is called ``text``
of jobs     whose name is like ``name``, ``seconds`` after the start, in incarnation ``restart``
preempt     told to end, then requeued if they may be
node        killed with their node, then requeued if they may be
memory      killed for using too much memory
limit       ended as if their time were up
vanish      runs on, but is forgotten by queue and accounting
suspend     stopped, and continued by nobody
=========== ======================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

COMMANDS = {
    "fail",
    "lose",
    "hang",
    "slow",
    "chatter",
    "empty",
    "garbage",
    "binary",
    "huge",
    "word",
}
JOBS = {"preempt", "node", "memory", "limit", "vanish", "suspend"}


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong; see the module for the fields."""

    on: str
    do: str
    times: int = -1
    skip: int = 0
    text: str = ""
    rc: int = 1
    seconds: float = 0.0
    name: str = "*"
    restart: int = 0

    def __post_init__(self) -> None:
        known = JOBS if self.on == "job" else COMMANDS
        if self.on not in {"submit", "query", "account", "cancel", "job"} or self.do not in known:
            raise ValueError(f"no fault {self.do!r} on {self.on!r}")

    def strikes(self) -> bool:
        """True if it happens this time."""
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times == 0:
            return False
        self.times -= self.times > 0
        return True


class Faults:
    """All that is to go wrong."""

    def __init__(self, script: Sequence[Mapping[str, object]] = ()) -> None:
        self._faults = [Fault(**fault) for fault in script]  # type: ignore[arg-type]

    def of_command(self, kind: str) -> Fault | None:
        """What happens to this command; the first that applies."""
        return next((f for f in self._faults if f.on == kind and f.strikes()), None)

    def of_job(self, name: str, restart: int) -> Fault | None:
        """What happens to a job that starts; the first that applies."""
        meant = (
            fault
            for fault in self._faults
            if fault.on == "job" and fault.restart == restart and fnmatchcase(name, fault.name)
        )
        return next((fault for fault in meant if fault.strikes()), None)
