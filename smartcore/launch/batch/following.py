"""Following jobs: which parts of them are asked about, and what is decided of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from smartcore.error import LauncherError
from smartcore.launch.batch.book import Book
from smartcore.launch.batch.lag import RecordLag
from smartcore.launch.batch.queries import Accounting, Queue, UnansweredError
from smartcore.launch.batch.record import Records
from smartcore.launch.batch.tracking import Judge, Part
from smartcore.log import get_logger
from smartcore.spec import JobId

log = get_logger(__name__)


class Following:
    """The parts that have not ended, of the jobs that somebody asks about.

    The queue is asked when its time has come. A decision about a part is made when there is news of
    it, or when time alone may change what is known; until then its last status stays.
    """

    def __init__(
        self, queue: Queue, accounting: Accounting, records: Records, lag: RecordLag, book: Book
    ) -> None:
        self._queue = queue
        self._accounting = accounting
        self._records = records
        self._lag = lag
        self._book = book
        self._followed: dict[JobId, tuple[Part, ...]] = {}
        self._judged: float | None = None
        self._parts: dict[str, Part] = {}
        self._unsettled: dict[str, Part] = {}

    def whole(self, job: JobId) -> tuple[Part, ...] | None:
        """The parts that an id stands for, once all of them are followed."""
        return self._followed.get(job)

    def update(self, ids: Collection[JobId]) -> None:
        """Decide anew about the parts of which there is news, those of ``ids`` among them.

        :raises LauncherError: the queue did not answer
        """
        for job in ids:
            if job not in self._followed:
                self.follow(job)
        if self._parts and (self._queue.due or self._book.stranger):
            if self._queue.failed and not self._queue.due:
                raise UnansweredError(
                    f"{self._queue.commands.scheduler.name} has not answered yet about jobs that"
                    " another process submitted; ask again later"
                )
            self.refresh()
        # The queue first, then the files: a job that has left the queue has written its record.
        fresh = self._records.look()
        if self._queue.asked != self._judged:
            self._judged = self._queue.asked
            concerned = dict(self._parts)
        else:
            concerned = {name: self._parts[name] for name in fresh if name in self._parts}
            concerned |= self._unsettled
        self._decide(concerned)

    def follow(self, job: JobId) -> tuple[Part, ...]:
        """The parts that an id stands for, which are followed from now on."""
        parts, whole = self._book.parts(job)
        for part in parts:
            if not part.final:
                self._parts[part.name] = self._unsettled[part.name] = part
        if whole:
            self._followed[job] = parts
        return parts

    def refresh(self) -> None:
        """Ask the queue.

        :raises LauncherError: it did not answer
        """
        # About all that have not ended, because an answer replaces the one before it.
        living = [tracked for tracked in self._book.tracked.values() if not tracked.ended]
        ours = {part.key for part in self._parts.values()}
        ours.update(tracked.parent for tracked in living)
        self._queue.refresh([tracked.ref.native for tracked in living], ours)
        self._book.stranger = False

    def _decide(self, concerned: Mapping[str, Part]) -> None:
        now = self._queue.commands.world.clock()
        judge = Judge(self._queue, self._accounting, self._records, self._lag, now)
        for part in concerned.values():
            judge.judge(part)
        self._ask_accounting(judge, concerned)
        for name, part in concerned.items():
            if part.unsettled:
                self._unsettled[name] = part
            else:
                self._unsettled.pop(name, None)
            if part.final:
                self._parts.pop(name, None)

    def _ask_accounting(self, judge: Judge, concerned: Mapping[str, Part]) -> None:
        if not self._accounting.due:
            return
        wanted = [part for part in concerned.values() if judge.wants_accounting(part)]
        if not wanted:
            return
        try:
            self._accounting.ask(list(dict.fromkeys(part.native for part in wanted)))
        except LauncherError as error:
            # The queue and the records have answered; what only the accounting knows can wait.
            log.debug("the accounting did not answer, asking again: %s", error)
            return
        for part in wanted:
            judge.judge(part)
