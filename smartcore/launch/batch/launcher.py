"""The launcher for every workload manager that is spoken to by commands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from smartcore.error import LauncherError
from smartcore.launch.batch.ceiling import Ceiling, limited
from smartcore.launch.batch.commands import Commands, World
from smartcore.launch.batch.evidence import combine
from smartcore.launch.batch.ids import Ref, parse_id
from smartcore.launch.batch.prepare import RECORDS, SCRIPTS, prepare, write_durably
from smartcore.launch.batch.queries import Accounting, Queue, cancel
from smartcore.launch.batch.record import Records, record_name
from smartcore.launch.batch.submit import Held, Submitter
from smartcore.launch.batch.tracking import Judge, Part, Tracked, part_of
from smartcore.log import get_logger
from smartcore.spec import (
    ABSENT,
    Absent,
    Answer,
    BatchService,
    Cause,
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


@dataclass(frozen=True, slots=True)
class Followed:
    """What an id that somebody asks about stands for."""

    tracked: Tracked
    parts: tuple[Part, ...]


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
        self._accounting = Accounting(self.commands)
        self._submitter = Submitter(self.commands, self._records)
        self._tracked: dict[Tag, Tracked] = {}
        self._ids: dict[JobId, Ref | None] = {}
        self._failed: dict[Tag, Status] = {}
        self._followed: dict[JobId, Followed] = {}
        self._judged: float | None = None
        self._stranger = False  # a job of another process, about which nothing was asked yet
        self._parts: dict[str, tuple[Followed, Part]] = {}
        self._unsettled: dict[str, tuple[Followed, Part]] = {}

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
        rates, experiment = self.commands.rates, self.place.experiment
        try:
            ref, submission = prepare(work, self.scheduler, rates, experiment, self.write)
        except (OSError, LauncherError) as error:
            return Started(error=f"{work.name} was not submitted: {error}")
        held = Held(ref, submission)
        answer = self._submitter.first(held, end)
        if isinstance(answer, Refused):
            return Started(error=answer.reason)
        if answer is not None:
            ref = self._accept(ref, answer)
        members = tuple(ref.part(index).job_id for index in range(ref.count))
        return Started(ref.job_id, members=members if ref.count > 1 else ())

    def _accept(self, ref: Ref, native: NativeId) -> Ref:
        ref = replace(ref, native=native, index=None)
        self._track(ref, ours=True)
        return ref

    def _track(self, ref: Ref, *, ours: bool) -> Tracked:
        tracked = Tracked(ref, self.scheduler.key(ref.native), self.world.clock(), ours)
        self._tracked[ref.tag] = tracked
        self._stranger |= not ours
        return tracked

    def _submit_held(self) -> None:
        for held in self._submitter.due():
            answer = self._submitter.attempt(held)
            if answer is None:
                continue
            del self._submitter.held[held.ref.tag]
            if isinstance(answer, Refused):
                self._failed[held.ref.tag] = Status(
                    State.FAILED, None, Cause.START_FAILURE, answer.reason, Source.SCHEDULER
                )
                continue
            self._accept(held.ref, answer)
            self._queue.hurry()
            self._note_native(held.ref.tag, answer)

    # -- ids that were given before the scheduler's was known -----------------------------------

    def _note(self, tag: Tag) -> Path:
        return self.place.experiment / SCRIPTS / f"{record_name(tag, 0)}.id"

    def _note_native(self, tag: Tag, native: NativeId) -> None:
        try:
            self.write(self._note(tag), native)
        except OSError as error:
            log.warning("%s is job %s, which could not be noted: %s", tag, native, error)

    def _find(self, job: JobId) -> Tracked | None:
        if job not in self._ids:
            self._ids[job] = parse_id(job)
        ref = self._ids[job]
        if ref is None:
            return None
        tracked = self._tracked.get(ref.tag)
        if tracked is None and ref.tag not in self._submitter.held:
            native = ref.native or self._noted(ref.tag)
            if native:
                tracked = self._track(replace(ref, native=native, index=None), ours=False)
        return tracked

    def _noted(self, tag: Tag) -> NativeId:
        try:
            return NativeId(self._note(tag).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return NativeId("")

    # -- status ---------------------------------------------------------------------------------

    def status(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        self._submit_held()
        for job in [job for job in ids if job not in self._followed]:
            self._follow(job)
        if self._parts and (self._queue.due or self._stranger):
            if self._queue.failed and not self._queue.due:
                raise LauncherError(
                    f"{self.scheduler.name} has not answered yet about jobs that another process"
                    " submitted; ask again later"
                )
            self._refresh()
        # The queue first, then the files: a job that has left the queue has written its record.
        fresh = self._records.look()
        if self._queue.asked != self._judged:
            self._judged = self._queue.asked
            concerned = dict(self._parts)
        else:
            concerned = {name: self._parts[name] for name in fresh if name in self._parts}
            concerned |= self._unsettled
        self._decide(concerned)
        return {job: self._answer(job) for job in ids}

    def attach(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        """The same as ``status``: an id is all that is needed."""
        return self.status(ids)

    def _follow(self, job: JobId) -> Followed | None:
        tracked, ref = self._find(job), self._ids[job]
        if tracked is None or ref is None:
            return None
        parts = tuple(part_of(tracked, index, self.scheduler) for index in ref.indices)
        followed = self._followed[job] = Followed(tracked, parts)
        for part in parts:
            if not part.final:
                self._parts[part.name] = self._unsettled[part.name] = (followed, part)
        return followed

    def _refresh(self) -> None:
        # About all that have not ended, because an answer replaces the one before it.
        self._queue.refresh([t.ref.native for t in self._tracked.values() if not t.ended])
        self._stranger = False

    def _decide(self, concerned: Mapping[str, tuple[Followed, Part]]) -> None:
        judge = Judge(self._queue, self._accounting, self._records, self.world.clock())
        for followed, part in concerned.values():
            judge.judge(followed.tracked, part)
        self._ask_accounting(judge, concerned)
        for name, (followed, part) in concerned.items():
            if part.unsettled:
                self._unsettled[name] = (followed, part)
            else:
                self._unsettled.pop(name, None)
            if part.final:
                self._parts.pop(name, None)

    def _ask_accounting(self, judge: Judge, concerned: Mapping[str, tuple[Followed, Part]]) -> None:
        if not self._accounting.due:
            return
        wanted = [
            (followed.tracked, part)
            for followed, part in concerned.values()
            if judge.wants_accounting(followed.tracked, part)
        ]
        if not wanted:
            return
        try:
            self._accounting.ask(list(dict.fromkeys(part.native for _, part in wanted)))
        except LauncherError as error:
            # The queue and the records have answered; what only the accounting knows can wait.
            log.warning("the accounting did not answer, asking again: %s", error)
            return
        for tracked, part in wanted:
            judge.judge(tracked, part)

    def _answer(self, job: JobId) -> Answer:
        followed = self._followed.get(job)
        if followed is None:
            return self._unsubmitted(self._ids[job])
        if len(followed.parts) == 1:
            status = followed.parts[0].status
            return ABSENT if status is None else status
        answers = [part.status for part in followed.parts]
        known = [a for a in answers if a is not None and not isinstance(a, Absent)]
        # A part that nobody knows any more keeps the whole from having ended.
        return combine(known) if len(known) == len(answers) else ABSENT

    def _unsubmitted(self, ref: Ref | None) -> Answer:
        if ref is None:
            return ABSENT
        held = self._submitter.held.get(ref.tag)
        if held is not None:
            return Status(State.QUEUED, reason=f"not submitted yet: {held.reason}")
        return self._failed.get(ref.tag, ABSENT)

    # -- stop -----------------------------------------------------------------------------------

    def stop(self, ids: Collection[JobId], /) -> None:
        self._drop_held(ids)
        found = {job: self._followed.get(job) or self._follow(job) for job in ids}
        targets = self._targets(found)
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

    def _targets(self, found: Mapping[JobId, Followed | None]) -> dict[NativeId, list[Part]]:
        targets: dict[NativeId, list[Part]] = {}
        whole: dict[Tag, set[int]] = {}
        for followed in filter(None, found.values()):
            for part in followed.parts:
                whole.setdefault(followed.tracked.ref.tag, set()).add(part.index)
        for tag, indices in whole.items():
            tracked = self._tracked[tag]
            parts = [part_of(tracked, index, self.scheduler) for index in sorted(indices)]
            if len(indices) == tracked.ref.count:
                native = {tracked.ref.native: parts}
            elif tracked.ref.array:
                native = {part.native: [part] for part in parts}
            else:
                raise LauncherError(
                    f"a step of {tag} cannot be stopped alone: its {tracked.ref.count} steps are"
                    f" the one job {tracked.ref.native}; stop all of them"
                )
            for name, members in native.items():
                living = [part for part in members if not part.final]
                if living:
                    targets[name] = living
                for part in living:
                    self._records.mark_stopped(tag, part.index)
        return targets

    def _alive(self, targets: Mapping[NativeId, Sequence[Part]]) -> set[NativeId]:
        try:
            self._refresh()
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
        for job in ids:
            self._find(job)
            ref = self._ids[job]
            held = None if ref is None else self._submitter.held.get(ref.tag)
            if held is None:
                continue
            native = self._submitter.find(held) if held.doubt else None
            del self._submitter.held[held.ref.tag]
            if native is not None:
                self._accept(held.ref, native)
            else:
                self._failed[held.ref.tag] = Status(State.CANCELLED, cause=Cause.STOPPED)

    def close(self) -> None:
        held = self._submitter.held
        if held:
            names = ", ".join(one.submission.name for one in list(held.values())[:5])
            log.warning("%d jobs were never submitted: %s", len(held), names)
            held.clear()


def batch_service(place: Place, ceiling: Ceiling) -> BatchService:
    """The service that launchers are given in their context.

    :param ceiling: limits of a site or a user
    """

    def make(scheduler: CommandLineScheduler, /) -> Launcher:
        return BatchLauncher(scheduler, place, ceiling)

    return make
