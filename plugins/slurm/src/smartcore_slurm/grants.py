"""What the allocations grant that steps run in, and why a step cannot run in one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from smartcore.error import LauncherError
from smartcore.spec import Node, Step

from .allocation import show
from .commands import ask, told
from .fitting import Line, misfit, parse_features, unknown_feature, wanted_feature
from .nodes import Allocation, from_environment, names_of

logger = logging.getLogger("smartcore")

NOWHERE = (
    "srun needs an allocation, and there is none here: start the driver inside salloc or sbatch,"
    " give the run settings alloc= (smartcore.wlm.slurm.get_allocation() makes one), or give the"
    " model batch settings (a database: batch=True)"
)
# srun itself waits for nodes that boot.
USABLE = ("RUNNING", "CONFIGURING", "SUSPENDED")
# Facts of an allocation hold for so many seconds; most starts come in bursts.
FRESH = 2.0


@dataclass
class Grants:
    """What is known of the allocations that steps run in; asked for once for each burst of
    starts.
    """

    environment: Mapping[str, str]
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, tuple[float, Allocation | None]] = field(default_factory=dict)
    _features: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def find(self, number: str) -> Allocation | None:
        asked, found = self._known.get(number, (0.0, None))
        if number not in self._known or self.clock() - asked > FRESH:
            found = show(number)
            self._known[number] = (self.clock(), found)
        return found

    def nodes(self, number: str) -> Sequence[Node]:
        here = from_environment(self.environment)
        number = number or (here.id if here else "")
        if not number:
            return ()
        try:
            found = self.find(number)
        except LauncherError:
            if here is None or here.id != number:
                raise
            found = here  # its variables say it, too
        return found.nodes if found is not None else ()

    def obstacle(self, step: Step, line: Line, number: str) -> str:
        """Why a step cannot run in an allocation; empty if nothing is known against it."""
        try:
            found = self.find(number)
            if found is None or found.state not in USABLE:
                return _not_usable(number, found)
            return misfit(step, line, found) or self._without_features(line, found)
        except LauncherError as error:
            # A controller that is away for a moment is no reason: srun waits for it itself.
            logger.debug("not checked: %s", error)
            return ""

    def _without_features(self, line: Line, allocation: Allocation) -> str:
        wanted = wanted_feature(line)
        if not wanted:
            return ""
        if allocation.id not in self._features:
            names = ",".join(names_of(allocation.nodes))
            completed = ask("scontrol", "show", "node", "--oneliner", names)
            if completed.returncode != 0:
                raise LauncherError(told(completed))
            self._features[allocation.id] = parse_features(completed.stdout)
        return unknown_feature(wanted, allocation.id, self._features[allocation.id].values())


def _not_usable(number: str, found: Allocation | None) -> str:
    if found is None:
        state = "has ended, or never was"
    elif found.state == "PENDING":
        return f"allocation {number} is PENDING: its nodes are not granted yet"
    else:
        state = f"has ended ({found.state})"
    return f"allocation {number} {state}; get another one (salloc, or get_allocation())"
