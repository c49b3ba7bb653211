"""What the launcher remembers about the jobs that it is asked about."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from smartcore.launch.batch.evidence import Evidence, Word, active, decide
from smartcore.launch.batch.ids import Ref
from smartcore.launch.batch.lag import RecordLag
from smartcore.launch.batch.queries import Accounting, Queue
from smartcore.launch.batch.record import ExitRecord, Records, record_name
from smartcore.log import get_logger
from smartcore.spec import ABSENT, Answer, State, Status
from smartcore.spec.scheduler import CommandLineScheduler, NativeId

log = get_logger(__name__)

# How long a scheduler may call a job running whose program has ended.
ENDING = 60.0
# The same for a step of several: its end, if nothing interrupted the job, leaves the job running.
STEP_ENDING = 5.0


@dataclass(slots=True, eq=False)
class Part:
    """One step of a job, or one member of an array.

    :param job: what it is a part of
    :param index: its number, from 0
    :param native: the id that the scheduler knows it by: the whole job's, or the member's
    :param key: the same, for comparison
    :param name: of its exit record
    :param status: the last answer
    :param word: what the queue had said when it was given
    :param record: its exit record
    :param recorded: when the record was first seen
    :param gone: when it was first found to have ended or to be absent
    :param final: its end is known
    """

    job: Tracked
    index: int
    native: NativeId
    key: str
    name: str
    status: Answer | None = None
    word: Word | None = None
    record: ExitRecord | None = None
    recorded: float = 0.0
    gone: float | None = None
    final: bool = False

    @property
    def unsettled(self) -> bool:
        """True if time alone may change the answer."""
        return not self.final and (self.gone is not None or self.record is not None)


@dataclass(slots=True, eq=False)
class Tracked:
    """One job.

    :param ref: with the scheduler's id
    :param parent: the scheduler's id of the whole job, for comparison
    :param since: when we came to know of it
    :param parts: what was asked about
    :param doubtful: it may have been submitted twice, so that another job may be the one that runs
    :param warned: it was told that it waits for what will not come
    """

    ref: Ref
    parent: str
    since: float
    parts: dict[int, Part] = field(default_factory=dict)
    doubtful: bool = False
    warned: bool = False

    @property
    def ended(self) -> bool:
        """True if the ends of all its parts are known."""
        return len(self.parts) == self.ref.count and all(p.final for p in self.parts.values())


def part_of(tracked: Tracked, index: int, scheduler: CommandLineScheduler) -> Part:
    """A part of a job, made when first asked for."""
    part = tracked.parts.get(index)
    if part is None:
        native, key = _named(tracked, index, scheduler)
        name = record_name(tracked.ref.tag, index)
        part = tracked.parts[index] = Part(tracked, index, native, key, name)
    return part


def adopt(tracked: Tracked, native: NativeId, now: float, scheduler: CommandLineScheduler) -> None:
    """Follow another of the jobs that one launch has become."""
    tracked.ref = replace(tracked.ref, native=native)
    tracked.parent, tracked.since = scheduler.key(native), now
    for part in tracked.parts.values():
        part.native, part.key = _named(tracked, part.index, scheduler)
        part.word, part.gone = None, None


def _named(tracked: Tracked, index: int, scheduler: CommandLineScheduler) -> tuple[NativeId, str]:
    native = tracked.ref.native
    if not tracked.ref.array:
        return native, tracked.parent
    native = scheduler.member(native, scheduler.index_base + index)
    return native, scheduler.key(native)


@dataclass(slots=True)
class Judge:
    """Decides about parts from what the sources said last; remembers when things were first seen.

    :param now: monotonic seconds
    """

    queue: Queue
    accounting: Accounting
    records: Records
    lag: RecordLag
    now: float

    def judge(self, part: Part) -> None:
        """Decide about a part, and note it there; once it is an end, it stays."""
        if part.final:
            return
        tracked = part.job
        word = self._word(tracked, part)
        record = self.records.read(tracked.ref.tag, part.index)
        later = self.accounting.words.get(part.key)
        if record is None and later is None and word is not None and not word.terminal:
            if word is not part.word:  # told anew, and still going on: what almost all are
                part.word, part.gone, part.record = word, None, None
                part.status = active(word)
                if word.record.blocked and not tracked.warned:
                    self._warn_blocked(tracked, word)
            return
        self._date(part, word, record)
        evidence = Evidence(
            word,
            later,
            record,
            stopped=self.records.was_stopped(tracked.ref.tag, part.index),
            settled=self._settled(part, word, record, later),
            alone=tracked.ref.array or tracked.ref.count == 1,
            newer=self.queue.asked is None or part.recorded >= self.queue.asked,
            begun=self.unseen(tracked) or self.records.has_begun(tracked.ref.tag, part.index),
        )
        status = decide(evidence)
        if self.unseen(tracked) and (status is None or not status.is_terminal):
            status = Status(State.QUEUED, reason="submitted")
        part.word, part.status = word, ABSENT if status is None else status
        if status is not None and status.is_terminal:
            part.final = True
            if tracked.ref.array or tracked.ended:  # the steps of one job share what is said of it
                self.accounting.forget(part.key)
            if record is not None:
                self.lag.seen(0.0 if part.gone is None else part.recorded - part.gone)

    def _warn_blocked(self, tracked: Tracked, word: Word) -> None:
        tracked.warned = True
        log.warning(
            "job %s (%s) waits for what will not come: %s; nothing is done about it, stop it if the"
            " site cannot change that",
            tracked.ref.native,
            tracked.ref.tag,
            word.record.reason,
        )

    def wants_accounting(self, part: Part) -> bool:
        """True if the accounting may know what the queue no longer tells."""
        if part.final or part.gone is None or self.unseen(part.job):
            return False
        word = self.accounting.words.get(part.key)
        return word is None or not word.terminal

    def _word(self, tracked: Tracked, part: Part) -> Word | None:
        word = self.queue.words.get(part.key)
        if word is None and tracked.ref.array:
            # Members that wait are often told of in one line for the whole array.
            word = self.queue.words.get(tracked.parent)
            if word is not None and word.outcome.state is not State.QUEUED:
                word = None
        return word

    def unseen(self, tracked: Tracked) -> bool:
        """True if the queue was not asked since we know of the job."""
        asked = self.queue.asked
        return asked is None or asked < tracked.since

    def _date(self, part: Part, word: Word | None, record: ExitRecord | None) -> None:
        if record is not None and (part.record is None or part.record != record):
            part.recorded = self.now
            if not record.conclusive:
                self.queue.hurry()
        part.record = record
        if word is not None and not word.terminal:
            part.gone = None
        elif part.gone is None:
            part.gone = self.now

    def _settled(
        self, part: Part, word: Word | None, record: ExitRecord | None, later: Word | None
    ) -> bool:
        if word is not None and not word.terminal:
            return record is not None and self.now - part.recorded >= _patience(part, record)
        if self.queue.asked is None or part.gone is None:
            return False
        waited = self.now - part.gone
        if record is None:  # somebody says that it has ended; give the record its time
            return waited >= self.lag.grace and not part.job.doubtful
        if part.recorded > self.queue.asked:
            return False  # ask the queue once more, it may tell the reason
        if later is not None and later.terminal:
            return True
        lag = self.accounting.commands.rates.accounting_lag.total_seconds()
        return bool(self.accounting.off) or waited >= lag


def _patience(part: Part, record: ExitRecord) -> float:
    several = not part.job.ref.array and part.job.ref.count > 1
    return STEP_ENDING if several and not record.interrupted else ENDING
