"""What Slurm is asked, and how it is told from its answers; the transcripts are of Slurm 22.05."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.error import LauncherError
from smartcore.spec import Cause, Completed, Resources, State, Tag
from smartcore.spec.scheduler import (
    JobRecord,
    NativeId,
    Refusal,
    Refused,
    Submission,
    Unavailable,
)
from smartcore_slurm.scheduler import SlurmScheduler, array_limit

TRANSCRIPTS = Path(__file__).parent / "transcripts"
SLURM = SlurmScheduler()


def said(stdout: str = "", stderr: str = "", code: int = 0, *argv: str) -> Completed:
    return Completed(argv or ("command",), code, stdout, stderr)


def submission(
    arguments: dict[str, str | None] | None = None,
    *,
    resources: Resources | None = None,
    members: int = 0,
    log: str = "/exp/log",
) -> Submission:
    return Submission(
        "model",
        Tag("model-k3f9"),
        Path("/exp/script.sh"),
        Path(log),
        Path("/exp/model"),
        resources or Resources(),
        arguments or {},
        members,
    )


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


# -- submit -----------------------------------------------------------------------------------


def test_all_that_is_asked_for_is_on_the_command_line_where_it_wins_over_variables() -> None:
    resources = Resources(
        nodes=2,
        tasks=8,
        tasks_per_node=4,
        cpus_per_task=3,
        gpus_per_node=1,
        memory_per_node=3 * 2**30 + 1,
        walltime=timedelta(hours=30, seconds=1),
        hosts=("n1", "n2"),
        excluded_hosts=("n3",),
    )
    argv = SLURM.submit(submission(resources=resources)).argv
    assert argv[:2] == ("sbatch", "--parsable")
    assert argv[-1] == "/exp/script.sh"
    assert set(argv[2:-1]) == {
        "--job-name=model",
        "--comment=model-k3f9",
        "--output=/exp/log",
        "--open-mode=append",
        "--chdir=/exp/model",
        "--export=ALL",
        "--nodes=2",
        "--ntasks=8",
        "--ntasks-per-node=4",
        "--cpus-per-task=3",
        "--gpus-per-node=1",
        "--mem=3073M",
        "--time=30:00:01",
        "--nodelist=n1,n2",
        "--exclude=n3",
    }


def test_what_the_user_gave_wins_under_whatever_name() -> None:
    given: dict[str, str | None] = {
        "N": "4",
        "--exclusive": None,
        "qos": "fast",
        "gres-flags": "",
        "o": "mine.log",
        "Z": "1",
    }
    argv = SLURM.submit(submission(given, resources=Resources(nodes=2))).argv
    assert {"--nodes=4", "--exclusive", "--qos=fast", "--gres-flags", "--output=mine.log"} <= {
        *argv
    }
    assert "--nodes=2" not in argv
    assert argv[argv.index("-Z") + 1] == "1"


@pytest.mark.parametrize("name", ["wait", "W", "--wrap", "test-only", "M", "clusters", "parsable"])
def test_what_would_make_something_else_of_the_job_is_refused_by_name(name: str) -> None:
    with pytest.raises(LauncherError, match=name):
        SLURM.submit(submission({name: "x"}))
    with pytest.raises(LauncherError, match=name):
        SLURM.directives(submission({name: "x"}))


@pytest.mark.parametrize(
    ("arguments", "members", "array"),
    [
        ({}, 5, ["--array=0-4"]),
        ({"array": "%2"}, 5, ["--array=0-4%2"]),
        ({"a": "%2"}, 5, ["--array=0-4%2"]),
        ({"array": "%2"}, 0, []),
        ({}, 0, []),
        ({}, 0, []),
    ],
)
def test_an_array_has_its_indices_and_the_users_throttle(
    arguments: dict[str, str | None], members: int, array: list[str]
) -> None:
    argv = SLURM.submit(submission(arguments, members=members)).argv
    assert [word for word in argv if word.startswith("--array")] == array


@pytest.mark.parametrize("value", ["0-9", "%0", "", None])
def test_indices_of_an_array_are_not_the_users(value: str | None) -> None:
    with pytest.raises(LauncherError, match="%8"):
        SLURM.submit(submission({"array": value}, members=5))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {"--job-name=model", "--comment=model-k3f9"}),
        ({"J": "mine"}, {"--job-name=mine", "--comment=model-k3f9"}),
        ({"comment": "site"}, {"--job-name=model-k3f9", "--comment=site"}),
        ({"J": "mine", "comment": "site"}, {"--job-name=mine", "--comment=site model-k3f9"}),
    ],
)
def test_the_tag_is_found_whatever_names_and_comments_the_user_gives(
    arguments: dict[str, str | None], expected: set[str]
) -> None:
    argv = SLURM.submit(submission(arguments)).argv
    assert {word for word in argv if word.startswith(("--job-name", "--comment"))} == expected
    name, comment = (word.partition("=")[2] for word in sorted(expected, reverse=True))
    row = f"12|N/A|{name}|{comment}|\n"
    assert SLURM.parse_lookup(said(row), Tag("model-k3f9")) == ["12"]
    assert SLURM.parse_lookup(said(row), Tag("model-k3f")) == []
    assert SLURM.parse_lookup(said(row), Tag("odel-k3f9")) == []


def test_a_log_has_no_replacement_symbols_of_slurm() -> None:
    assert "--output=/a%%j b/log" in SLURM.submit(submission(log="/a%j b/log")).argv
    with pytest.raises(LauncherError, match="backslash"):
        SLURM.submit(submission(log="/a\\b/log"))


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1))
def test_directives_say_what_the_command_line_says(value: str) -> None:
    given: dict[str, str | None] = {"wckey": value, "exclusive": None, "Z": value}
    lines = SLURM.directives(submission(given))
    words = [word for line in lines for word in _directive(line)]
    assert words == [*SLURM.submit(submission(given)).argv[2:-1]]


def _directive(line: str) -> list[str]:
    # sbatch takes backslashes away inside of any quotes; see test_real_batch.py.
    lexer = shlex.shlex(line.removeprefix("#SBATCH"), posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.escapedquotes = True, "", "\"'"
    return list(lexer)


def test_a_job_is_requeued_unless_it_must_not_be_or_the_user_says_so() -> None:
    def said(requeue: bool, arguments: dict[str, str | None] | None = None) -> list[str]:
        asked = replace(submission(arguments), requeue=requeue)
        return [word for word in SLURM.submit(asked).argv if "requeue" in word]

    assert said(True) == []
    assert said(False) == ["--no-requeue"]
    assert said(False, {"requeue": None}) == ["--requeue"]


def test_clusters_are_named_where_the_user_chose_some() -> None:
    there = SlurmScheduler.configured({"SLURM_CLUSTERS": "west,east"})
    assert "--clusters=west,east" in there.submit(submission()).argv
    assert "--clusters=west,east" in there.lookup(Tag("t")).argv
    assert not any(word.startswith("--clusters") for word in SLURM.submit(submission()).argv)
    job = NativeId("12_3;west")
    for invocation in (there.query([job]), there.accounting([job]), there.cancel([job])):
        assert invocation is not None
        assert "--clusters=west" in invocation.argv


# -- the answer of sbatch ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stdout", "native"),
    [
        ("123\n", "123"),
        ("123;west\n", "123;west"),
        ("You will be charged for 12 nodes\n123\nbye\n", "123"),
        ("12 angry men\r\n 123 \n", "123"),
        ("\ufffd\ufffd\n123;cluster-1.b\n", "123;cluster-1.b"),
    ],
)
def test_the_id_is_read_whatever_stands_around_it(stdout: str, native: str) -> None:
    assert SLURM.parse_submit(said(stdout)) == native


@pytest.mark.parametrize("stdout", ["", "123\n124\n", "job 123\n", "123_4\n", "\uff11\uff12\n"])
def test_what_is_no_single_id_is_none(stdout: str) -> None:
    answer = SLURM.parse_submit(said(stdout))
    assert isinstance(answer, Refused)
    assert answer.kind is Refusal.AMBIGUOUS


def errors() -> Iterator[tuple[str, int, str]]:
    for block in (TRANSCRIPTS / "sbatch-errors.txt").read_text().split("--\n"):
        head, _, text = block.partition("\n")
        kind, code = head.split()
        yield kind, int(code), text


@pytest.mark.parametrize(("kind", "code", "text"), list(errors()))
def test_errors_of_sbatch_are_told_apart(kind: str, code: int, text: str) -> None:
    answer = SLURM.parse_submit(said("", text, code))
    assert isinstance(answer, Refused)
    assert answer.kind.value == kind
    last = text.removeprefix("sbatch: ").rpartition("error: ")[2]
    assert last.partition("\n")[0].strip() in answer.reason


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


def test_the_throttle_of_an_array_is_in_its_option() -> None:
    throttled = replace(submission({}, members=5), throttle=3)
    assert "--array=0-4%3" in SLURM.submit(throttled).argv
    assert "--array=0-4%2" in SLURM.submit(replace(throttled, arguments={"a": "%2"})).argv
