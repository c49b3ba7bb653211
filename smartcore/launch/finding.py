"""Finding what was being started when its driver was killed, and what of it runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from smartcore.launch import link, spawn
from smartcore.launch.inquiry import ABSENCE_GRACE
from smartcore.launch.keeping import KeeperProcesses
from smartcore.launch.run import Run
from smartcore.launch.story import Story, unheard
from smartcore.spec import (
    ABSENT,
    Absent,
    Cause,
    Finds,
    JobId,
    Launcher,
    Outlasts,
    Source,
    State,
    Status,
    Step,
    Tag,
    Work,
)


def find_unheard(
    runs: Sequence[Run],
    launcher: Launcher,
    processes: KeeperProcesses | None,
    handed: Collection[Tag],
) -> list[Run]:
    """Give runs whose ids no driver heard of their ids, where they have any.

    :param runs: launches that were written down, without an id
    :param handed: tags of those that the launcher was given; it is not asked about others
    :returns: those that were never started
    :raises LauncherError: this could not be found out
    """
    if not runs:
        return []
    tags = [run.step.tag for run in runs if run.bundle is None]
    found = processes.find(tags) if processes is not None and tags else {}
    for run in runs:
        run.job = found.get(run.step.tag)
    left = [run for run in runs if run.job is None]
    asked = [run for run in left if run.step.tag in handed]
    if asked and isinstance(launcher, Finds):
        works = _works(asked)
        for (_, own), answer in zip(works, launcher.find([work for work, _ in works]), strict=True):
            ids = answer.members or ((answer.id,) if answer.id is not None else ())
            for run, job in zip(own, ids, strict=False):
                run.job = job
    return [run for run in left if run.job is None]


def inquire(
    runs: Sequence[Run],
    launcher: Launcher,
    processes: KeeperProcesses | None,
    story: Story,
) -> None:
    """Let runs that nobody follows know how they stand: launches of drivers that are gone.

    Of processes of other hosts it can only be known that what they ran in has ended; without that
    they stay as they are.

    :raises LauncherError: this could not be found out
    """
    silent = [run for run in runs if run.job is None]
    for run in find_unheard(silent, launcher, processes, story.handed):
        run.status = unheard(run, story.handed)
    settle_elsewhere([run for run in runs if is_elsewhere(run, story.hosts)], launcher)
    asked = [run for run in runs if run.active and not is_elsewhere(run, story.hosts)]
    answers = launcher.status([run.job for run in asked if run.job is not None]) if asked else {}
    for run in asked:
        answer = answers.get(JobId(run.job or ""), ABSENT)
        if not isinstance(answer, Absent):
            run.status = answer
        elif is_over(run):
            run.status = left_no_record()


def settle_elsewhere(runs: Sequence[Run], launcher: Launcher) -> None:
    """Let processes of other hosts that cannot run any more be lost.

    :raises LauncherError: this could not be found out
    """
    active = {run.job: run for run in runs if run.active and run.job is not None}
    if not active or not isinstance(launcher, Outlasts):
        return
    for job, why in launcher.outlasted(list(active)).items():
        reason = f"{why}, and nobody told how it ended"
        active[job].status = Status(State.LOST, None, Cause.UNSEEN, reason, Source.SCHEDULER)


def is_elsewhere(run: Run, hosts: Mapping[Tag, str]) -> bool:
    """True for a process of another host, of which nothing can be known here.

    :param hosts: from where each was launched
    """
    host = hosts.get(run.step.tag, "")
    return host not in {"", link.host_name()} and _is_process(run)


def is_over(run: Run) -> bool:
    """True if the launcher's not knowing it means that it has ended."""
    # A process that is not there has ended. A scheduler may take its time to know a job.
    age = datetime.now(UTC) - run.status.seen
    return _is_process(run) or age.total_seconds() > ABSENCE_GRACE


def left_no_record() -> Status:
    """The status of what is not there, and of which nobody knows how it ended."""
    reason = "ended while nobody watched, and left no record"
    return Status(State.LOST, None, Cause.UNSEEN, reason)


def _is_process(run: Run) -> bool:
    return spawn.parse(run.job or "") != (-1, -1)


def _works(runs: Sequence[Run]) -> list[tuple[Work, list[Run]]]:
    works: dict[str, tuple[Work, list[Run]]] = {}
    for run in runs:
        work: Step | Work = run.bundle or run.step
        works.setdefault(work.tag, (work, []))[1].append(run)
    return list(works.values())
