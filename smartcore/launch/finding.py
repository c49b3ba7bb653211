"""Finding what was being started when its driver was killed."""

from __future__ import annotations

from collections.abc import Sequence

from smartcore.launch.keeping import KeeperProcesses
from smartcore.launch.run import Run
from smartcore.spec import Finds, Launcher, Step, Work


def find_unheard(
    runs: Sequence[Run], launcher: Launcher, processes: KeeperProcesses | None
) -> list[Run]:
    """Give runs whose ids no driver heard of their ids, where they have any.

    :param runs: launches that were written down, without an id
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
    if left and isinstance(launcher, Finds):
        works = _works(left)
        for (_, own), answer in zip(works, launcher.find([work for work, _ in works]), strict=True):
            ids = answer.members or ((answer.id,) if answer.id is not None else ())
            for run, job in zip(own, ids, strict=False):
                run.job = job
    return [run for run in left if run.job is None]


def _works(runs: Sequence[Run]) -> list[tuple[Work, list[Run]]]:
    works: dict[str, tuple[Work, list[Run]]] = {}
    for run in runs:
        work: Step | Work = run.bundle or run.step
        works.setdefault(work.tag, (work, []))[1].append(run)
    return list(works.values())
