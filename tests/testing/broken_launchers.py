"""A launcher that does what it should, and many that are broken in one way each."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from smartcore.error import LauncherError
from smartcore.launch import proc
from smartcore.spec import (
    ABSENT,
    Answer,
    Cause,
    EventSink,
    Job,
    JobId,
    Launcher,
    LauncherContext,
    Started,
    State,
    Status,
    Step,
    Work,
)

Child = subprocess.Popen[bytes]
GRACE = 0.5


class Sound(Launcher):
    """Children of this process, asked when somebody asks."""

    def __init__(self, context: LauncherContext, /) -> None:
        self.children: dict[JobId, Child] = {}
        self.stopped: set[JobId] = set()

    def start(self, work: Sequence[Work], /) -> Sequence[Started]:
        return [self.begin(item) for item in work]

    def begin(self, work: Work) -> Started:
        if isinstance(work, Job):
            return Started(error="no batch jobs here")
        try:
            child = self.spawn(work)
        except (OSError, ValueError) as error:
            return Started(error=f"{work.command.argv[0]} in {work.cwd}: {error}")
        job = self.name(work, child)
        self.children[job] = child
        return Started(job)

    def spawn(self, step: Step) -> Child:
        with contextlib.ExitStack() as files:
            out, err = (files.enter_context(path.open("wb")) for path in self.outputs(step))
            options: dict[str, Any] = {
                "stdin": subprocess.DEVNULL,
                "stdout": out,
                "stderr": err,
                "cwd": step.cwd,
                "env": {**os.environ, **step.command.env},
                "start_new_session": True,
            }
            return subprocess.Popen(step.command.argv, **{**options, **self.options(step)})

    def outputs(self, step: Step) -> tuple[Path, Path]:
        return step.stdout, step.stderr

    def options(self, step: Step) -> dict[str, Any]:
        return {}

    def name(self, step: Step, child: Child) -> JobId:
        return JobId(f"{child.pid}:{step.tag}")

    def status(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        return {job: self.answer(job) for job in ids}

    def answer(self, job: JobId) -> Answer:
        if job not in self.children:
            return ABSENT
        code = self.code(self.children[job])
        return Status(State.RUNNING) if code is None else self.verdict(job, code)

    def code(self, child: Child) -> int | None:
        return child.poll()

    def verdict(self, job: JobId, code: int) -> Status:
        if job in self.stopped:
            return Status(State.CANCELLED, code, Cause.STOPPED)
        if code == 0:
            return Status(State.COMPLETED, 0)
        return Status(State.FAILED, code, Cause.EXIT_CODE, f"exit code {code}")

    def stop(self, ids: Collection[JobId], /) -> None:
        living = [job for job in ids if job in self.children and self.runs(job)]
        self.stopped |= set(living)
        for job in living:
            self.signal(self.children[job], signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        for job in living:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.children[job].wait(max(0.0, deadline - time.monotonic()))
            self.insist(self.children[job])

    def runs(self, job: JobId) -> bool:
        return self.children[job].poll() is None

    def signal(self, child: Child, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)

    def insist(self, child: Child) -> None:
        self.signal(child, signal.SIGKILL)
        for pid, _ in proc.session_members({child.pid}):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Telling(Sound):
    """The same, with a thread that tells of each end."""

    sink: EventSink

    def watch(self, sink: EventSink, /) -> None:
        self.sink = sink

    def begin(self, work: Work) -> Started:
        started = super().begin(work)
        if started.id is not None:
            threading.Thread(target=self.tell, args=[started.id], daemon=True).start()
        return started

    def tell(self, job: JobId) -> None:
        self.sink(job, self.verdict(job, self.children[job].wait()))


# -- how it ended ------------------------------------------------------------------------------


class LosesCodes(Sound):
    def verdict(self, job: JobId, code: int) -> Status:
        return super().verdict(job, min(code, 1))


class CallsFailuresCompleted(Sound):
    def verdict(self, job: JobId, code: int) -> Status:
        return Status(State.COMPLETED, code)


class SpellsSignalsAsCodes(Sound):
    def verdict(self, job: JobId, code: int) -> Status:
        return super().verdict(job, 128 - code if code < 0 else code)


class SaysNotWhy(Sound):
    def verdict(self, job: JobId, code: int) -> Status:
        return Status(State.COMPLETED if code == 0 else State.FAILED, code)


class ForgetsEnds(Sound):
    def verdict(self, job: JobId, code: int) -> Status:
        del self.children[job]
        return super().verdict(job, code)


class CompletesTooEarly(Sound):
    def answer(self, job: JobId) -> Answer:
        answer = super().answer(job)
        running = isinstance(answer, Status) and answer.state is State.RUNNING
        return Status(State.COMPLETED, 0) if running else answer


# -- output ------------------------------------------------------------------------------------


class SwapsOutput(Sound):
    def outputs(self, step: Step) -> tuple[Path, Path]:
        return step.stderr, step.stdout


class MixesOutput(Sound):
    def options(self, step: Step) -> dict[str, Any]:
        return {"stderr": subprocess.STDOUT}


class TruncatesOutput(Sound):
    def spawn(self, step: Step) -> Child:
        argv = ("sh", "-c", '"$@" | head -c 100000', "sh", *step.command.argv)
        return subprocess.Popen(
            argv, cwd=step.cwd, stdout=step.stdout.open("wb"), stderr=step.stderr.open("wb")
        )


class ReadsNoPipe(Sound):
    def options(self, step: Step) -> dict[str, Any]:
        return {"stderr": subprocess.PIPE}


class AppendsOutput(Sound):
    def spawn(self, step: Step) -> Child:
        with step.stdout.open("ab") as out, step.stderr.open("ab") as err:
            return subprocess.Popen(step.command.argv, stdout=out, stderr=err, cwd=step.cwd)


class DecodesOutput(Sound):
    def outputs(self, step: Step) -> tuple[Path, Path]:
        self.file = step.stdout
        return super().outputs(step)

    def verdict(self, job: JobId, code: int) -> Status:
        self.file.write_text(self.file.read_text(errors="replace"))
        return super().verdict(job, code)


# -- what a step is given ----------------------------------------------------------------------


class UsesAShell(Sound):
    def spawn(self, step: Step) -> Child:
        with step.stdout.open("wb") as out:
            return subprocess.Popen(" ".join(step.command.argv), shell=True, stdout=out)


class SplitsVariables(Sound):
    def options(self, step: Step) -> dict[str, Any]:
        pairs = ",".join(f"{name}={value}" for name, value in step.command.env.items())
        env = dict(pair.split("=", 1) for pair in pairs.split(",") if "=" in pair)
        return {"env": {**os.environ, **env}}


class MergesEnvironments(Sound):
    def options(self, step: Step) -> dict[str, Any]:
        os.environ.update(step.command.env)
        return {"env": None}


class RemembersTheEnvironment(Sound):
    def __init__(self, context: LauncherContext, /) -> None:
        super().__init__(context)
        self.inherited = dict(os.environ)

    def options(self, step: Step) -> dict[str, Any]:
        return {"env": {**self.inherited, **step.command.env}}


class KnowsNoUnicode(Sound):
    def spawn(self, step: Step) -> Child:
        argv = [each.encode("ascii", "ignore") for each in step.command.argv]
        with step.stdout.open("wb") as out:
            return subprocess.Popen(argv, stdout=out, cwd=step.cwd, start_new_session=True)


class ForgetsTheDirectory(Sound):
    def options(self, step: Step) -> dict[str, Any]:
        return {"cwd": None}


class LeavesInputOpen(Sound):
    def options(self, step: Step) -> dict[str, Any]:
        return {"stdin": subprocess.PIPE}


class SharesTheSession(Sound):
    def options(self, step: Step) -> dict[str, Any]:
        return {"start_new_session": False}

    def signal(self, child: Child, number: int) -> None:
        child.send_signal(number)  # its group is ours

    def insist(self, child: Child) -> None:
        child.kill()


class PassesDescriptorsOn(Sound):
    def options(self, step: Step) -> dict[str, Any]:
        return {"close_fds": False}


class PassesIgnoredSignalsOn(Sound):
    def options(self, step: Step) -> dict[str, Any]:
        return {"restore_signals": False}


# -- starting ----------------------------------------------------------------------------------


class DropsOneOfMany(Sound):
    def begin(self, work: Work) -> Started:
        if len(self.children) == 150:
            self.children[JobId("dropped")] = self.children[next(iter(self.children))]
            return Started(JobId("dropped"))
        return super().begin(work)


class LosesAnId(Sound):
    def start(self, work: Sequence[Work], /) -> Sequence[Started]:
        return super().start(work)[:-1]


class GivesUpAtTheFirstError(Sound):
    def begin(self, work: Work) -> Started:
        started = super().begin(work)
        if started.id is None:
            raise LauncherError(started.error)
        return started


class AnswersOutOfOrder(Sound):
    def start(self, work: Sequence[Work], /) -> Sequence[Started]:
        return sorted(super().start(work), key=lambda started: started.id is None)


class FailsWithoutWords(Sound):
    def begin(self, work: Work) -> Started:
        return Started(super().begin(work).id)


class NamesJobsAsSteps(Sound):
    def name(self, step: Step, child: Child) -> JobId:
        return JobId(step.name)


class MakesFilesOfNames(Sound):
    def spawn(self, step: Step) -> Child:
        (step.cwd / f"{step.name}.sh").write_text("exec true")
        return super().spawn(step)


class StealsSignalHandlers(Sound):
    def begin(self, work: Work) -> Started:
        signal.signal(signal.SIGINT, lambda *_: None)
        return super().begin(work)


# -- asking ------------------------------------------------------------------------------------


class CallsTheUnknownCompleted(Sound):
    def answer(self, job: JobId) -> Answer:
        answer = super().answer(job)
        return Status(State.COMPLETED, 0) if answer is ABSENT else answer


class AnswersForFewer(Sound):
    def status(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        answers = super().status(ids)
        return {job: answer for job, answer in answers.items() if answer is not ABSENT}


class FailsForOneUnknown(Sound):
    def answer(self, job: JobId) -> Answer:
        if job not in self.children:
            raise LauncherError(f"Invalid job id {job}")
        return super().answer(job)


class TakesIdsForNumbers(Sound):
    def answer(self, job: JobId) -> Answer:
        return Status(State.LOST) if int(job.split(":")[0]) < 0 else super().answer(job)


class TellsTwice(Telling):
    def tell(self, job: JobId) -> None:
        super().tell(job)
        super().tell(job)


class TellsNotAll(Telling):
    def tell(self, job: JobId) -> None:
        if self.children[job].wait() != 7:
            super().tell(job)


class TellsOtherThanItAnswers(Telling):
    def tell(self, job: JobId) -> None:
        self.children[job].wait()
        self.sink(job, Status(State.COMPLETED, 0))


# -- stopping ----------------------------------------------------------------------------------


class KillsAtOnce(Sound):
    def signal(self, child: Child, number: int) -> None:
        super().signal(child, signal.SIGKILL)


class NeverInsists(Sound):
    def insist(self, child: Child) -> None:
        pass


class LeavesGrandchildren(Sound):
    def signal(self, child: Child, number: int) -> None:
        child.send_signal(number)

    def insist(self, child: Child) -> None:
        child.kill()


class KillsTheGroupOnly(Sound):
    def insist(self, child: Child) -> None:
        self.signal(child, signal.SIGKILL)


class CallsTheStoppedCompleted(Sound):
    def verdict(self, job: JobId, code: int) -> Status:
        return Status(State.COMPLETED, 0) if code == 0 else super().verdict(job, code)


class CancelsWhatHasEnded(Sound):
    def runs(self, job: JobId) -> bool:
        return True


class StopsEverything(Sound):
    def stop(self, ids: Collection[JobId], /) -> None:
        super().stop(list(self.children) if ids else ids)


class KnowsOnlyItsOwn(Sound):
    def stop(self, ids: Collection[JobId], /) -> None:
        for job in ids:
            if job not in self.children:
                raise LauncherError(f"no job {job}")
        super().stop(ids)


class PretendsToStop(Sound):
    def stop(self, ids: Collection[JobId], /) -> None:
        self.pretended = set(ids)

    def answer(self, job: JobId) -> Answer:
        if job in getattr(self, "pretended", ()):
            return Status(State.CANCELLED)
        return super().answer(job)


# -- what is left ------------------------------------------------------------------------------


class LeavesZombies(Sound):
    def code(self, child: Child) -> int | None:
        found = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return None if found is None else found.si_status


class LeaksDescriptors(Sound):
    def outputs(self, step: Step) -> tuple[Path, Path]:
        os.open(step.cwd, os.O_RDONLY)
        return super().outputs(step)


class LeaksThreads(Sound):
    def begin(self, work: Work) -> Started:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        return super().begin(work)
