"""Slurm's words for states, and what they mean (squeue(1) and sacct(1), JOB STATE CODES)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from smartcore.spec import Cause, State
from smartcore.spec.scheduler import UNKNOWN_WORD, JobRecord, Outcome

_CODES: Final = MappingProxyType(
    {
        "BF": "BOOT_FAIL",
        "CA": "CANCELLED",
        "CD": "COMPLETED",
        "CF": "CONFIGURING",
        "CG": "COMPLETING",
        "DL": "DEADLINE",
        "F": "FAILED",
        "LF": "LAUNCH_FAILED",
        "NF": "NODE_FAIL",
        "OOM": "OUT_OF_MEMORY",
        "PD": "PENDING",
        "PR": "PREEMPTED",
        "R": "RUNNING",
        "RD": "RESV_DEL_HOLD",
        "RF": "REQUEUE_FED",
        "RH": "REQUEUE_HOLD",
        "RQ": "REQUEUED",
        "RS": "RESIZING",
        "RV": "REVOKED",
        "S": "SUSPENDED",
        "SE": "SPECIAL_EXIT",
        "SI": "SIGNALING",
        "SO": "STAGE_OUT",
        "ST": "STOPPED",
        "TO": "TIMEOUT",
    }
)

_OUTCOMES: Final = MappingProxyType(
    {
        "PENDING": Outcome(State.QUEUED),
        "CONFIGURING": Outcome(State.QUEUED),  # has its nodes, which are not ready yet
        "REQUEUED": Outcome(State.QUEUED),
        "REQUEUE_FED": Outcome(State.QUEUED),
        "REQUEUE_HOLD": Outcome(State.QUEUED),
        "SPECIAL_EXIT": Outcome(State.QUEUED),  # requeued, and held
        "RESV_DEL_HOLD": Outcome(State.QUEUED),
        "RUNNING": Outcome(State.RUNNING),
        "RESIZING": Outcome(State.RUNNING),
        "SIGNALING": Outcome(State.RUNNING),
        "COMPLETING": Outcome(State.RUNNING),  # may yet be requeued
        "STAGE_OUT": Outcome(State.RUNNING),
        "SUSPENDED": Outcome(State.PAUSED),
        "STOPPED": Outcome(State.PAUSED),
        "COMPLETED": Outcome(State.COMPLETED),
        "FAILED": Outcome(State.FAILED, Cause.EXIT_CODE),
        "CANCELLED": Outcome(State.CANCELLED),
        "TIMEOUT": Outcome(State.TIMEOUT, Cause.TIME_LIMIT),
        "DEADLINE": Outcome(State.TIMEOUT, Cause.TIME_LIMIT),
        "OUT_OF_MEMORY": Outcome(State.FAILED, Cause.OUT_OF_MEMORY),
        "NODE_FAIL": Outcome(State.FAILED, Cause.NODE_FAILURE),
        "BOOT_FAIL": Outcome(State.FAILED, Cause.NODE_FAILURE),
        "PREEMPTED": Outcome(State.FAILED, Cause.PREEMPTED),
        "LAUNCH_FAILED": Outcome(State.FAILED, Cause.START_FAILURE),
        "REVOKED": UNKNOWN_WORD,  # goes on in another cluster of the federation
    }
)

WORDS: Final[Mapping[str, Outcome]] = MappingProxyType(
    {**_OUTCOMES, **{code: _OUTCOMES[word] for code, word in _CODES.items()}}
)
"""What each word means, in its long and in its short form."""

# Slurm tells of an end that is none of the program's as a signal with a number of its own.
_NO_OUTPUT = 53
_OUT_OF_MEMORY = 125
_LAST_SIGNAL = 64
_STARTLESS = "its output file or its directory could not be opened (exit code 0:53)"

_ENDS: Final = MappingProxyType(
    {
        "TIMEOUT": "reached its time limit",
        "DEADLINE": "reached its deadline",
        "OUT_OF_MEMORY": "used more memory than it had",
        "NODE_FAIL": "one of its nodes failed",
        "BOOT_FAIL": "a node of it could not be booted",
        "PREEMPTED": "preempted by another job",
        "LAUNCH_FAILED": "could not be launched",
        "CANCELLED": "cancelled",
    }
)


def word(text: str) -> str:
    """The state alone: accounting prints ``CANCELLED by 1000``."""
    return text.partition(" ")[0]


def end_reason(text: str, *, startless: bool) -> str:
    """Why a job ended, for people; empty where its exit code says it all.

    :param text: the state as it was printed
    :param startless: it ended as one does whose output cannot be opened
    """
    state = word(text)
    plain = _ENDS.get(_CODES.get(state, state), "")
    by = re.fullmatch(r"CANCELLED by (\d+)", text)
    if by is not None:
        return f"cancelled by the user with uid {by[1]} (CANCELLED)"
    if startless:
        return _STARTLESS
    return f"{plain} ({state})" if plain else ""


def outcome(record: JobRecord) -> Outcome:
    """What a record means."""
    found = WORDS.get(word(record.state), UNKNOWN_WORD)
    if found.state is State.FAILED and record.reason == _STARTLESS:
        return Outcome(State.FAILED, Cause.START_FAILURE)
    return found


def returncode(code: int, signal: int) -> int | None:
    """The exit code as ``subprocess`` counts; None where Slurm's is none of the program."""
    if signal in (_OUT_OF_MEMORY, _NO_OUTPUT) or signal > _LAST_SIGNAL:
        return None
    return -signal if signal else code


def is_startless(signal: int) -> bool:
    """True of signal 53, by which slurmd says that it could not open a batch job's output."""
    return signal == _NO_OUTPUT
