"""Two living jobs of one launch: found by its tag, one goes on, the others are cancelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from smartcore.error import LauncherError
from smartcore.launch.batch.commands import Commands
from smartcore.launch.batch.ids import Ref
from smartcore.launch.batch.queries import cancel
from smartcore.launch.batch.record import Records
from smartcore.log import get_logger
from smartcore.spec.scheduler import CommandLineScheduler, NativeId

log = get_logger(__name__)

# When a launch that was submitted again is looked up, in seconds after that. The first submit,
# which seemed to have left nothing, may appear in the queue as late as that.
LOOKS = (5.0, 30.0, 120.0)


@dataclass(slots=True)
class Suspect:
    """A launch that may have become two jobs.

    :param ref: with the id of the job that is followed
    :param since: when it was submitted again
    :param looks: how often it was looked up
    """

    ref: Ref
    since: float
    looks: int = 0


@dataclass
class Duplicates:
    """Watches for launches that have become two jobs.

    :param find: looks a tag up
    """

    commands: Commands
    records: Records
    find: Callable[[Ref], Sequence[NativeId]]
    _suspects: list[Suspect] = field(default_factory=list)

    def suspect(self, ref: Ref) -> None:
        """Look this launch up several times from now on."""
        self._suspects.append(Suspect(ref, self.commands.world.clock()))

    def look(self) -> tuple[list[tuple[Ref, NativeId]], list[Ref]]:
        """Look up what is due: the launches of which another job goes on than was followed, and
        those that are no longer suspected.
        """
        now = self.commands.world.clock()
        due = [one for one in self._suspects if now >= one.since + LOOKS[one.looks]]
        adopted, cleared = [], []
        for suspect in due:
            try:
                found = self.find(suspect.ref)
            except LauncherError as error:  # nothing was learnt: that was no look
                log.debug("looking for a second job of %s: %s", suspect.ref.tag, error)
                continue
            native = self.resolve(suspect.ref, found)
            if native != suspect.ref.native:
                adopted.append((suspect.ref, native))
            suspect.looks += 1
            if len(found) > 1 or native != suspect.ref.native or suspect.looks == len(LOOKS):
                self._suspects.remove(suspect)
                cleared.append(suspect.ref)
        return adopted, cleared

    def resolve(self, ref: Ref, found: Sequence[NativeId]) -> NativeId:
        """The job that goes on; the others of ``found`` are cancelled, and the user is told."""
        scheduler = self.commands.scheduler
        known = [ref.native] if ref.native else []
        jobs = {scheduler.key(native): native for native in [*known, *found]}
        if len(jobs) == 1:
            return ref.native or found[0]
        goes_on = chosen(ref, list(jobs.values()), self._began(ref), scheduler)
        others = [native for native in jobs.values() if native != goes_on]
        log.warning(
            "%s was submitted twice, because it was not told that the first time had worked: job %s"
            " goes on, cancelling %s",
            ref.tag,
            goes_on,
            ", ".join(others),
        )
        for complaint in cancel(self.commands, others):
            log.warning("cancelling a second job of %s: %s", ref.tag, complaint)
        return goes_on

    def _began(self, ref: Ref) -> NativeId:
        return NativeId(self.records.job_that_began(ref.tag, ref.count))


def chosen(
    ref: Ref, jobs: Sequence[NativeId], began: NativeId, scheduler: CommandLineScheduler
) -> NativeId:
    """Of several jobs of one launch the one that has begun, because no other can begin any more; if
    none has, the first.

    :param began: the id of a step or member that has begun, as it knew it
    """
    wanted = scheduler.key(began)
    for native in jobs:
        keys = {scheduler.key(native)}
        if ref.array:
            base = scheduler.index_base
            keys |= {scheduler.key(scheduler.member(native, base + n)) for n in range(ref.count)}
        if wanted in keys:
            return native
    return jobs[0]
