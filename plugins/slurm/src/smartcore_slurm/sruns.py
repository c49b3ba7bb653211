"""Steps in allocations, each an srun of its own that the core's process service keeps."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from smartcore.error import LauncherError
from smartcore.spec import (
    Answer,
    Cause,
    EventSink,
    JobId,
    LauncherContext,
    Started,
    State,
    Status,
    Step,
)

from .ends import explain, last_words
from .fitting import missing_directory, read_line
from .grants import NOWHERE, Grants
from .notes import Note, Notes
from .steps import end_steps, ended_steps, find_steps, signal_steps, step_name

logger = logging.getLogger("smartcore")


@dataclass(frozen=True, slots=True)
class _Plan:
    """A step as it is started.

    :param name: of the step in Slurm; empty if it is none of srun's
    :param error: why it is not started
    """

    step: Step
    name: str = ""
    allocation: str = ""
    error: str = ""


class Sruns:
    """The steps of one experiment.

    The id of a step is that of its srun, whose end is told by itself and whose exit code is the
    first evidence; what srun said last tells why.

    :param notes: what another process must know of them
    :param grants: what is known of the allocations that they run in
    """

    def __init__(self, context: LauncherContext, notes: Notes, grants: Grants) -> None:
        self._processes = context.processes
        self._environment = context.environment
        self._notes = notes
        self._grants = grants
        self._sink: EventSink | None = None
        # What the events of srun's ends have told, for a stop that waits for them.
        self._heard = threading.Condition()
        self._ended: dict[JobId, Status] = {}
        self._stopping: set[JobId] = set()
        # Ends that came before their steps were noted, while so many starts go on.
        self._starting = 0
        self._early: list[tuple[JobId, Status]] = []
        self._processes.watch(self._hear)

    def watch(self, sink: EventSink, /) -> None:
        """Tell ends to ``sink``."""
        self._sink = sink

    # -- start ----------------------------------------------------------------------------------

    def start(self, steps: Sequence[Step]) -> list[Started]:
        """Start these; those that are none of srun's, too."""
        plans = [self._plan(step) for step in steps]
        with self._noting():
            return self._start_noted(plans)

    def _start_noted(self, plans: Sequence[_Plan]) -> list[Started]:
        good = [plan for plan in plans if not plan.error]
        answers = self._processes.start([plan.step for plan in good]) if good else ()
        found = iter(answers)
        results = [Started(error=plan.error) if plan.error else next(found) for plan in plans]
        cluster = self._environment.get("SLURM_CLUSTER_NAME", "")
        notes = [
            Note(result.id, plan.name, plan.allocation, str(plan.step.stderr), cluster=cluster)
            for plan, result in zip(plans, results, strict=True)
            if result.id is not None and plan.name
        ]
        self._notes.add(notes)
        return results

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Hold back the ends of steps that are not noted yet: a note tells where to read why."""
        with self._heard:
            self._starting += 1
        try:
            yield
        finally:
            with self._heard:
                self._starting -= 1
                early, self._early = self._early, []
            for job, status in early:
                self._hear(job, status)

    def _plan(self, step: Step) -> _Plan:
        if Path(step.command.argv[0]).name != "srun":
            return _Plan(step)
        line = read_line(step.command.argv)
        name = step_name(step.tag)
        error = missing_directory(line, step.cwd)
        number = line.allocation or self._environment.get("SLURM_JOB_ID", "")
        error = error or (self._grants.obstacle(step, line, number) if number else NOWHERE)
        if error:
            return _Plan(step, error=error)
        program, *rest = step.command.argv
        # By this name the step is found when nobody has its srun any more.
        argv = (program, f"--job-name={name}", *rest)
        command = replace(step.command, argv=argv)
        return _Plan(replace(step, command=command), name, number)

    # -- status ---------------------------------------------------------------------------------

    def status(self, ids: Sequence[JobId]) -> dict[JobId, Answer]:
        """How these stand, and why they ended."""
        return self._explained(self._processes.status(ids))

    def attach(self, ids: Sequence[JobId]) -> dict[JobId, Answer]:
        """The same, and their ends are told from now on."""
        self._notes.find(ids)
        return self._explained(self._processes.attach(ids))

    def _explained(self, answers: Mapping[JobId, Answer]) -> dict[JobId, Answer]:
        ended = [job for job, answer in answers.items() if _has_ended(answer)]
        notes = self._notes.find(job for job in ended if job not in self._ended)
        return {
            job: self._explain(job, answer, notes.get(job))
            if isinstance(answer, Status) and answer.is_terminal
            else answer
            for job, answer in answers.items()
        }

    def _explain(self, job: JobId, status: Status, note: Note | None) -> Status:
        known = self._ended.get(job)
        if known is not None:
            return known
        if job in self._stopping or (note is not None and note.stopped):
            # It was living when it was asked to end: whatever was said after that is our doing.
            status = replace(status, state=State.CANCELLED, cause=Cause.STOPPED, reason="")
        elif note is not None:
            status = explain(status, last_words(Path(note.stderr)))
        self._ended[job] = status
        return status

    def _hear(self, job: JobId, status: Status) -> None:
        note = None
        if status.is_terminal:
            with self._heard:
                note = self._notes.known(job)
                if note is None and self._starting:
                    self._early.append((job, status))
                    return
                status = self._explain(job, status, note)
                self._heard.notify_all()
            if note is not None and _was_killed(status):
                # Its step may live on; asking takes too long for this thread.
                clear = threading.Thread(target=self._clear, args=(job, note, status), daemon=True)
                clear.start()
                return
        self._tell(job, status)

    def _clear(self, job: JobId, note: Note, status: Status) -> None:
        try:
            left = end_steps([note.name])
        except LauncherError as error:
            logger.warning(
                "the srun of step %s was killed, and it may live on: %s", note.name, error
            )
        else:
            if left:
                logger.warning("the srun of step %s was killed, and it lives on", note.name)
        self._tell(job, status)

    def _tell(self, job: JobId, status: Status) -> None:
        if self._sink is not None:
            self._sink(job, status)

    def native_ids(self, ids: Sequence[JobId]) -> dict[JobId, str]:
        """``job.step`` of each: one question for all that run, and one to the accounting, where
        there is one, for all others.
        """
        notes = self._notes.find(ids)
        if not notes:
            return {}
        running = find_steps([note.name for note in notes.values()])
        known = {name: ids[0] for name, ids in running.items()}
        missing = {note.allocation for note in notes.values() if note.name not in known}
        if missing:
            known |= ended_steps(missing)
        return {job: known[note.name] for job, note in notes.items() if note.name in known}

    # -- stop -----------------------------------------------------------------------------------

    def stop(self, ids: Sequence[JobId]) -> str:
        """End these, and return when they have ended; what is wrong, if something is."""
        # Followed, so that their ends are heard; and none that has ended is marked as stopped.
        living = [job for job, answer in self.attach(ids).items() if not _has_ended(answer)]
        self._stopping.update(living)
        notes = self._notes.find(ids)
        self._notes.add([replace(notes[job], stopped=True) for job in living if job in notes])
        placed = [job for job in living if job in notes]
        error = self._ask_politely([notes[job].name for job in placed], placed)
        try:
            # TERM makes an srun kill its step; what ignores that is killed itself.
            if living:
                self._processes.stop(living)
        except LauncherError as survivors:
            error = str(survivors)
        # Also those whose srun ended without them.
        names = [note.name for note in notes.values()]
        return _end(names) or error if names else error

    def _ask_politely(self, names: Collection[str], ids: Collection[JobId]) -> str:
        if not names:
            return ""
        try:
            # srun itself would kill its step at once, and so would a scancel without a signal.
            found = find_steps(names)
            if found:
                signal_steps((step for steps in found.values() for step in steps), "TERM")
        except LauncherError as error:
            return str(error)
        if found:
            asked = {job for job in ids if self._notes.find([job])[job].name in found}
            self._wait(asked, self._processes.grace)
        return ""

    def _wait(self, ids: Collection[JobId], patience: timedelta) -> None:
        deadline = time.monotonic() + patience.total_seconds()
        with self._heard:
            while not self._ended.keys() >= set(ids):
                left = deadline - time.monotonic()
                if left <= 0 or not self._heard.wait(left):
                    return


def _end(names: Collection[str]) -> str:
    try:
        left = end_steps(names)
    except LauncherError as error:
        return f"whether all steps have ended is not known: {error}"
    ids = [step for steps in left.values() for step in steps]
    return f"steps that were cancelled live on: {', '.join(ids)}" if ids else ""


def _has_ended(answer: Answer) -> bool:
    return not isinstance(answer, Status) or answer.is_terminal


def _was_killed(status: Status) -> bool:
    return status.state is not State.CANCELLED and (
        status.returncode is None or status.returncode == -9
    )
