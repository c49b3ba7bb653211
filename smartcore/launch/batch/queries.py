"""What a scheduler says about jobs: one bulk query for all, now and then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from smartcore.error import LauncherError
from smartcore.launch.batch.commands import Commands, RateLimitError
from smartcore.launch.batch.evidence import Word
from smartcore.launch.batch.outage import Outage
from smartcore.log import get_logger
from smartcore.spec import Source
from smartcore.spec.scheduler import CommandLineScheduler, JobRecord, NativeId, Unavailable

log = get_logger(__name__)

BACK_OFF = 1.5
JOBS_PER_SECOND = 1000
# Asking takes at most this share of the time.
SHARE = 0.1
# Between two questions to a scheduler that does not answer: at most so many times the longest
# interval of one that does.
FAILING = 4


class UnansweredError(LauncherError):
    """A question that was not answered; the user is told of it as often as is useful already."""

    reported = True


@dataclass
class Queue:
    """The last good answer of the queue, and when to ask again.

    :param commands: runs the queries
    :param words: what it said last, by key
    :param asked: when that was
    :param failed: the last question got no answer
    """

    commands: Commands
    words: dict[str, Word] = field(default_factory=dict)
    asked: float | None = None
    failed: bool = False
    _interval: float = 0.0
    _least: float = 0.0
    _due: float = 0.0
    _reported: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._interval = self.commands.rates.first_interval.total_seconds()
        self._outage = Outage(self.commands.scheduler.name)

    @property
    def due(self) -> bool:
        """True when it is time to ask."""
        return self.commands.world.clock() >= self._due

    def hurry(self) -> None:
        """Something was done that changes the answer: ask again soon."""
        self._interval = self.commands.rates.first_interval.total_seconds()
        if self.asked is not None and not self.failed:
            self._due = min(self._due, self.asked + max(self._interval, self._least))

    def refresh(self, natives: Sequence[NativeId], ours: Set[str]) -> None:
        """Ask about these jobs.

        :param ours: keys of all jobs and members that are of interest: the answer may tell of
            others, which change nothing
        :raises UnansweredError: there was no answer; the last one stays
        """
        commands, clock = self.commands, self.commands.world.clock
        now, waited = clock(), commands.waited
        try:
            found = self._ask(natives)
        except LauncherError as error:
            self._fail(error, now, clock() - now - (commands.waited - waited))
            raise UnansweredError(str(error)) from error
        took = clock() - now - (commands.waited - waited)
        last = commands.rates.last_interval.total_seconds()
        self._interval = min(self._interval * BACK_OFF, last)
        if self._changed(found, ours):
            self._interval = commands.rates.first_interval.total_seconds()
        # A long answer is work for the scheduler, and for us: the longer, the rarer.
        self._least = max(len(found.keys() & ours) / JOBS_PER_SECOND, took / SHARE)
        self._due = now + max(self._interval, self._least)
        self.words, self.asked, self.failed = found, now, False
        self._outage.answered(now)

    def _ask(self, natives: Sequence[NativeId]) -> dict[str, Word]:
        scheduler = self.commands.scheduler
        found: dict[str, Word] = {}
        for chunk in chunks(scheduler, natives, self.commands.rates.query_chunk):
            completed = self.commands.query(scheduler.query(chunk))
            for record in scheduler.parse_query(completed):
                found[scheduler.key(record.id)] = self._word(record)
        return found

    def _fail(self, error: LauncherError, now: float, took: float) -> None:
        self.failed = True
        most = FAILING * self.commands.rates.last_interval.total_seconds()
        self._interval = min(self._interval * 2, most)
        self._due = now + took + max(self._interval, min(took / SHARE, most))
        if isinstance(error, RateLimitError):
            return  # it was not asked: that is no fault of the scheduler
        self._outage.failed(str(error), now, None if self.asked is None else now - self.asked)

    def _word(self, record: JobRecord) -> Word:
        outcome = self.commands.scheduler.outcome(record)
        if outcome.state.value == "Unknown" and record.state not in self._reported:
            self._reported.add(record.state)
            log.warning(
                "%s says %r of a job, which this version does not know; it changes nothing",
                self.commands.scheduler.name,
                record.state,
            )
        return Word(record, outcome)

    def _changed(self, found: Mapping[str, Word], ours: Set[str]) -> bool:
        for key in ours:
            word, before = found.get(key), self.words.get(key)
            if (word is None) is not (before is None):
                return True
            if word and before and word.record.state != before.record.state:
                return True
        return False


@dataclass
class Accounting:
    """What the accounting says about jobs that have left the queue.

    :param commands: runs the questions
    """

    commands: Commands
    words: dict[str, Word] = field(default_factory=dict)
    off: str = ""
    _due: float = 0.0

    @property
    def due(self) -> bool:
        """True when it is there and may be asked."""
        return not self.off and self.commands.world.clock() >= self._due

    def ask(self, natives: Sequence[NativeId]) -> None:
        """Ask about these jobs; what is not answered is asked again later.

        :raises LauncherError: there was no answer
        """
        scheduler, rates = self.commands.scheduler, self.commands.rates
        clock = self.commands.world.clock
        end = clock() + self.commands.patience
        self._due = clock() + rates.first_interval.total_seconds() * 2
        for chunk in chunks(scheduler, natives, rates.accounting_chunk):
            if clock() > end:
                return  # others wait for the answer to this call
            invocation = scheduler.accounting(chunk)
            if invocation is None:
                self.off = "there is none"
                return
            answer = scheduler.parse_accounting(self.commands.query(invocation))
            if isinstance(answer, Unavailable):
                self.off = answer.reason
                log.warning(
                    "%s has no accounting here (%s): ends are known from exit records and the"
                    " queue only",
                    scheduler.name,
                    answer.reason,
                )
                return
            for record in answer:
                word = Word(record, scheduler.outcome(record), Source.ACCOUNTING)
                self.words[scheduler.key(record.id)] = word

    def forget(self, key: str) -> None:
        """Drop what is known about a job that is settled."""
        self.words.pop(key, None)


def chunks(
    scheduler: CommandLineScheduler, natives: Iterable[NativeId], size: int
) -> Iterator[Sequence[NativeId]]:
    """Split ids by scope, and then into pieces of at most ``size``; 0 is no limit."""
    scopes: dict[str, list[NativeId]] = {}
    for native in natives:
        scopes.setdefault(scheduler.scope(native), []).append(native)
    for members in scopes.values():
        step = size or len(members)
        for start in range(0, len(members), step):
            yield members[start : start + step]


def cancel(commands: Commands, natives: Sequence[NativeId]) -> list[str]:
    """Cancel jobs in batches; returns what the commands complained about."""
    scheduler = commands.scheduler
    complaints = []
    for chunk in chunks(scheduler, natives, commands.rates.cancel_chunk):
        try:
            completed = commands.query(scheduler.cancel(chunk))
        except LauncherError as error:
            complaints.append(str(error))
            continue
        if completed.returncode:
            complaints.append((completed.stderr or completed.stdout).strip())
    return complaints
