"""The functions by themselves: pure, total, and sure only of what is certain."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from smartcore.error import LauncherError
from smartcore.spec import Completed, State, Tag
from smartcore.spec.scheduler import (
    CommandLineScheduler,
    Invocation,
    JobRecord,
    NativeId,
    Outcome,
    Refusal,
    Refused,
    Submission,
    Unavailable,
)

from ..contract import case
from ..launcher.names import NAMES
from .base import SchedulerCases

# What commands have printed when something was wrong: (stdout, stderr, exit code).
ANSWERS = {
    "nothing": ("", "", 0),
    "nothing, failed": ("", "", 1),
    "killed": ("", "", -9),
    "a blank line": ("\n", "", 0),
    "words": ("no such thing\n", "", 0),
    "number and words": ("12 angry men\n", "", 0),
    "broken JSON": ('{"jobs": [{"id": ', "", 0),
    "JSON of another form": ("[1, 2, 3]\n", "", 0),
    "null": ("null\n", "", 0),
    "no UTF-8": ("\ufffd\ufffd\x00\ufffd\n", "", 0),
    "columns": ("|||||\n", "", 0),
    "error": ("", "error: something new went wrong\n", 1),
    "timeout": ("", "error: Socket timed out on send/recv operation\n", 1),
    "long": ("x" * 1_000_000, "", 0),
}
answers = pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
Said = tuple[str, str, int]


def _completed(answer: Said) -> Completed:
    out, err, code = answer
    return Completed(("command",), code, out, err)


class PureCases(SchedulerCases):
    def submission(self, plugin: CommandLineScheduler, name: str = "model") -> Submission:
        script = Path("/a b/script.sh")
        cleaned = plugin.clean_name(name)
        return Submission(cleaned, Tag("model-1"), script, Path("/a b/log"), Path("/a b"))

    @case("F16")
    def test_facts_are_complete(self, plugin: CommandLineScheduler) -> None:
        assert plugin.name
        assert plugin.variables.job_id
        assert plugin.variables.index
        assert all(isinstance(outcome, Outcome) for outcome in plugin.words.values())
        reached = {outcome.state for outcome in plugin.words.values()}
        assert {State.QUEUED, State.RUNNING, State.COMPLETED, State.FAILED} <= reached
        assert State.LOST not in reached, "only the core calls a job lost"

    @case("F16", "F17")
    @pytest.mark.parametrize("word", ["", "NEWLY_INVENTED", "?", "\ufffd", "COMPLETININVALID"])
    def test_a_word_that_is_not_known_is_no_end(
        self, plugin: CommandLineScheduler, word: str
    ) -> None:
        assert not plugin.outcome(JobRecord(NativeId("1"), word)).state.is_terminal

    @case("F25")
    def test_commands_are_the_same_every_time_and_everywhere(
        self, plugin: CommandLineScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def commands() -> list[object]:
            ids = [NativeId("1"), NativeId("2")]
            submission = self.submission(plugin)
            return [
                list(plugin.directives(submission)),
                plugin.submit(submission),
                plugin.lookup(Tag("model-1")),
                plugin.query(ids),
                plugin.accounting(ids),
                plugin.cancel(ids),
            ]

        before = commands()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("USER", "somebody")
        monkeypatch.setenv(plugin.variables.job_id, "77")
        environment = dict(os.environ)
        assert commands() == before
        assert dict(os.environ) == environment
        for invocation in before[1:]:
            assert invocation is None or _is_command(invocation)

    @case("F30")
    def test_directives_are_lines_of_comments(self, plugin: CommandLineScheduler) -> None:
        for line in plugin.directives(self.submission(plugin)):
            assert line.startswith("#")
            assert "\n" not in line

    @case("F11")
    def test_the_tag_is_in_what_is_submitted(self, plugin: CommandLineScheduler) -> None:
        submission = self.submission(plugin)
        said = [*plugin.directives(submission), *plugin.submit(submission).argv]
        assert any(submission.tag in each for each in said)

    @case("F25", "F12")
    @pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
    def test_a_cleaned_name_is_harmless_and_stays_as_it_is(
        self, plugin: CommandLineScheduler, name: str
    ) -> None:
        cleaned = plugin.clean_name(name)
        assert cleaned
        assert cleaned.isprintable()
        assert not set(cleaned) & set("\"'`$;&|<>#\n ")
        assert not cleaned.startswith("-")
        assert plugin.clean_name(cleaned) == cleaned

    @case("F11", "F12", "F28")
    @answers
    def test_a_submit_that_cannot_be_read_is_never_certain(
        self, plugin: CommandLineScheduler, answer: Said
    ) -> None:
        found = plugin.parse_submit(_completed(answer))
        assert isinstance(found, Refused), f"{found!r} was taken for an id"
        assert found.kind is Refusal.AMBIGUOUS
        assert found.reason or not (answer[0].strip() or answer[1].strip())

    @case("F01", "F28")
    @answers
    def test_a_question_that_was_not_answered_is_an_error_or_no_job(
        self, plugin: CommandLineScheduler, answer: Said
    ) -> None:
        completed = _completed(answer)
        parsers: list[Callable[[], object]] = [
            lambda: list(plugin.parse_query(completed)),
            lambda: list(plugin.parse_lookup(completed, Tag("model-1"))),
        ]
        for parse in parsers:
            try:
                found = parse()
            except LauncherError as error:
                assert str(error)
            else:
                assert found == []

    @case("F01")
    def test_a_query_that_failed_without_an_answer_is_an_error(
        self, plugin: CommandLineScheduler
    ) -> None:
        refused = _completed(("", "error: connection refused by the server\n", 1))
        with pytest.raises(LauncherError):
            list(plugin.parse_query(refused))
        with pytest.raises(LauncherError):
            list(plugin.parse_lookup(refused, Tag("model-1")))

    @case("F05", "F28")
    @answers
    def test_accounting_that_was_not_answered_is_an_error_or_no_job(
        self, plugin: CommandLineScheduler, answer: Said
    ) -> None:
        try:
            found = plugin.parse_accounting(_completed(answer))
        except LauncherError as error:
            assert str(error)
        else:
            assert isinstance(found, Unavailable) or list(found) == []

    @case("F09")
    def test_a_cancel_names_every_job(self, plugin: CommandLineScheduler) -> None:
        names = [str(number) for number in range(1001, 1021)]
        argv = plugin.cancel([NativeId(name) for name in names]).argv
        assert all(any(name in word for word in argv) for name in names)

    @case("F13")
    def test_members_of_an_array_have_ids_of_their_own(self, plugin: CommandLineScheduler) -> None:
        job = NativeId("123")
        keys = [plugin.key(plugin.member(job, index)) for index in range(20)]
        assert len({*keys, plugin.key(job)}) == 21
        scopes = {plugin.scope(plugin.member(job, index)) for index in range(20)}
        assert scopes == {plugin.scope(job)}


def _is_command(value: object) -> bool:
    if not isinstance(value, Invocation):
        return False
    words: Sequence[object] = value.argv
    return bool(words) and all(isinstance(word, str) and word for word in words)
