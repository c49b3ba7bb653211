"""How jobs are submitted to Slurm, and what sbatch answers; its errors are of Slurm 22.05."""

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
from smartcore.spec import Completed, Resources, Tag
from smartcore.spec.scheduler import (
    NativeId,
    Refusal,
    Refused,
    Submission,
)
from smartcore_slurm.scheduler import SlurmScheduler

TRANSCRIPTS = Path(__file__).parent / "transcripts"
SLURM = SlurmScheduler()


def said(stdout: str = "", stderr: str = "", code: int = 0) -> Completed:
    return Completed(("sbatch",), code, stdout, stderr)


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


def test_the_throttle_of_an_array_is_in_its_option() -> None:
    throttled = replace(submission({}, members=5), throttle=3)
    assert "--array=0-4%3" in SLURM.submit(throttled).argv
    assert "--array=0-4%2" in SLURM.submit(replace(throttled, arguments={"a": "%2"})).argv
