from __future__ import annotations

from pathlib import Path

import pytest

from smartcore.spec import Cause, State, Status
from smartcore_slurm.ends import explain, explain_code, last_words

FAILED = Status(State.FAILED, 1, Cause.EXIT_CODE, "exit code 1")
# As srun and slurmstepd of 22.05.8 said it.
SAID = [
    (
        (
            "slurmstepd-nid001: error: *** STEP 8.0 ON nid001 CANCELLED AT 2026-01-01 DUE TO"
            " TIME LIMIT ***"
        ),
        143,
        (State.TIMEOUT, Cause.TIME_LIMIT, 143),
    ),
    (
        (
            "slurmstepd-nid001: error: *** JOB 8 ON nid001 CANCELLED AT 2026-01-01T00:00:00 DUE TO"
            " NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***"
        ),
        1,
        (State.FAILED, Cause.NODE_FAILURE, 1),
    ),
    (
        ("slurmstepd: error: *** STEP 8.0 ON n1 CANCELLED AT 2026-01-01 DUE TO PREEMPTION ***"),
        143,
        (State.FAILED, Cause.PREEMPTED, 143),
    ),
    (
        "slurmstepd-nid001: error: StepId=34.0 exceeded memory limit (413 > 62), being killed",
        137,
        (State.FAILED, Cause.OUT_OF_MEMORY, 137),
    ),
    (
        "srun: error: nid001: task 0: Out Of Memory",
        1,
        (State.FAILED, Cause.OUT_OF_MEMORY, 1),
    ),
    (
        "slurmstepd-nid001: error: *** STEP 8.0 ON nid001 CANCELLED AT 2026-01-01T00:00:00 ***",
        137,
        (State.CANCELLED, None, 137),
    ),
    (
        (
            "srun: error: Unable to create step for job 5: Requested node configuration is not"
            " available"
        ),
        1,
        (State.FAILED, Cause.START_FAILURE, 1),
    ),
    (
        "slurmstepd-nid001: error: execve(): ./x: No such file or directory",
        2,
        (State.FAILED, Cause.START_FAILURE, 2),
    ),
    ("srun: error: nid001: task 0: Killed", 137, (State.FAILED, Cause.SIGNAL, -9)),
    (
        (
            "srun: error: nid002: task 1: Killed\n"
            "srun: launch/slurm: _step_signal: Terminating StepId=4.12\n"
            "slurmstepd-nid001: error: *** STEP 4.12 ON nid001 CANCELLED AT 2026-01-01T00:00 ***"
        ),
        137,
        (State.FAILED, Cause.SIGNAL, -9),
    ),
    (
        (
            "srun: error: nid002: task 1: Exited with exit code 3\n"
            "srun: launch/slurm: _step_signal: Terminating StepId=4.12\n"
            "slurmstepd-nid001: error: *** STEP 4.12 ON nid001 CANCELLED AT 2026-01-01T00:00 ***\n"
            "srun: error: nid001: task 0: Killed"
        ),
        137,
        (State.FAILED, Cause.EXIT_CODE, 3),
    ),
    (
        "srun: error: nid001: tasks 0-3: Segmentation fault (core dumped)",
        139,
        (State.FAILED, Cause.SIGNAL, -11),
    ),
    (
        "srun: error: nid001: task 0: Exited with exit code 137",
        137,
        (State.FAILED, Cause.EXIT_CODE, 137),
    ),
    (
        "srun: error: nid001: task 0: Exited with exit code 253",
        1,
        (State.FAILED, Cause.EXIT_CODE, 253),
    ),
]


@pytest.mark.parametrize(("line", "code", "expected"), SAID)
def test_the_words_of_srun_tell_why_a_step_ended(
    line: str, code: int, expected: tuple[State, Cause | None, int]
) -> None:
    status = Status(State.FAILED, code, Cause.EXIT_CODE, f"exit code {code}")
    found = explain(status, f"something before\n{line}\nsrun: last words\n")
    assert (found.state, found.cause, found.returncode) == expected


@pytest.mark.parametrize(("line", "code", "expected"), SAID)
def test_the_words_of_the_srun_in_a_job_tell_of_its_exit_code_only(
    line: str, code: int, expected: tuple[State, Cause | None, int]
) -> None:
    status = Status(State.FAILED, code, Cause.EXIT_CODE, f"exit code {code}")
    found = explain_code(status, f"something before\n{line}\nsrun: last words\n")
    state, cause, returncode = expected
    decoded = cause in {Cause.SIGNAL, Cause.EXIT_CODE}
    unchanged = (State.FAILED, Cause.EXIT_CODE, code)
    wanted = (state, cause, returncode) if decoded else unchanged
    assert (found.state, found.cause, found.returncode) == wanted


def test_the_words_of_a_program_change_nothing() -> None:
    words = "I said: srun: error: nid001: task 0: Out Of Memory\nCANCELLED AT DUE TO TIME LIMIT\n"
    assert explain(FAILED, words) == FAILED


def test_what_succeeded_or_whose_code_is_unknown_is_left_as_it_is() -> None:
    words = "srun: error: nid001: task 0: Out Of Memory\n"
    for status in (Status(State.COMPLETED, 0), Status(State.LOST), Status(State.FAILED, -9)):
        assert explain(status, words) == status


def test_only_the_end_of_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "err"
    file.write_bytes(b"\xff" * 100_000 + b"last\n")
    assert last_words(file).endswith("last\n")
    assert len(last_words(file)) < 20_000
    assert last_words(tmp_path / "none") == ""
