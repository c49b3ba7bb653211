"""The launcher for Slurm: steps in allocations by srun, jobs of their own by sbatch."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from smartcore.error import LauncherError
from smartcore.spec import (
    Answer,
    Attaches,
    Cause,
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
    State,
    Status,
    Step,
    Work,
)

from .allocation import show
from .commands import ask, told
from .ends import explain, explain_code, last_words
from .fitting import (
    Line,
    misfit,
    missing_directory,
    parse_features,
    read_line,
    unknown_feature,
    wanted_feature,
)
from .nodes import Allocation, from_environment, names_of
from .notes import Note, Notes
from .steps import end_steps, ended_steps, find_steps, signal_steps, step_name

logger = logging.getLogger("smartcore")

NOWHERE = (
    "srun needs an allocation, and there is none here: start the driver inside salloc or sbatch,"
    " give the run settings alloc= (smartcore.wlm.slurm.get_allocation() makes one), or give the"
    " model batch settings"
)
# srun itself waits for nodes that boot.
USABLE = ("RUNNING", "CONFIGURING", "SUSPENDED")
# Those that start daemons of their own on the nodes.
MPI_COMMANDS = frozenset({"mpirun", "mpiexec", "orterun"})
# What can do without an answer waits no longer for one.
LOOK = timedelta(seconds=5)
# Facts of an allocation hold for so many seconds; most starts come in bursts.
FRESH = 2.0


class SlurmLauncher(Launcher):
    """Runs steps inside an allocation, each by an srun of its own that the core's process service
    keeps, and submits everything else as batch jobs.

    The id of a step is that of its srun, whose end is told by itself and whose exit code is the
    first evidence; what srun said last tells why. Ids of batch jobs have a ``#``; the core asks
    about those.
    """

    def __init__(self, context: LauncherContext, /) -> None:
        self._context = context
        self._processes = context.processes
        self._notes = Notes(context.path)
        self._allocations = _Allocations(context.environment)
        self._batch: Launcher | None = None
        self._sink: EventSink | None = None
        # What the events of srun's ends have told, for a stop that waits for them.
        self._heard = threading.Condition()
        self._ended: dict[JobId, Status] = {}
        self._stopping: set[JobId] = set()
        # Ends that came before their steps were noted, while so many starts go on.
        self._starting = 0
        self._early: list[tuple[JobId, Status]] = []
        self._processes.watch(self._hear)

    # -- start ----------------------------------------------------------------------------------

    def start(self, work: Sequence[Work], /) -> Sequence[Started]:
        steps = [_overlapping(item) for item in work if isinstance(item, Step)]
        jobs = [
            replace(item, steps=tuple(map(_overlapping, item.steps)))
            for item in work
            if not isinstance(item, Step)
        ]
        started = iter(self._start_steps(steps))
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
        self._note(notes)
        return answers

    def _start_steps(self, steps: Sequence[Step]) -> list[Started]:
        plans = [self._plan(step) for step in steps]
        with self._noting():
            return self._start_noted(plans)

    def _start_noted(self, plans: Sequence[_Plan]) -> list[Started]:
        good = [plan for plan in plans if not plan.error]
        answers = self._processes.start([plan.step for plan in good]) if good else ()
        found = iter(answers)
        results = [Started(error=plan.error) if plan.error else next(found) for plan in plans]
        notes = [
            Note(result.id, plan.name, plan.allocation, str(plan.step.stderr))
            for plan, result in zip(plans, results, strict=True)
            if result.id is not None and plan.name
        ]
        self._note(notes)
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
        number = line.allocation or self._context.environment.get("SLURM_JOB_ID", "")
        error = error or (self._allocations.obstacle(step, line, number) if number else NOWHERE)
        if error:
            return _Plan(step, error=error)
        program, *rest = step.command.argv
        # By this name the step is found when nobody has its srun any more.
        argv = (program, f"--job-name={name}", *rest)
        command = replace(step.command, argv=argv)
        return _Plan(replace(step, command=command), name, number)

    def _note(self, notes: Sequence[Note]) -> None:
        if not notes:
            return
        try:
            self._notes.add(notes)
        except OSError as error:
            logger.warning(
                "what is known of %d steps cannot be written down, so that another process can stop"
                " them only by their srun: %s",
                len(notes),
                error,
            )

    # -- status ---------------------------------------------------------------------------------

    def status(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        steps, jobs = _sorted(ids)
        answers = dict(self._explained(self._processes.status(steps)))
        if jobs:
            answers |= self._decoded(self._scheduler.status(jobs))
        return {job: answers[job] for job in ids}

    def attach(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        steps, jobs = _sorted(ids)
        self._notes.find(steps)
        answers = dict(self._explained(self._processes.attach(steps)))
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
        self._sink = sink

    def watches(self, job: JobId, /) -> bool:
        return not _is_batch(job)

    def _explained(self, answers: Mapping[JobId, Answer]) -> Mapping[JobId, Answer]:
        ended = [job for job, answer in answers.items() if _has_ended(answer)]
        notes = self._notes.find(job for job in ended if job not in self._ended)
        return {
            job: self._explain(job, answer, notes.get(job))
            if isinstance(answer, Status) and answer.is_terminal
            else answer
            for job, answer in answers.items()
        }

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

    def native_ids(self, ids: Collection[JobId], /) -> Mapping[JobId, str]:
        """``job.step`` of steps: one question for all that run, and one to the accounting, where
        there is one, for all others.
        """
        steps, jobs = _sorted(ids)
        notes = self._notes.find(steps)
        scheduler = self._scheduler if jobs else None
        found: dict[JobId, str] = {}
        if isinstance(scheduler, NativeIds):
            found |= scheduler.native_ids(jobs)
        if not notes:
            return found
        running = find_steps([note.name for note in notes.values()])
        known = {name: ids[0] for name, ids in running.items()}
        missing = {note.allocation for note in notes.values() if note.name not in known}
        if missing:
            known |= ended_steps(missing)
        return found | {job: known[note.name] for job, note in notes.items() if note.name in known}

    # -- stop -----------------------------------------------------------------------------------

    def stop(self, ids: Collection[JobId], /) -> None:
        steps, jobs = _sorted(ids)
        errors = [
            error
            for error in (self._stop_steps(steps), self._stop_jobs(jobs) if jobs else "")
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

    def _stop_steps(self, ids: Sequence[JobId]) -> str:
        # Followed, so that their ends are heard; and none that has ended is marked as stopped.
        living = [job for job, answer in self.attach(ids).items() if not _has_ended(answer)]
        self._stopping.update(living)
        notes = self._notes.find(ids)
        self._note([replace(notes[job], stopped=True) for job in living if job in notes])
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

    # -- the rest -------------------------------------------------------------------------------

    def nodes(self, allocation: str, /) -> Sequence[Node]:
        return self._allocations.nodes(allocation)

    def close(self) -> None:
        self._processes.close()
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


@dataclass
class _Allocations:
    """What is known of the allocations that steps run in; asked for once for each burst of
    starts.
    """

    environment: Mapping[str, str]
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, tuple[float, Allocation | None]] = field(default_factory=dict)
    _features: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def find(self, number: str) -> Allocation | None:
        asked, found = self._known.get(number, (0.0, None))
        if number not in self._known or self.clock() - asked > FRESH:
            found = show(number)
            self._known[number] = (self.clock(), found)
        return found

    def nodes(self, number: str) -> Sequence[Node]:
        here = from_environment(self.environment)
        number = number or (here.id if here else "")
        if not number:
            return ()
        try:
            found = self.find(number)
        except LauncherError:
            if here is None or here.id != number:
                raise
            found = here  # its variables say it, too
        return found.nodes if found is not None else ()

    def obstacle(self, step: Step, line: Line, number: str) -> str:
        """Why a step cannot run in an allocation; empty if nothing is known against it."""
        try:
            found = self.find(number)
            if found is None or found.state not in USABLE:
                return _not_usable(number, found)
            return misfit(step, line, found) or self._without_features(line, found)
        except LauncherError as error:
            # A controller that is away for a moment is no reason: srun waits for it itself.
            logger.debug("not checked: %s", error)
            return ""

    def _without_features(self, line: Line, allocation: Allocation) -> str:
        wanted = wanted_feature(line)
        if not wanted:
            return ""
        if allocation.id not in self._features:
            names = ",".join(names_of(allocation.nodes))
            completed = ask("scontrol", "show", "node", "--oneliner", names)
            if completed.returncode != 0:
                raise LauncherError(told(completed))
            self._features[allocation.id] = parse_features(completed.stdout)
        return unknown_feature(wanted, allocation.id, self._features[allocation.id].values())


def _not_usable(number: str, found: Allocation | None) -> str:
    if found is None:
        state = "has ended, or never was"
    elif found.state == "PENDING":
        return f"allocation {number} is PENDING: its nodes are not granted yet"
    else:
        state = f"has ended ({found.state})"
    return f"allocation {number} {state}; get another one (salloc, or get_allocation())"


def _end(names: Collection[str]) -> str:
    try:
        left = end_steps(names)
    except LauncherError as error:
        return f"whether all steps have ended is not known: {error}"
    ids = [step for steps in left.values() for step in steps]
    return f"steps that were cancelled live on: {', '.join(ids)}" if ids else ""


def _sorted(ids: Collection[JobId]) -> tuple[list[JobId], list[JobId]]:
    """Steps, and batch jobs."""
    return [job for job in ids if not _is_batch(job)], [job for job in ids if _is_batch(job)]


def _is_batch(job: JobId) -> bool:
    # The core's process service calls one that it has lost "unknown-<tag>".
    return "#" in job and not job.startswith("unknown-")


def _has_ended(answer: Answer) -> bool:
    return not isinstance(answer, Status) or answer.is_terminal


def _was_killed(status: Status) -> bool:
    return status.state is not State.CANCELLED and (
        status.returncode is None or status.returncode == -9
    )


def _overlapping(step: Step) -> Step:
    """The same step, whose run command can start daemons on nodes where others have done so."""
    # They start them by an srun of their own, which would wait for the cores of the others.
    if Path(step.command.argv[0]).name not in MPI_COMMANDS:
        return step
    env = {"SLURM_OVERLAP": "1", **step.command.env}
    return replace(step, command=replace(step.command, env=env))
