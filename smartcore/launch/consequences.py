"""What follows from the end of one run: another attempt, or the end of others. Pure."""

from __future__ import annotations

from dataclasses import replace

from smartcore.launch.policy import OnFailure
from smartcore.launch.run import FINE, Run
from smartcore.launch.step import make_tag
from smartcore.spec import Cause, Status


def attempt_after(run: Run, status: Status) -> Run | None:
    """The next attempt of a run that is about to have ended so; None if there is none.

    What could not even be started is not tried again, nor what was stopped.
    """
    left = run.policy.retries
    if not left or status.state in FINE or status.cause is Cause.START_FAILURE:
        return None
    again = Run(
        replace(run.step, tag=make_tag(run.name)),
        run.kind,
        run.run_id + 1,
        run.limited,
        policy=replace(run.policy, retries=left - 1),
        group=run.group,
        place=run.place,
    )
    if run.bundle is not None:  # a job of its own: those of the others have ended, or go on
        step = again.step
        again.bundle = replace(run.bundle, tag=step.tag, steps=(step,), array=False)
    return again


def concerned_by(run: Run) -> list[Run]:
    """Those that are to be stopped, or never to be started, since a run has failed for good."""
    on_failure = run.policy.on_failure
    if not run.failed or run.successor is not None or on_failure is OnFailure.CONTINUE:
        return []
    others = [other.latest for other in run.group]
    if on_failure is OnFailure.STOP:
        return [other for other in others if other.active]
    return [other for other in others if other.active and other.job is None]
