"""Submits jobs: what an error means, when to try again, and never the same job twice."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from smartcore.error import LauncherError, ShellError
from smartcore.launch.batch.commands import Commands, RateLimitError, never_started
from smartcore.launch.batch.duplicates import Duplicates
from smartcore.launch.batch.ids import Ref, plain
from smartcore.launch.batch.record import Records
from smartcore.spec import Tag
from smartcore.spec.scheduler import NativeId, Refusal, Refused, Submission, SubmitAnswer

# Between two attempts, in seconds: doubled from the first to the last, and spread by a quarter so
# that many drivers that failed together do not come back together.
FIRST_DELAY = 0.5
LAST_DELAY = 60.0
# A job that was accepted with an error may take a while to be listed. It is looked up this often
# before it is submitted again.
LOOKUPS = 3


@dataclass(slots=True)
class Held:
    """A job that the scheduler does not have yet, or is not known to have.

    :param ref: its id, without the scheduler's own
    :param due: when to try again
    :param attempts: how often it was tried
    :param doubt: how often its tag is to be looked up before the next submit
    :param full: it is over a limit on jobs, which will not change soon
    :param reason: why it is not there yet, in the scheduler's own words
    :param again: it was submitted although an earlier submit may yet turn out to have worked
    """

    ref: Ref
    submission: Submission
    due: float = 0.0
    attempts: int = 0
    doubt: int = 0
    full: bool = False
    reason: str = ""
    again: bool = False

    def later(self, now: float, reason: str) -> None:
        """Try again after a while."""
        delay = min(LAST_DELAY, FIRST_DELAY * 2**self.attempts)
        self.attempts += 1
        self.due = now + delay * random.uniform(0.75, 1.25)
        self.reason = reason


class Submitter:
    """Brings jobs to the scheduler, and keeps those that must wait.

    :param commands: runs the submits
    :param records: exit records, which prove that a job exists
    """

    def __init__(self, commands: Commands, records: Records) -> None:
        self._commands = commands
        self.duplicates = Duplicates(commands, records, self._look_up)
        self._scheduler = commands.scheduler
        self._records = records
        self.held: dict[Tag, Held] = {}

    def first(self, held: Held, end: float) -> SubmitAnswer | None:
        """Submit a job, trying again until ``end`` of the clock; None if it is held after that."""
        world = self._commands.world
        while (answer := self.attempt(held, end - world.clock())) is None:
            if held.due > end or held.full:
                break
            world.sleep(max(0.0, held.due - world.clock()))
        if answer is None:
            self.held[held.ref.tag] = held
        return answer

    def due(self) -> Iterable[Held]:
        """Held jobs whose turn it is."""
        now = self._commands.world.clock()
        return [held for held in self.held.values() if held.due <= now]

    def attempt(self, held: Held, patience: float = 0.0) -> SubmitAnswer | None:
        """Look up what is doubtful, or submit: the id, a permanent error, or None for later."""
        now = self._commands.world.clock()
        try:
            found = self.find(held.ref) if held.doubt else None
        except LauncherError as error:  # not known to exist, and not known not to
            held.later(now, f"{held.reason}; look-up failed: {error}")
            return None
        if found is not None:
            return found
        if held.doubt:
            held.doubt -= 1
            if held.doubt:
                held.later(now, held.reason)
                return None
            held.again = True
        try:
            answer = self._submit(held.submission, patience)
        except RateLimitError as error:
            held.due, held.reason = now + error.wait, str(error)
            return None
        if not isinstance(answer, Refused) or answer.kind is Refusal.PERMANENT:
            return answer
        held.full = answer.kind is Refusal.QUOTA
        if answer.kind is Refusal.AMBIGUOUS:
            held.doubt = LOOKUPS
        held.later(now, answer.reason)
        return None

    def find(self, ref: Ref) -> NativeId | None:
        """The id of a job that carries the tag, from the scheduler or from the job itself.

        :raises LauncherError: it could not be looked up
        """
        found = self._look_up(ref)
        if found:
            return self.duplicates.resolve(ref, found)
        # It may have ended before it was looked up.
        began = self._records.job_that_began(ref.tag, ref.count)
        return NativeId(began) if began and not ref.array else None

    def _look_up(self, ref: Ref) -> Sequence[NativeId]:
        tag = plain(ref.tag)
        completed = self._commands.query(self._scheduler.lookup(tag))
        return self._scheduler.parse_lookup(completed, tag)

    def _submit(self, submission: Submission, patience: float) -> SubmitAnswer:
        try:
            completed = self._commands.submit(self._scheduler.submit(submission), patience)
        except ShellError as error:
            sure = never_started(error)
            return Refused(Refusal.PERMANENT if sure else Refusal.AMBIGUOUS, str(error))
        return self._scheduler.parse_submit(completed)
