"""The plugin's part for the fake workload manager, broken in one way each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from smartcore.error import LauncherError
from smartcore.spec import Cause, Completed, State, Tag
from smartcore.spec.scheduler import (
    Invocation,
    JobRecord,
    NativeId,
    Outcome,
    Refusal,
    Refused,
    Submission,
    SubmitAnswer,
)
from smartcore.testing.fakewlm.scheduler import FakeScheduler


class SoundScheduler(FakeScheduler):
    """Nothing is wrong with it."""


class TakesTheLastWord(FakeScheduler):
    def parse_submit(self, completed: Completed, /) -> SubmitAnswer:
        words = completed.stdout.split()
        return NativeId(words[-1]) if words else Refused(Refusal.AMBIGUOUS, "nothing")


class IsSureOfEveryError(FakeScheduler):
    def parse_submit(self, completed: Completed, /) -> SubmitAnswer:
        answer = super().parse_submit(completed)
        if isinstance(answer, Refused):
            return Refused(Refusal.PERMANENT, answer.reason)
        return answer


class TriesForEver(FakeScheduler):
    def parse_submit(self, completed: Completed, /) -> SubmitAnswer:
        answer = super().parse_submit(completed)
        if isinstance(answer, Refused):
            return Refused(Refusal.TRANSIENT, answer.reason)
        return answer


class SubmitsWithoutATag(FakeScheduler):
    def directives(self, submission: Submission, /) -> Sequence[str]:
        lines = super().directives(submission)
        return [line for line in lines if submission.tag not in line]


class LooksUpPrefixes(FakeScheduler):
    def lookup(self, tag: Tag, /) -> Invocation:
        return Invocation(("fstat", "--json"))

    def parse_lookup(self, completed: Completed, tag: Tag, /) -> Sequence[NativeId]:
        rows = [row for row in completed.stdout.splitlines() if tag in row]
        return [
            record.id for record in self.parse_query(replace(completed, stdout="\n".join(rows)))
        ]


class CallsTheNewFailed(FakeScheduler):
    def outcome(self, record: JobRecord, /) -> Outcome:
        return self.words.get(record.state, Outcome(State.FAILED, Cause.EXIT_CODE))


class ReadsFailuresAsEmpty(FakeScheduler):
    def parse_query(self, completed: Completed, /) -> Sequence[JobRecord]:
        try:
            return super().parse_query(completed)
        except LauncherError:
            return []


class CrashesOnGarbage(FakeScheduler):
    def parse_query(self, completed: Completed, /) -> Sequence[JobRecord]:
        return [JobRecord(NativeId(line.split()[3]), "") for line in completed.stdout.splitlines()]


class KeepsTheUsersFormats(FakeScheduler):
    variables = replace(FakeScheduler.variables, format_queries=())


class InheritsTheOuterJob(FakeScheduler):
    variables = replace(FakeScheduler.variables, set_by_jobs=())


class CleansNoName(FakeScheduler):
    def clean_name(self, name: str, /) -> str:
        return name


class KnowsNoClusters(FakeScheduler):
    def scope(self, native: NativeId, /) -> str:
        return ""


class GivesMembersOneId(FakeScheduler):
    def member(self, native: NativeId, index: int, /) -> NativeId:
        return native


class CancelsTheFirstOnly(FakeScheduler):
    def cancel(self, ids: Sequence[NativeId], /) -> Invocation:
        return super().cancel(ids[:1])


class ForgetsTheLimit(FakeScheduler):
    def directives(self, submission: Submission, /) -> Sequence[str]:
        return [line for line in super().directives(submission) if "--time" not in line]


class RequeuesWhatMustNotBe(FakeScheduler):
    def directives(self, submission: Submission, /) -> Sequence[str]:
        return super().directives(replace(submission, requeue=True))


class CallsTimeoutsFailed(FakeScheduler):
    def outcome(self, record: JobRecord, /) -> Outcome:
        found = super().outcome(record)
        late = found.state is State.TIMEOUT
        return Outcome(State.FAILED, Cause.EXIT_CODE) if late else found


class CallsTheRequeuedFailed(FakeScheduler):
    def outcome(self, record: JobRecord, /) -> Outcome:
        if record.reason == "Requeued":
            return Outcome(State.FAILED, Cause.PREEMPTED)
        return super().outcome(record)


class AsksForEachJob(FakeScheduler):
    rates = replace(FakeScheduler.rates, query_chunk=1)
