"""What Slurm's queue and accounting tell of jobs; the transcripts are of Slurm 22.05."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from smartcore.error import LauncherError
from smartcore.spec import Cause, Completed, State
from smartcore.spec.scheduler import (
    JobRecord,
    NativeId,
    Unavailable,
)
from smartcore_slurm.scheduler import SlurmScheduler, array_limit

TRANSCRIPTS = Path(__file__).parent / "transcripts"
SLURM = SlurmScheduler()


def said(stdout: str = "", stderr: str = "", code: int = 0, *argv: str) -> Completed:
    return Completed(argv or ("command",), code, stdout, stderr)


def queue() -> dict[str, JobRecord]:
    text = (TRANSCRIPTS / "squeue.txt").read_text()
    return {record.id: record for record in SLURM.parse_query(said(text))}


def accounting() -> dict[str, JobRecord]:
    found = SLURM.parse_accounting(said((TRANSCRIPTS / "sacct.txt").read_text()))
    assert not isinstance(found, Unavailable)
    return {record.id: record for record in found}


def ended(record: JobRecord) -> tuple[State, Cause | None, int | None]:
    outcome = SLURM.outcome(record)
    return outcome.state, outcome.cause, record.returncode


# -- the answer of squeue ---------------------------------------------------------------------


def test_ends_are_told_with_their_causes() -> None:
    found = queue()
    assert ended(found["53"]) == (State.COMPLETED, None, 0)
    assert ended(found["58_5"]) == (State.FAILED, Cause.EXIT_CODE, 5)
    assert ended(found["29"]) == (State.FAILED, Cause.EXIT_CODE, 137)
    assert ended(found["31"]) == (State.FAILED, Cause.EXIT_CODE, 255)
    assert ended(found["4"]) == (State.FAILED, Cause.EXIT_CODE, -9)
    assert ended(found["76"]) == (State.FAILED, Cause.NODE_FAILURE, None)
    assert ended(found["72"]) == (State.FAILED, Cause.PREEMPTED, -15)
    assert ended(found["75"]) == (State.CANCELLED, None, -15)
    assert ended(found["84"]) == (State.FAILED, Cause.START_FAILURE, None)
    assert "output" in found["84"].reason


def test_what_goes_on_has_no_exit_code_and_its_times_and_hosts() -> None:
    running = queue()["77"]
    assert ended(running) == (State.RUNNING, None, None)
    assert running.elapsed == timedelta(days=1, hours=2, minutes=3, seconds=4)
    assert running.host == "nid001"
    assert ended(queue()["78"]) == (State.PAUSED, None, None)


def test_members_that_wait_are_told_of_one_by_one() -> None:
    waiting = [record for record in queue().values() if record.id.startswith("80_")]
    assert {record.id for record in waiting} == {
        *("80_0", "80_1", "80_2", "80_3", "80_90", "80_94", "80_98")
    }
    assert {ended(record)[0] for record in waiting} == {State.QUEUED}
    with pytest.raises(LauncherError, match=r"\.\.\."):
        SLURM.parse_query(said("80_[0-3,...]|PENDING|0|0|0:00|n/a|Priority|\n"))


@pytest.mark.parametrize(
    ("job", "words", "blocked"),
    [
        ("80_0", "PartitionDown: its partition is down", True),
        ("81", "DependencyNeverSatisfied", True),
        ("79", "JobHeldUser", True),
        ("86", "job requeued in held state: it was requeued, and is held", True),
        ("82", "AssocGrpNodeLimit: a limit on all jobs together", False),
        ("83", "QOSGrpNodeLimit", False),
        ("85", "BeginTime: its earliest start is in the future", False),
    ],
)
def test_why_a_job_waits_is_told_and_whether_that_passes(
    job: str, words: str, blocked: bool
) -> None:
    record = queue()[job]
    assert record.reason.startswith(words)
    assert record.blocked is blocked


@pytest.mark.parametrize(
    ("reason", "blocked"),
    [
        ("AssocMaxCpuPerJobLimit", True),
        ("QOSMaxWallDurationPerJobLimit", True),
        ("QOSMinCpuNotSatisfied", True),
        ("AssocGrpCPUMinutesLimit", True),
        ("AssocGrpCPURunMinutesLimit", False),
        ("QOSMaxJobsPerUserLimit", False),
        ("ReqNodeNotAvail,_UnavailableNodes:nid[003-004]", False),
        ("Nodes_required_for_job_are_DOWN,_DRAINED_or_reserved", False),
        ("Resources", False),
        ("SomethingNew", False),
        ("a|b", False),
    ],
)
def test_reasons_that_never_pass_are_told_from_those_that_do(reason: str, blocked: bool) -> None:
    (record,) = SLURM.parse_query(said(f"12|PENDING|0|0|0:00|n/a|{reason}|\n"))
    assert record.blocked is blocked
    assert record.reason.startswith(reason.partition(",")[0].replace("_", " "))


def test_restarts_are_told() -> None:
    assert queue()["86"].restarts == 1
    assert queue()["77"].restarts == 0


def test_a_row_that_cannot_be_read_is_no_answer() -> None:
    for row in ("12|RUNNING|0|0|0:00|n/a", "a|RUNNING|0|0|0:00|n/a|None|", "<html>"):
        with pytest.raises(LauncherError, match=r"squeue|no id"):
            SLURM.parse_query(said(f"{row}\n"))
    with pytest.raises(LauncherError, match="Unable to contact"):
        SLURM.parse_query(said("", "squeue: error: Unable to contact slurm controller", 1))
    with pytest.raises(LauncherError, match="timed out"):
        SLURM.parse_query(said("", "slurm_load_jobs error: Socket timed out", 0))


def test_rows_of_a_named_cluster_have_its_name() -> None:
    argv = SLURM.query([NativeId("12;west")]).argv
    row = "12_[3-4]|PENDING|0|0|0:00|n/a|None|\n"
    found = SLURM.parse_query(said(row, "", 0, *argv))
    assert [record.id for record in found] == ["12_3;west", "12_4;west"]
    assert SLURM.key(found[0].id) == SLURM.key(SLURM.member(NativeId("12;west"), 3))


# -- the answer of sacct ----------------------------------------------------------------------


def test_the_accounting_tells_who_cancelled() -> None:
    record = accounting()["36"]
    assert ended(record) == (State.CANCELLED, None, None)
    assert "uid 1000" in record.reason
    assert accounting()["5_43"].reason == "cancelled by the user with uid 0 (CANCELLED)"


def test_the_accounting_tells_ends_with_their_causes() -> None:
    found = accounting()
    assert ended(found["37"]) == (State.COMPLETED, None, 0)
    assert ended(found["88"]) == (State.FAILED, Cause.EXIT_CODE, -9)
    assert ended(found["61"]) == (State.FAILED, Cause.OUT_OF_MEMORY, None)
    assert ended(found["62"]) == (State.TIMEOUT, Cause.TIME_LIMIT, None)
    assert ended(found["72"]) == (State.FAILED, Cause.PREEMPTED, None)
    assert ended(found["84"]) == (State.FAILED, Cause.START_FAILURE, None)
    assert ended(found["86"])[0] is State.QUEUED
    assert (found["72"].host, found["62"].elapsed) == ("nid001", timedelta(seconds=61))


def test_codes_of_the_accounting_are_not_believed_because_it_takes_128_away() -> None:
    record = accounting()["29"]
    assert ended(record) == (State.FAILED, Cause.EXIT_CODE, None)
    assert record.reason == "exit code 9 or 137: sacct does not tell which"


def test_accounting_that_is_off_is_unavailable_and_one_that_is_down_is_no_answer() -> None:
    off = SLURM.parse_accounting(said("", "Slurm accounting storage is disabled\n", 1))
    assert off == Unavailable("Slurm accounting storage is disabled")
    with pytest.raises(LauncherError, match="Connection refused"):
        SLURM.parse_accounting(said("", "sacct: error: Problem ... Connection refused", 1))


def test_members_of_one_array_are_asked_about_together() -> None:
    names = [NativeId(name) for name in ("12_0", "12_3", "14", "15_7")]
    invocation = SLURM.accounting(names)
    assert invocation is not None
    assert invocation.argv[-1] == "--jobs=12,14,15_7"


# -- words and ids ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "state", "cause"),
    [
        ("CG", State.RUNNING, None),
        ("COMPLETING", State.RUNNING, None),
        ("REQUEUED", State.QUEUED, None),
        ("SPECIAL_EXIT", State.QUEUED, None),
        ("CF", State.QUEUED, None),
        ("ST", State.PAUSED, None),
        ("DEADLINE", State.TIMEOUT, Cause.TIME_LIMIT),
        ("BOOT_FAIL", State.FAILED, Cause.NODE_FAILURE),
        ("CANCELLED by 1000", State.CANCELLED, None),
        ("REVOKED", State.UNKNOWN, None),
        ("CANCELLED+", State.UNKNOWN, None),
    ],
)
def test_words_mean_what_slurm_says(word: str, state: State, cause: Cause | None) -> None:
    outcome = SLURM.outcome(JobRecord(NativeId("1"), word))
    assert (outcome.state, outcome.cause) == (state, cause)


def test_a_job_that_is_requeued_and_held_waits_for_somebody() -> None:
    (record,) = SLURM.parse_query(said("12|SPECIAL_EXIT|0|1|0:00|n/a|None|\n"))
    assert record.blocked


@pytest.mark.parametrize(("one", "other"), [("123", "123+0"), ("123_4", "123_4+0")])
def test_a_het_job_is_its_first_component(one: str, other: str) -> None:
    assert SLURM.key(NativeId(one)) == SLURM.key(NativeId(other))
    assert SLURM.key(NativeId("123+1")) != SLURM.key(NativeId("123"))


def test_the_limit_of_arrays_is_read_from_the_configuration() -> None:
    text = "MailProg = /bin/mail\nMaxArraySize            = 1001\nMaxJobCount = 20000\n"
    assert array_limit(text) == 1001
    assert SlurmScheduler(array_limit=1001).rates.array_limit == 1001
    assert SlurmScheduler().rates.array_limit == 1000
    with pytest.raises(LauncherError, match="MaxArraySize"):
        array_limit("")
