"""What earlier drivers of an experiment launched: learnt of, not doubled, and taken up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from smartcore.database.besides import Besides
from smartcore.database.live import is_step_of
from smartcore.databases import Databases
from smartcore.launch.finding import is_elsewhere, settle_elsewhere
from smartcore.launch.journal import Journal
from smartcore.launch.run import MODEL, SHARD, Run
from smartcore.launch.story import Story, unheard
from smartcore.log import get_logger
from smartcore.machinery import Machinery
from smartcore.news import News
from smartcore.roster import Roster
from smartcore.spec import Cause, State, Status

log = get_logger(__name__)


class Adoption:
    """Knows how the runs of earlier drivers stand now, and follows them if it is told to.

    :param journal: gives the journal of this driver, opened when first needed; a driver that lives
        is an error
    """

    def __init__(
        self,
        machinery: Machinery,
        roster: Roster,
        databases: Databases,
        besides: Besides,
        news: News,
        journal: Callable[[], Journal],
    ) -> None:
        self._machinery, self._roster, self._databases = machinery, roster, databases
        self._besides, self._news, self._journal = besides, news, journal

    def recall(self, names: Iterable[str]) -> None:
        """Learn how what earlier drivers launched under these names stands now.

        :raises ConfigError: a journal of theirs cannot be read
        :raises InputError: one of them lives
        :raises LauncherError: it cannot be found out
        """
        if self._roster.earlier.adopted or not self._roster.earlier.story.runs:
            return
        book = self._journal()  # a living driver of them is told of first
        runs = self._roster.earlier.unsettled(names)
        if not runs:
            return
        without_id = [run for run in runs if run.job is None]
        self._machinery.inquire(runs, self._roster.earlier.story)
        book.started(without_id)
        for run in runs:
            if not run.active:
                self._news.heed(run)
                book.ended(run)

    def refuse(self, names: Sequence[str]) -> None:
        """Refuse what would double runs of an earlier driver that have not ended.

        :raises EntityExistsError: naming them, and the next step
        """
        self.recall(names)
        self._roster.earlier.refuse(names)

    def adopt(self, story: Story) -> None:
        """Take up what earlier drivers of this experiment launched.

        What runs is followed; what ended unseen is lost, unless a record tells how it ended.
        """
        self._roster.adopt(story)
        open_runs = self._roster.active()
        _ = self._journal()
        self._find([run for run in open_runs if run.job is None], story)
        for run in open_runs:
            run.limited = run.kind == MODEL
        self._give_up([run for run in open_runs if is_elsewhere(run, story.hosts)], story)
        began = {run: run.started for run in open_runs}
        self._machinery.engine.attach([run for run in open_runs if run.active])
        for run in open_runs:
            # It began before it was taken up, and what ended by then did so at no known time.
            known = run.active or run.status.elapsed is not None
            run.started = began[run] if known else None
        for identifier, checkpoint in story.databases.items():
            shards = [run for run in self._roster.active() if run.kind == SHARD]
            if any(is_step_of(identifier, run.name) for run in shards):
                self._databases.adopt(identifier, checkpoint)
        self._besides.adopt()

    def _give_up(self, runs: Sequence[Run], story: Story) -> None:
        # Processes of other hosts cannot be followed from here.
        settle_elsewhere(runs, self._machinery.engine.launcher)
        for run in runs:
            if run.active:
                host = story.hosts[run.step.tag]
                reason = f"it was started on {host}, where it may still run, and cannot be followed"
                log.warning("%s is lost: %s", run.name, reason)
                run.status = Status(State.LOST, None, Cause.UNSEEN, reason)
            self._journal().ended(run)

    def _find(self, runs: Sequence[Run], story: Story) -> None:
        # Their driver was killed while it launched them.
        if not runs:
            return
        for run in self._machinery.find_unheard(runs, story.handed):
            run.status = unheard(run, story.handed)
            self._journal().ended(run)
        self._journal().started(runs)
