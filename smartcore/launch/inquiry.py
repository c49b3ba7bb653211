"""Asking a launcher about the jobs that it does not tell of: when, and what silence means."""

from __future__ import annotations

import time
from collections.abc import Callable

from smartcore.launch.run import Run
from smartcore.launch.silence import Silence
from smartcore.spec import (
    ABSENT,
    Absent,
    Cause,
    JobId,
    Launcher,
    State,
    Status,
    Watches,
    WatchesSome,
)

# Soon after a change, then less and less often.
FIRST_INTERVAL = 0.05
LAST_INTERVAL = 5.0
# However many jobs there are, asking takes at most this part of the time.
ASKING_SHARE = 0.25
# A job that its scheduler does not know may just not have got there yet (accounting lags, NFS).
ABSENCE_GRACE = 60.0


class Inquiry:
    """The jobs that must be asked about; used from the engine's thread.

    :param heard: called with what was learnt of a job
    """

    def __init__(self, launcher: Launcher, heard: Callable[[JobId, Status], None]) -> None:
        self._launcher = launcher
        self._heard = heard
        self._jobs: dict[JobId, Run] = {}
        self._absent_since: dict[JobId, float] = {}
        self._interval = FIRST_INTERVAL
        self.silence = Silence(type(launcher).__name__)

    def __contains__(self, job: JobId) -> bool:
        return job in self._jobs

    @property
    def patience(self) -> float | None:
        """Seconds until the launcher is asked again; None if there is nothing to ask."""
        return self._interval if self._jobs else None

    def follow(self, run: Run, job: JobId) -> None:
        """Ask about this job from now on, if the launcher does not tell of it by itself."""
        if isinstance(self._launcher, WatchesSome):
            tells = self._launcher.watches(job)
        else:
            tells = isinstance(self._launcher, Watches)
        if not tells:
            self._jobs[job] = run

    def hurry(self) -> None:
        """Ask soon: something is about to change."""
        self._interval = FIRST_INTERVAL

    def ask(self) -> None:
        """Ask once about all of them."""
        asked = time.monotonic()
        try:
            answers = self._launcher.status(list(self._jobs))
        except Exception as error:  # noqa: BLE001 -- a broken launcher's jobs may live all the same
            # A question that failed says nothing about the jobs: their last states stay.
            if not getattr(error, "reported", False):
                self.silence.failed(error)
            return
        finally:
            price = time.monotonic() - asked
            self._interval = max(min(2 * self._interval, LAST_INTERVAL), price / ASKING_SHARE)
        self.silence.answered()
        for job, run in list(self._jobs.items()):
            answer = answers.get(job, ABSENT)
            if isinstance(answer, Absent):
                self.missing(job)
                continue
            if not run.held and answer.state is not run.status.state:
                self._interval = max(FIRST_INTERVAL, price / ASKING_SHARE)
            self._heard(job, answer)

    def missing(self, job: JobId) -> None:
        """The launcher does not know a job: it is lost, if that has been so for long."""
        since = self._absent_since.setdefault(job, time.monotonic())
        if time.monotonic() - since >= ABSENCE_GRACE:
            reason = "unknown to its launcher, and it left no record"
            self._heard(job, Status(State.LOST, None, Cause.UNSEEN, reason))

    def known(self, job: JobId, status: Status) -> None:
        """This was learnt of a job: it is not missing, and if it has ended, nothing is to ask."""
        self._absent_since.pop(job, None)
        if status.is_terminal:
            self._jobs.pop(job, None)
