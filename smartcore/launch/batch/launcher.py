"""The launcher for every workload manager that is spoken to by commands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from smartcore.error import LauncherError
from smartcore.launch.batch.book import Book
from smartcore.launch.batch.ceiling import Ceiling, limited
from smartcore.launch.batch.commands import Commands, World
from smartcore.launch.batch.evidence import combine
from smartcore.launch.batch.following import Following
from smartcore.launch.batch.holding import check_job
from smartcore.launch.batch.ids import Ref, whole_id
from smartcore.launch.batch.lag import RecordLag
from smartcore.launch.batch.prepare import (
    RECORDS,
    SCRIPTS,
    as_job,
    prepare,
    split,
    write_durably,
)
from smartcore.launch.batch.queries import Accounting, Queue, cancel
from smartcore.launch.batch.record import Records
from smartcore.launch.batch.submit import Held, Submitter
from smartcore.launch.batch.tracking import Part, adopt, part_of
from smartcore.log import get_logger
from smartcore.spec import (
    ABSENT,
    Absent,
    Answer,
    BatchService,
    Cause,
    Job,
    JobId,
    Launcher,
    Source,
    Started,
    State,
    Status,
    Tag,
    Work,
)
from smartcore.spec.scheduler import CommandLineScheduler, NativeId, Refused

log = get_logger(__name__)

# How long stopped jobs have to leave the queue before they are called survivors.
STOP_PATIENCE = 40.0
FIRST_LOOK = 0.5


@dataclass(frozen=True, slots=True)
class Place:
    """Where a batch launcher keeps things.

    :param experiment: the experiment's directory, on a file system that the jobs see
    :param runtime: directory of this user on this host, shared by all experiments
    """

    experiment: Path
    runtime: Path


@dataclass
class BatchLauncher(Launcher):
    """Submits, follows and stops jobs through a plugin's :class:`CommandLineScheduler`.

    :param scheduler: the plugin's part
    :param place: directories
    :param ceiling: limits of a site or a user, which win where they are stricter
    :param world: what commands, clock and waiting are; tests give others
    :param write: writes a file durably
    :param records: where exit records are; None makes it the place's
    :param start_patience: seconds that one start may wait for turns and second attempts; what is
        left goes on during ``status``
    """

    scheduler: CommandLineScheduler
    place: Place
    ceiling: Ceiling = field(default_factory=Ceiling)
    world: World = field(default_factory=World)
    write: Callable[[Path, str], None] = write_durably
    records: Records | None = None
    start_patience: float = 10.0

    def __post_init__(self) -> None:
        rates = limited(self.scheduler.rates, self.ceiling)
        self.commands = Commands(self.scheduler, rates, self.place.runtime, self.world)
        self._records = self.records or Records(self.place.experiment / RECORDS)
        self._queue = Queue(self.commands)
        self._submitter = Submitter(self.commands, self._records)
        self._book = Book(
            self.scheduler,
            self.place.experiment / SCRIPTS,
            self.write,
            self._submitter.held,
            self.world.clock,
        )
        self._following = Following(
            self._queue,
            Accounting(self.commands),
            self._records,
            RecordLag(rates.record_lag.total_seconds()),
            self._book,
        )
        self._failed: dict[Tag, Status] = {}
        self._sought: dict[Tag, Ref] = {}

    # -- start ----------------------------------------------------------------------------------

    def start(self, work: Sequence[Work], /) -> Sequence[Started]:
        (self.place.experiment / RECORDS).mkdir(mode=0o700, parents=True, exist_ok=True)
        end = self.world.clock() + self.start_patience
        started = [self._start(item, end) for item in work]
        self._queue.hurry()
        if self._submitter.held:
            held = next(iter(self._submitter.held.values()))
            log.warning(
                "%d jobs are not submitted yet, and will be; %s: %s",
                len(self._submitter.held),
                held.submission.name,
                held.reason,
            )
        return started

    def _start(self, work: Work, end: float) -> Started:
        job = as_job(work)
        try:
            check_job(job)
        except LauncherError as error:
            return Started(error=f"{work.name} was not submitted: {error}")
        jobs, size = split(job, self.commands.rates.array_limit)
        refs: list[Ref] = []
        refusal = ""
        for one in jobs:
            found = refusal or self._start_one(one, end)
            if isinstance(found, Ref):
                refs.append(found)
                continue
            refusal = found
            if not refs:
                return Started(error=refusal)
            # The others have been submitted: what is missing has failed.
            self._failed[one.tag] = _refused(refusal)
            refs.append(Ref(NativeId(""), one.tag, len(one.steps), len(one.steps) > 1))
        return _started(job, refs, size, refusal)

    def _start_one(self, job: Job, end: float) -> Ref | str:
        try:
            ref, submission = prepare(job, self.scheduler, self.place.experiment, self.write)
        except (OSError, LauncherError) as error:
            return f"{job.name} was not submitted: {error}"
        held = Held(ref, submission)
        answer = self._submitter.first(held, end)
        if isinstance(answer, Refused):
            return answer.reason or f"{job.name} was refused without a reason"
        return ref if answer is None else self._accept(held, answer)

    def find(self, work: Sequence[Work], /) -> Sequence[Started]:
        """Ids of what may have been submitted; ``status`` looks it up by its tag."""
        return [self._find(as_job(item)) for item in work]

    def _find(self, job: Job) -> Started:
        jobs, size = split(job, self.commands.rates.array_limit)
        refs = [
            Ref(NativeId(""), one.tag, len(one.steps), one.array and len(one.steps) > 1)
            for one in jobs
        ]
        self._sought |= {ref.tag: ref for ref in refs}
        return _started(job, refs, size)

    def _seek(self) -> None:
        for tag, ref in list(self._sought.items()):
            try:
                native = self._submitter.find(ref)
            except LauncherError as error:
                log.warning("%s could not be looked up, trying again: %s", tag, error)
                return
            if native is not None:
                del self._sought[tag]
                self._book.track(replace(ref, native=native))
                self._book.note(tag, native)

    def _accept(self, held: Held, native: NativeId) -> Ref:
        ref = replace(held.ref, native=native, index=None)
        tracked = self._book.track(ref)
        if held.again:
            tracked.doubtful = True
            self._submitter.duplicates.suspect(ref)
        return ref

    def _look_for_duplicates(self) -> None:
        adopted, cleared = self._submitter.duplicates.look()
        for ref, native in adopted:
            adopt(self._book.tracked[ref.tag], native, self.world.clock(), self.scheduler)
            self._queue.hurry()
            self._book.note(ref.tag, native)
        for ref in cleared:
            self._book.tracked[ref.tag].doubtful = False

    def _submit_held(self) -> None:
        for held in self._submitter.due():
            answer = self._submitter.attempt(held)
            if answer is None:
                continue
            del self._submitter.held[held.ref.tag]
            if isinstance(answer, Refused):
                self._failed[held.ref.tag] = _refused(answer.reason)
                continue
            self._accept(held, answer)
            self._queue.hurry()
            self._book.note(held.ref.tag, answer)

    # -- status ---------------------------------------------------------------------------------

    def status(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        self._book.look()
        if self._queue.due:
            self._seek()
        self._submit_held()
        self._look_for_duplicates()
        self._following.update(ids)
        return {job: self._answer(job) for job in ids}

    def native_ids(self, ids: Collection[JobId], /) -> Mapping[JobId, str]:
        """The scheduler's own ids, as far as they are known; nobody is asked."""
        found = {job: self._book.natives(job) for job in ids}
        return {job: " ".join(natives) for job, natives in found.items() if natives}

    def attach(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        """The same as ``status``: an id is all that is needed."""
        return self.status(ids)

    def _answer(self, job: JobId) -> Answer:
        parts = self._following.whole(job)
        if parts is None:
            answers = [answer for ref in self._book.refs(job) for answer in self._answers(ref)]
        elif len(parts) == 1:  # almost all are
            return parts[0].status or ABSENT
        else:
            answers = [part.status or ABSENT for part in parts]
        if len(answers) == 1:
            return answers[0]
        known = [answer for answer in answers if not isinstance(answer, Absent)]
        # A part that nobody knows any more keeps the whole from having ended.
        return combine(known) if known and len(known) == len(answers) else ABSENT

    def _answers(self, ref: Ref) -> list[Answer]:
        held = self._submitter.held.get(ref.tag)
        if held is not None:
            return [Status(State.QUEUED, reason=f"not submitted yet: {held.reason}")]
        parts = self._book.part(ref)
        return [part.status or ABSENT for part in parts] or [self._failed.get(ref.tag, ABSENT)]

    # -- stop -----------------------------------------------------------------------------------

    def stop(self, ids: Collection[JobId], /) -> None:
        self._drop_held(ids)
        targets = self._targets([part for job in ids for part in self._following.follow(job)])
        if not targets:
            return
        complaints = cancel(self.commands, list(targets))
        end = self.world.clock() + STOP_PATIENCE
        delay = FIRST_LOOK
        while True:
            self.world.sleep(delay)
            alive = self._alive(targets)
            if not alive:
                return
            if self.world.clock() >= end:
                words = f": {complaints[-1]}" if complaints else ""
                names = ", ".join(sorted(alive))
                raise LauncherError(f"jobs that were cancelled live on: {names}{words}")
            delay = min(2 * delay, 10.0)
            if delay > 2:  # some schedulers refuse while a job is being started
                complaints += cancel(self.commands, list(alive))

    def _targets(self, named: Sequence[Part]) -> dict[NativeId, list[Part]]:
        targets: dict[NativeId, list[Part]] = {}
        jobs: dict[Tag, dict[int, Part]] = {}
        for part in named:
            jobs.setdefault(part.job.ref.tag, {})[part.index] = part
        for tag, parts in jobs.items():
            ref = self._book.tracked[tag].ref
            living = [part for part in parts.values() if not part.final]
            if len(parts) == ref.count or (not ref.array and self._others_ended(tag, parts)):
                targets |= {ref.native: living} if living else {}
            elif ref.array:
                targets |= {part.native: [part] for part in living}
            else:
                raise LauncherError(
                    f"a step of {tag} cannot be stopped alone: its {ref.count} steps are the one"
                    f" job {ref.native}; stop all of them"
                )
            for part in living:
                self._records.mark_stopped(tag, part.index)
        return targets

    def _others_ended(self, tag: Tag, parts: Mapping[int, Part]) -> bool:
        tracked = self._book.tracked[tag]
        indices = [index for index in range(tracked.ref.count) if index not in parts]
        others = [part_of(tracked, index, self.scheduler) for index in indices]
        # What ended long ago is not asked about again: its exit record is enough.
        self._records.look()
        return all(part.final or self._records.read(tag, part.index) is not None for part in others)

    def _alive(self, targets: Mapping[NativeId, Sequence[Part]]) -> set[NativeId]:
        try:
            self._following.refresh()
        except LauncherError as error:
            log.warning("asking whether jobs have ended: %s", error)
            return set(targets)
        alive = set()
        for native, parts in targets.items():
            keys = {self.scheduler.key(native), *(part.key for part in parts)}
            words = [self._queue.words.get(key) for key in keys]
            if any(word is not None and not word.terminal for word in words):
                alive.add(native)
        return alive

    def _drop_held(self, ids: Collection[JobId]) -> None:
        for ref in [ref for job in ids for ref in self._book.refs(job)]:
            held = self._submitter.held.get(ref.tag)
            if held is None:
                continue
            native = self._submitter.find(held.ref) if held.doubt else None
            del self._submitter.held[ref.tag]
            if native is not None:
                self._accept(held, native)
            else:
                self._failed[ref.tag] = Status(State.CANCELLED, cause=Cause.STOPPED)

    def close(self) -> None:
        held = self._submitter.held
        if held:
            names = ", ".join(one.submission.name for one in list(held.values())[:5])
            log.warning("%d jobs were never submitted: %s", len(held), names)
            held.clear()


def _started(job: Job, refs: Sequence[Ref], size: int, refusal: str = "") -> Started:
    members = tuple(one.job_id for ref in refs for one in ref.members)
    if len(refs) > 1:
        return Started(whole_id(job.tag, len(job.steps), size, refs), refusal, members)
    return Started(refs[0].job_id, members=members if len(members) > 1 else ())


def _refused(reason: str) -> Status:
    return Status(State.FAILED, None, Cause.START_FAILURE, reason, Source.SCHEDULER)


def batch_service(place: Place, ceiling: Ceiling) -> BatchService:
    """The service that launchers are given in their context.

    :param ceiling: limits of a site or a user
    """

    def make(scheduler: CommandLineScheduler, /) -> Launcher:
        return BatchLauncher(scheduler, place, ceiling)

    return make
