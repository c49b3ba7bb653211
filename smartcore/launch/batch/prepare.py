"""From work to a batch script on disk and the submission that names it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shlex import quote

from smartcore.launch.batch.holding import check_directives, check_submission, has_break
from smartcore.launch.batch.ids import Ref, pieces, plain
from smartcore.launch.batch.record import record_name
from smartcore.launch.batch.script import Member, array_script, script
from smartcore.launch.process import write_files
from smartcore.spec import Job, Step, Work
from smartcore.spec.scheduler import CommandLineScheduler, NativeId, Submission

Write = Callable[[Path, str], None]
PLACE = Path(".smartcore")
SCRIPTS = PLACE / "scripts"
RECORDS = PLACE / "records"


def prepare(
    job: Job, scheduler: CommandLineScheduler, experiment: Path, write: Write
) -> tuple[Ref, Submission]:
    """Write the script of a job, and everything that its steps need.

    :param experiment: the experiment's directory
    :raises OSError: something could not be written
    :raises LauncherError: it is something that cannot be submitted
    """
    array = job.array and len(job.steps) > 1
    ref = Ref(NativeId(""), job.tag, len(job.steps), array)
    tag = plain(job.tag)
    path = experiment / SCRIPTS / f"{tag}.sh"
    cwd = job.steps[0].cwd
    submission = Submission(
        name=scheduler.clean_name(job.name),
        tag=tag,
        script=path,
        log=path.with_suffix(".log"),
        # What no directive can hold the script does itself, before its preamble.
        cwd=path.parent if has_break(str(cwd)) else cwd,
        resources=job.resources,
        arguments=job.arguments,
        members=len(job.steps) if array else 0,
        throttle=job.throttle if array else 0,
        requeue=job.requeue,
    )
    check_submission(submission, job.name)
    for step in job.steps:
        if step.command.files:
            write_files(step.command)
    for file, text in _texts(job, submission, scheduler, experiment / RECORDS).items():
        write(file, text)
    return ref, submission


def _texts(
    job: Job, submission: Submission, scheduler: CommandLineScheduler, records: Path
) -> dict[Path, str]:
    members = [
        Member(step, records / record_name(job.tag, index)) for index, step in enumerate(job.steps)
    ]
    directives = scheduler.directives(submission)
    check_directives(directives, job.name)
    cwd = job.steps[0].cwd
    preamble = job.preamble if cwd == submission.cwd else (f"cd {quote(str(cwd))}", *job.preamble)
    if not submission.members:
        text = script(directives, preamble, scheduler.variables, members)
        return {submission.script: text}
    text, files = array_script(
        directives,
        preamble,
        scheduler.variables,
        members,
        base=scheduler.index_base,
        directory=submission.script.with_suffix(".d"),
    )
    return {**files, submission.script: text}


def split(job: Job, limit: int) -> tuple[list[Job], int]:
    """The jobs that one is submitted as, and how many members each has.

    :param limit: members of one array; 0 if there are no arrays
    """
    count, most = len(job.steps), max(1, limit)
    if not job.array or count <= most:
        return [job], count
    number = -(-count // most)
    size = -(-count // number)  # as many pieces as needed, and all about as large
    # Together they must not run more at once than one array would.
    throttle = max(1, job.throttle // number) if job.throttle else 0
    return [
        replace(job, tag=tag, throttle=throttle, steps=job.steps[members.start : members.stop])
        for tag, members in pieces(job.tag, count, size)
    ], size


def as_job(work: Work) -> Job:
    """The work as a job; a step becomes one of its own."""
    if isinstance(work, Step):
        return Job(work.name, work.tag, (work,), work.resources)
    return work


def write_durably(path: Path, text: str) -> None:
    """Write a file that only its owner may read, and see it to the disk: the scheduler reads it on
    another host, and perhaps much later.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fsync(handle)
