"""The launcher for Slurm: steps in allocations by srun, jobs of their own by sbatch."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from smartcore.error import LauncherError
from smartcore.spec import (
    Answer,
    Attaches,
    Closes,
    EventSink,
    Finds,
    Job,
    JobId,
    Launcher,
    LauncherContext,
    NativeIds,
    Node,
    Source,
    Started,
    Status,
    Step,
    Work,
)

from .commands import ask
from .ends import explain_code, last_words
from .grants import Grants
from .notes import Note, Notes
from .sruns import Sruns
from .steps import cluster_here, living_jobs

logger = logging.getLogger("smartcore")

# Those that start daemons of their own on the nodes.
MPI_COMMANDS = frozenset({"mpirun", "mpiexec", "orterun"})
# What can do without an answer waits no longer for one.
LOOK = timedelta(seconds=5)


class SlurmLauncher(Launcher):
    """Runs steps inside an allocation, see :class:`Sruns`, and submits everything else as batch
    jobs. Ids of batch jobs have a ``#``; the core asks about those.
    """

    def __init__(self, context: LauncherContext, /) -> None:
        self._context = context
        self._notes = Notes(context.path)
        self._grants = Grants(context.environment)
        self._sruns = Sruns(context, self._notes, self._grants)
        self._batch: Launcher | None = None
        self._cluster = ""

    # -- start ----------------------------------------------------------------------------------

    def start(self, work: Sequence[Work], /) -> Sequence[Started]:
        steps = [_overlapping(item) for item in work if isinstance(item, Step)]
        jobs = [
            replace(item, steps=tuple(map(_overlapping, item.steps)))
            for item in work
            if not isinstance(item, Step)
        ]
        started = iter(self._sruns.start(steps))
        submitted = iter(self._submit(jobs) if jobs else ())
        return [next(started if isinstance(item, Step) else submitted) for item in work]

    def _submit(self, jobs: Sequence[Job]) -> Sequence[Started]:
        answers = self._scheduler.start(jobs)
        notes = []
        for job, answer in zip(jobs, answers, strict=True):
            ids = answer.members or ((answer.id,) if answer.id and len(job.steps) == 1 else ())
            notes += [
                Note(one, "", "", str(step.stderr))
                for one, step in zip(ids, job.steps, strict=bool(ids))
                if Path(step.command.argv[0]).name == "srun"
            ]
        self._notes.add(notes)
        return answers

    # -- status ---------------------------------------------------------------------------------

    def status(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        steps, jobs = _sorted(ids)
        answers = self._sruns.status(steps)
        if jobs:
            answers |= self._decoded(self._scheduler.status(jobs))
        return {job: answers[job] for job in ids}

    def attach(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        steps, jobs = _sorted(ids)
        answers = self._sruns.attach(steps)
        if jobs:
            scheduler = self._scheduler
            attach = scheduler.attach if isinstance(scheduler, Attaches) else scheduler.status
            answers |= self._decoded(attach(jobs))
        return {job: answers[job] for job in ids}

    def find(self, work: Sequence[Work], /) -> Sequence[Started]:
        # The core finds steps by itself: they are processes of its service.
        jobs = [item for item in work if not isinstance(item, Step)]
        scheduler = self._scheduler if jobs else None
        found = iter(scheduler.find(jobs) if isinstance(scheduler, Finds) else ())
        return [Started() if isinstance(item, Step) else next(found, Started()) for item in work]

    def watch(self, sink: EventSink, /) -> None:
        self._sruns.watch(sink)

    def watches(self, job: JobId, /) -> bool:
        return not _is_batch(job)

    def _decoded(self, answers: Mapping[JobId, Answer]) -> Mapping[JobId, Answer]:
        # The exit record of a job has the code of the srun in it.
        failed = {
            job: answer
            for job, answer in answers.items()
            if isinstance(answer, Status) and answer.source is Source.RECORD and answer.returncode
        }
        notes = self._notes.find(failed)
        return {
            **answers,
            **{
                job: explain_code(failed[job], last_words(Path(note.stderr)))
                for job, note in notes.items()
            },
        }

    def native_ids(self, ids: Collection[JobId], /) -> Mapping[JobId, str]:
        steps, jobs = _sorted(ids)
        found = self._sruns.native_ids(steps)
        scheduler = self._scheduler if jobs else None
        if isinstance(scheduler, NativeIds):
            found |= scheduler.native_ids(jobs)
        return found

    def outlasted(self, ids: Collection[JobId], /) -> Mapping[JobId, str]:
        notes = {job: note for job, note in self._notes.find(ids).items() if note.allocation}
        if not notes:
            return {}
        # Experiments may be on a file system of several clusters, which count their jobs alike.
        self._cluster = self._cluster or cluster_here()
        living = living_jobs()
        return {
            job: f"its allocation {note.allocation} has ended"
            for job, note in notes.items()
            if note.cluster in {"", self._cluster} and note.allocation not in living
        }

    # -- stop -----------------------------------------------------------------------------------

    def stop(self, ids: Collection[JobId], /) -> None:
        steps, jobs = _sorted(ids)
        errors = [
            error
            for error in (self._sruns.stop(steps), self._stop_jobs(jobs) if jobs else "")
            if error
        ]
        if errors:
            raise LauncherError("; ".join(errors))

    def _stop_jobs(self, jobs: Collection[JobId]) -> str:
        try:
            self._scheduler.stop(jobs)
        except LauncherError as error:
            return str(error)
        return ""

    # -- the rest -------------------------------------------------------------------------------

    def nodes(self, allocation: str, /) -> Sequence[Node]:
        return self._grants.nodes(allocation)

    def close(self) -> None:
        self._context.processes.close()
        if isinstance(self._batch, Closes):
            self._batch.close()

    @property
    def _scheduler(self) -> Launcher:
        if self._batch is None:
            from .scheduler import SlurmScheduler

            configured = SlurmScheduler.configured(self._context.environment, _largest_array())
            self._batch = self._context.batch(configured)
        return self._batch


def _largest_array() -> int:
    from .scheduler import array_limit

    try:
        return array_limit(ask("scontrol", "show", "config", timeout=LOOK).stdout)
    except LauncherError as error:
        logger.debug("how large an array may be: %s", error)
        return 0


def _sorted(ids: Collection[JobId]) -> tuple[list[JobId], list[JobId]]:
    """Steps, and batch jobs."""
    return [job for job in ids if not _is_batch(job)], [job for job in ids if _is_batch(job)]


def _is_batch(job: JobId) -> bool:
    # The core's process service calls one that it has lost "unknown-<tag>".
    return "#" in job and not job.startswith("unknown-")


def _overlapping(step: Step) -> Step:
    """The same step, whose run command can start daemons on nodes where others have done so."""
    # They start them by an srun of their own, which would wait for the cores of the others.
    if Path(step.command.argv[0]).name not in MPI_COMMANDS:
        return step
    env = {"SLURM_OVERLAP": "1", **step.command.env}
    return replace(step, command=replace(step.command, env=env))
