"""What a batch script cannot hold, seen before anything is submitted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from smartcore.error import LauncherError
from smartcore.spec import Job, Step
from smartcore.spec.scheduler import Submission

_BREAKS = ("\n", "\r", "\0")


def check_job(job: Job) -> None:
    """Refuse what no script can pass on, and input files that are not there.

    :raises LauncherError: naming the step and what is wrong
    """
    for step in job.steps:
        for what, text in _texts(step):
            if "\0" in text:
                raise LauncherError(f"{step.name}: {what} has a NUL, which no program can be given")
        for name in step.command.env:
            if not name or "=" in name:
                raise LauncherError(f"{step.name}: {name!r} cannot be the name of a variable")
        if step.command.stdin is not None:
            _check_input(step, os.fspath(step.command.stdin))
    for line in job.preamble:
        if "\0" in line:
            raise LauncherError(f"{job.name}: a line of the preamble has a NUL: {line!r}")


def _texts(step: Step) -> Iterator[tuple[str, str]]:
    for number, word in enumerate(step.command.argv):
        yield (f"argument {number}" if number else "the program"), word
    for name, value in step.command.env.items():
        yield f"the variable {name!r}", name + value
    yield "the directory", os.fspath(step.cwd)
    yield "an output file", os.fspath(step.stdout) + os.fspath(step.stderr)
    yield "the input file", os.fspath(step.command.stdin or "")


def _check_input(step: Step, path: str) -> None:
    try:
        # Not opened: opening a pipe would wait for its other end.
        readable = os.access(path, os.R_OK)
    except OSError:  # the path is longer than paths can be
        readable = False
    if not readable or os.path.isdir(path):  # noqa: PTH112 -- pathlib raises for some names
        raise LauncherError(f"{step.name}: the input file {path} cannot be read")


def check_submission(submission: Submission, step: str) -> None:
    """Refuse what no line of a script can say.

    :param step: name of the job, or of its step if there is one only
    :raises LauncherError: naming the step and what is wrong
    """
    for what, text in _said(submission):
        if has_break(text):
            raise LauncherError(
                f"{step}: {what} has a line break or a NUL, which no directive can hold: {text!r}"
            )


def _said(submission: Submission) -> Iterable[tuple[str, str]]:
    yield "the name", submission.name
    yield "the directory of the experiment", os.fspath(submission.script.parent)
    yield "the directory", os.fspath(submission.cwd)
    yield "the log", os.fspath(submission.log)
    for name, value in submission.arguments.items():
        yield f"the argument {name!r}", f"{name}{value or ''}"


def check_directives(directives: Sequence[str], step: str) -> None:
    """Refuse lines that would be several, whatever the plugin made them of.

    :raises LauncherError: naming the step and the line
    """
    for line in directives:
        if has_break(line):
            raise LauncherError(f"{step}: a directive has a line break or a NUL: {line!r}")


def has_break(text: str) -> bool:
    """True if a line cannot hold this."""
    return any(character in text for character in _BREAKS)
