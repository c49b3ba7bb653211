"""Why a step ended, in the words that srun left in its standard error: pure but for reading it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from smartcore.spec import Cause, State, Status

# The last words of srun are few; what a program prints before them may be much.
TAIL = 16_384
_LINE = r"^(?:srun|slurmstepd(?:-\S+)?): (?:error: )?"
_OF = r"\*\*\* (?:JOB|STEP) .*"

Verdict = Callable[[Status, str], Status]


def _ended(state: State, cause: Cause | None) -> Verdict:
    return lambda status, line: replace(status, state=state, cause=cause, reason=line)


def _by_signal(status: Status, line: str) -> Status:
    # srun returns 128 + n and prints strsignal(n): "task 0: Segmentation fault (core dumped)"
    number = (status.returncode or 0) - 128
    if number not in signal.valid_signals():
        return status
    words = line.rpartition(": ")[2].removesuffix(" (core dumped)")
    if words != (signal.strsignal(number) or ""):
        return status
    return replace(status, returncode=-number, cause=Cause.SIGNAL, reason=line)


def _code_253(status: Status, line: str) -> Status:
    # Of all exit codes this is the one for which srun (22.05) itself returns 1.
    if status.returncode != 1:
        return status
    return replace(status, returncode=253, reason="exit code 253")


def _of_a_task(status: Status, line: str) -> Status:
    code = line.rpartition("Exited with exit code ")[2]
    if not code.isdecimal():
        return _by_signal(status, line)
    return replace(status, returncode=int(code), reason=f"exit code {code}")


# What srun says of its exit code.
_CODES: tuple[tuple[str, Verdict], ...] = (
    # With --kill-on-bad-exit, srun itself cancels the step when one task has failed.
    (
        r"^srun: error: \S+: tasks? [\d,-]+: .*$(?=(?s:.*)^srun: .*Terminating StepId=)",
        _of_a_task,
    ),
    (r"^srun: error: \S+: tasks? [\d,-]+: Exited with exit code 253$", _code_253),
    (r"^srun: error: \S+: tasks? [\d,-]+: (?!Exited with).*$", _by_signal),
)
# The first that is found decides.
_WORDS: tuple[tuple[str, Verdict], ...] = (
    (_LINE + _OF + "DUE TO TIME LIMIT.*$", _ended(State.TIMEOUT, Cause.TIME_LIMIT)),
    (_LINE + _OF + "DUE TO NODE FAILURE.*$", _ended(State.FAILED, Cause.NODE_FAILURE)),
    (r"^srun: error: Node failure on .*$", _ended(State.FAILED, Cause.NODE_FAILURE)),
    (_LINE + _OF + "DUE TO PREEMPTION.*$", _ended(State.FAILED, Cause.PREEMPTED)),
    (r"^srun: error: .*: Out Of Memory$", _ended(State.FAILED, Cause.OUT_OF_MEMORY)),
    (_LINE + r".* exceeded memory limit .*$", _ended(State.FAILED, Cause.OUT_OF_MEMORY)),
    (_LINE + r".*oom[-_]kill.*$", _ended(State.FAILED, Cause.OUT_OF_MEMORY)),
    (
        r"^srun: error: (?:Unable to (?:create step|confirm allocation)|Only allocated ).*$",
        _ended(State.FAILED, Cause.START_FAILURE),
    ),
    (_LINE + r"execve\(\): .*$", _ended(State.FAILED, Cause.START_FAILURE)),
    _CODES[0],
    (_LINE + _OF + "CANCELLED AT .*$", _ended(State.CANCELLED, None)),
    *_CODES[1:],
)


def explain(status: Status, words: str) -> Status:
    """What the end of an srun means for its step.

    :param status: how srun ended; one that succeeded is left as it is
    :param words: the end of its standard error
    """
    return _explained(status, words, _WORDS)


def explain_code(status: Status, words: str) -> Status:
    """The same where something else tells why it ended, as of the srun of a batch job: what its
    exit code means.
    """
    return _explained(status, words, _CODES)


def _explained(status: Status, words: str, known: Sequence[tuple[str, Verdict]]) -> Status:
    if status.state is not State.FAILED or status.returncode is None or status.returncode < 0:
        return status
    for pattern, verdict in known:
        match = re.search(pattern, words, re.MULTILINE)
        if match is not None:
            return verdict(status, match[0].strip())
    return status


def last_words(path: Path) -> str:
    """The end of a file, empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
