"""Handing runs to a launcher: the work that they are together, and an answer for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from smartcore.launch.process import write_files
from smartcore.launch.run import Run
from smartcore.spec import Launcher, Started, Tag, Work


def works_of(batch: Sequence[Run]) -> tuple[list[tuple[Work, list[Run]]], list[tuple[Run, str]]]:
    """What to start, with the runs that it stands for, and what cannot be started, with the reason.

    Files that the steps need are written.
    """
    refused = [(run, error) for run in batch if (error := _unwritten(run))]
    unwritten = {run.step.tag for run, _ in refused}
    together: dict[Tag, list[Run]] = {}
    for run in batch:
        if run.step.tag not in unwritten:
            together.setdefault(run.bundle.tag if run.bundle else run.step.tag, []).append(run)
    works: list[tuple[Work, list[Run]]] = []
    for runs in together.values():
        bundle = runs[0].bundle
        steps = tuple(run.step for run in runs)
        works.append((replace(bundle, steps=steps) if bundle else steps[0], runs))
    return works, refused


def _unwritten(run: Run) -> str:
    # Files may hold secrets and belong to the entity, so no launcher has to care about them.
    try:
        write_files(run.step.command)
    except OSError as error:
        return f"{error.filename or run.step.cwd}: {error.strerror}"
    return ""


def hand_over(launcher: Launcher, works: Sequence[Work]) -> Sequence[Started]:
    """Start these, and return an answer for each, whatever the launcher does."""
    kind = type(launcher).__name__
    try:
        answers = launcher.start(works)
        wrong = not isinstance(answers, Sequence) or len(answers) != len(works)
    except Exception as error:  # noqa: BLE001 -- whatever a launcher raises fails its work only
        return [Started(error=f"{kind}: {error or type(error).__name__}")] * len(works)
    if wrong:
        problem = f"{kind}.start was given {len(works)} steps and answered {answers!r:.100}"
        return [Started(error=problem)] * len(works)
    return answers
