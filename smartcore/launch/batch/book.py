"""What the launcher knows of jobs by their ids, also of those that another process submitted."""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from pathlib import Path

from smartcore.launch.batch.ids import Ref, parse_id
from smartcore.launch.batch.record import record_name
from smartcore.launch.batch.tracking import Part, Tracked, part_of
from smartcore.log import get_logger
from smartcore.spec import JobId, Tag
from smartcore.spec.scheduler import CommandLineScheduler, NativeId

log = get_logger(__name__)


class Book:
    """Jobs by tag, and what ids stand for.

    An id may have been given before the scheduler's own was known, or the job may have become
    another one: then a note beside its script tells which job it is.

    :param notes: directory of the notes
    :param write: writes a file durably
    :param held: tags of jobs that were not submitted yet
    :param clock: monotonic seconds
    """

    def __init__(
        self,
        scheduler: CommandLineScheduler,
        notes: Path,
        write: Callable[[Path, str], None],
        held: Container[Tag],
        clock: Callable[[], float],
    ) -> None:
        self.tracked: dict[Tag, Tracked] = {}
        self.stranger = False  # there is a job of another process, about which nothing was asked
        self._scheduler = scheduler
        self._directory = notes
        self._write = write
        self._held = held
        self._clock = clock
        self._ids: dict[JobId, tuple[Ref, ...]] = {}
        self._notes: set[str] | None = None

    def refs(self, job: JobId) -> tuple[Ref, ...]:
        """What an id says; nothing if it is none of ours."""
        if job not in self._ids:
            self._ids[job] = parse_id(job)
        return self._ids[job]

    def track(self, ref: Ref) -> Tracked:
        """Follow a job from now on."""
        tracked = Tracked(ref, self._scheduler.key(ref.native), self._clock())
        self.tracked[ref.tag] = tracked
        return tracked

    def parts(self, job: JobId) -> tuple[tuple[Part, ...], bool]:
        """The steps or members that an id stands for, and whether these are all of them: some may
        not be submitted yet.
        """
        refs = self.refs(job)
        found = [(ref, tracked) for ref in refs if (tracked := self._find(ref)) is not None]
        parts = tuple(
            part_of(tracked, index, self._scheduler)
            for ref, tracked in found
            for index in ref.indices
        )
        return parts, bool(refs) and len(found) == len(refs)

    def part(self, ref: Ref) -> list[Part]:
        """The same for one job that is followed already; nothing if it is not."""
        tracked = self.tracked.get(ref.tag)
        if tracked is None:
            return []
        return [part_of(tracked, index, self._scheduler) for index in ref.indices]

    def natives(self, job: JobId) -> list[NativeId]:
        """What the scheduler calls the jobs, or the member, that an id stands for."""
        found = []
        for ref in self.refs(job):
            tracked = self._find(ref)
            native = ref.native if tracked is None else tracked.ref.native
            if native and ref.array and ref.index is not None:
                native = self._scheduler.member(native, self._scheduler.index_base + ref.index)
            if native:
                found.append(native)
        return found

    def look(self) -> None:
        """Let notes that other processes have written meanwhile be seen."""
        self._notes = None

    def note(self, tag: Tag, native: NativeId) -> None:
        """Tell other processes which job this launch is."""
        try:
            self._write(self._note(tag), native)
        except OSError as error:
            log.warning("%s is job %s, which could not be noted: %s", tag, native, error)

    def _find(self, ref: Ref) -> Tracked | None:
        tracked = self.tracked.get(ref.tag)
        if tracked is None and ref.tag not in self._held:
            native = self._noted(ref.tag) or ref.native
            if native:
                tracked = self.track(Ref(native, ref.tag, ref.count, ref.array))
                self.stranger = True
        return tracked

    def _note(self, tag: Tag) -> Path:
        return self._directory / f"{record_name(tag, 0)}.id"

    def _noted(self, tag: Tag) -> NativeId:
        if self._notes is None:  # listed once, because there is a note for few jobs only
            try:
                names = os.listdir(self._directory)  # noqa: PTH208 -- names only, and quick
            except FileNotFoundError:
                names = []
            self._notes = {name for name in names if name.endswith(".id")}
        note = self._note(tag)
        if note.name not in self._notes:
            return NativeId("")
        return NativeId(note.read_text(encoding="utf-8"))
