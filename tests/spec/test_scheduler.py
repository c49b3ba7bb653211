from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.error import LauncherUnsupportedFeature
from smartcore.launch.keeping import KeeperProcesses
from smartcore.spec import (
    CommandLineScheduler,
    Completed,
    Invocation,
    JobRecord,
    LauncherContext,
    NativeId,
    Outcome,
    Refusal,
    Refused,
    State,
    Submission,
    SubmitAnswer,
    Tag,
    Unavailable,
    Variables,
)


class Least(CommandLineScheduler):
    """As little as a plugin can say."""

    name = "least"
    variables = Variables(set_by_jobs=("L_*",), job_id="L_ID", index="L_INDEX")
    words = {"R": Outcome(State.RUNNING)}  # noqa: RUF012

    def directives(self, submission: Submission, /) -> Sequence[str]:
        return []

    def submit(self, submission: Submission, /) -> Invocation:
        return Invocation(("lsub",), submission.script)

    def parse_submit(self, completed: Completed, /) -> SubmitAnswer:
        return Refused(Refusal.AMBIGUOUS, completed.stderr)

    def lookup(self, tag: Tag, /) -> Invocation:
        return Invocation(("lfind", tag))

    def parse_lookup(self, completed: Completed, tag: Tag, /) -> Sequence[NativeId]:
        return []

    def query(self, ids: Sequence[NativeId], /) -> Invocation:
        return Invocation(("lstat", *ids))

    def parse_query(self, completed: Completed, /) -> Sequence[JobRecord]:
        return []

    def cancel(self, ids: Sequence[NativeId], /) -> Invocation:
        return Invocation(("ldel", *ids))


LEAST = Least()


def test_there_is_no_accounting_unless_a_plugin_says_so() -> None:
    assert LEAST.accounting([NativeId("1")]) is None
    answer = LEAST.parse_accounting(Completed((), 0, "", ""))
    assert isinstance(answer, Unavailable)


@given(st.text())
def test_a_word_that_is_in_no_table_is_unknown(word: str) -> None:
    """F16, F17."""
    outcome = LEAST.outcome(JobRecord(NativeId("1"), word))
    assert outcome.state is (State.RUNNING if word == "R" else State.UNKNOWN)


@given(st.text())
def test_a_cleaned_name_is_a_plain_word(name: str) -> None:
    cleaned = LEAST.clean_name(name)
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", cleaned)
    assert LEAST.clean_name(cleaned) == cleaned


def test_ids_are_compared_as_they_are_and_in_one_scope_by_default() -> None:
    """F13, F14."""
    assert LEAST.key(NativeId("123.server")) == "123.server"
    assert LEAST.scope(NativeId("123;cluster")) == ""
    assert LEAST.member(NativeId("123"), 4) == "123_4"


def test_a_context_without_the_service_says_so(tmp_path: Path) -> None:
    context = LauncherContext("exp", tmp_path, KeeperProcesses(tmp_path, tmp_path))
    with pytest.raises(LauncherUnsupportedFeature, match="least"):
        context.batch(LEAST)
