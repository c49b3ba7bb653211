"""One launch of one entity, as the engine keeps it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from smartcore.launch.plan import Shares
from smartcore.launch.policy import DEFAULT, Policy
from smartcore.spec import Job, JobId, Placement, State, Status, Step

# Types of entities, as `summary` shows them.
MODEL: Final = "Model"
SHARD: Final = "DBNode"

FINE = frozenset({State.COMPLETED, State.CANCELLED})


@dataclass(slots=True, eq=False)
class Run:
    """One launch of one entity: written by the engine's thread only, read by everybody.

    :param step: what is run
    :param kind: type of the entity, as ``summary`` shows it
    :param run_id: 0 for the first launch of this entity, then 1, 2...
    :param limited: counts against the limit of concurrently running models
    :param job: the launcher's id, None until it was started
    :param status: the newest status
    :param submitted: ``time.monotonic()`` when it was handed to the engine
    :param started: the same when the launcher accepted it, None before
    :param ended: the same when its end was known, None before
    :param bundle: the job that it is a part of; None for a step of its own
    :param place: makes its step for the place that it was given; None if it runs anywhere
    :param shares: the parts of nodes that it has
    :param policy: what its failure leads to
    :param group: all that were started with it, itself included
    :param why: why it is being stopped, if not by the user
    :param stopping: its end was asked for
    :param successor: the run that took its place when it failed
    :param held: it has ended, and its launcher has not let go of it yet
    :param replaced: it ended, and its database serves again by runs of other names
    """

    step: Step
    kind: str
    run_id: int = 0
    limited: bool = True
    job: JobId | None = None
    status: Status = field(default_factory=lambda: Status(State.NEW))
    submitted: float = field(default_factory=time.monotonic)
    started: float | None = None
    ended: float | None = None
    waiters: list[Callable[[], None]] = field(default_factory=list)
    bundle: Job | None = None
    place: Callable[[Placement], Step] | None = None
    shares: Shares = ()
    policy: Policy = DEFAULT
    group: Sequence[Run] = ()
    why: str = ""
    stopping: bool = False
    successor: Run | None = None
    held: bool = False
    replaced: bool = False

    @property
    def name(self) -> str:
        """Name of the entity."""
        return self.step.name

    @property
    def active(self) -> bool:
        """True from the hand-over to the engine until the end."""
        return not self.status.is_terminal

    @property
    def remains(self) -> bool:
        """True as long as there may be something to stop."""
        return self.active or self.held

    @property
    def latest(self) -> Run:
        """The newest of its attempts; itself if it was not tried again."""
        run = self
        while run.successor is not None:
            run = run.successor
        return run

    @property
    def failed(self) -> bool:
        """True when it has ended, neither completed nor stopped."""
        return not self.active and self.status.state not in FINE

    def seconds(self, now: float | None = None) -> float | None:
        """How long it has run, or ran; None if it never started."""
        if self.status.elapsed is not None:
            return self.status.elapsed.total_seconds()
        if self.started is None:
            return None
        end = self.ended if self.ended is not None else (now or time.monotonic())
        return end - self.started
