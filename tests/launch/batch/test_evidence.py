from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.launch.batch.evidence import Evidence, Word, combine, decide
from smartcore.launch.batch.record import ExitRecord
from smartcore.spec import Cause, JobRecord, NativeId, Outcome, Source, State, Status
from smartcore.testing.fakewlm.scheduler import FakeScheduler

SCHEDULER = FakeScheduler()


def word(
    state: str,
    *,
    restarts: int | None = None,
    code: int | None = None,
    source: Source = Source.SCHEDULER,
) -> Word:
    record = JobRecord(NativeId("12"), state, code, restarts=restarts)
    return Word(record, SCHEDULER.outcome(record), source)


def status(evidence: Evidence) -> Status:
    found = decide(evidence)
    assert found is not None
    return found


def test_nothing_known_is_nothing_said() -> None:
    assert decide(Evidence()) is None
    assert decide(Evidence(settled=True)) is None


def test_the_record_decides_the_code() -> None:
    found = status(Evidence(word("FAILED", code=1), record=ExitRecord(7)))
    assert (found.state, found.returncode, found.source) == (State.FAILED, 7, Source.RECORD)


def test_a_clean_record_needs_no_word_of_the_scheduler() -> None:
    assert status(Evidence(word("RUNNING"), record=ExitRecord(0))).state is State.COMPLETED


@pytest.mark.parametrize(
    ("said", "state", "cause"),
    [
        ("TIMEOUT", State.TIMEOUT, Cause.TIME_LIMIT),
        ("OUT_OF_MEMORY", State.FAILED, Cause.OUT_OF_MEMORY),
        ("NODE_FAIL", State.FAILED, Cause.NODE_FAILURE),
        ("PREEMPTED", State.FAILED, Cause.PREEMPTED),
        ("CANCELLED by 1000", State.CANCELLED, None),
    ],
)
@pytest.mark.parametrize("where", ["queue", "accounting"])
def test_the_schedulers_reason_decides_state_and_cause(
    said: str, state: State, cause: Cause | None, where: str
) -> None:
    """F17, F19, F20: a wrapper that got TERM writes 143 whatever the reason was."""
    record = ExitRecord(-15, interrupted=True)
    evidence = Evidence(record=record)
    if where == "queue":
        evidence = replace(evidence, queue=word(said))
    else:
        evidence = replace(evidence, accounting=word(said, source=Source.ACCOUNTING))
    found = status(evidence)
    assert (found.state, found.cause, found.returncode) == (state, cause, -15)


@pytest.mark.parametrize("record", [ExitRecord(3), ExitRecord(-9), ExitRecord(0, True)])
def test_a_code_that_may_have_a_reason_waits_for_it(record: ExitRecord) -> None:
    assert not status(Evidence(word("RUNNING"), record=record)).is_terminal
    assert decide(Evidence(record=record)) is None
    assert status(Evidence(word("RUNNING"), record=record, settled=True)).is_terminal
    assert status(Evidence(record=record, settled=True)).is_terminal


def test_a_record_of_an_earlier_incarnation_is_ignored() -> None:
    """F18."""
    old = ExitRecord(0, restarts=0)
    assert not status(Evidence(word("RUNNING", restarts=1), record=old)).is_terminal
    assert not status(Evidence(word("PENDING"), record=old)).is_terminal
    assert decide(Evidence(None, word("PENDING", restarts=1), record=old, settled=True)) is None


def test_a_record_that_is_newer_than_the_queues_answer_counts() -> None:
    evidence = Evidence(word("PENDING"), record=ExitRecord(0), newer=True)
    assert status(evidence).state is State.COMPLETED


@pytest.mark.parametrize("said", ["REBOOTING", "CANCELLED+", "", "COMPLETININVALID"])
def test_an_unknown_word_is_unknown_and_never_an_end(said: str) -> None:
    """F16, F17."""
    found = status(Evidence(word(said), settled=True))
    assert found.state is State.UNKNOWN
    assert said in found.reason


def test_an_end_without_a_record_is_believed_when_the_record_had_its_time() -> None:
    """F21."""
    early = Evidence(word("DONE", code=0))
    assert not status(early).is_terminal
    late = status(replace(early, settled=True))
    assert (late.state, late.returncode, late.source) == (State.COMPLETED, 0, Source.SCHEDULER)


def test_a_step_of_several_does_not_get_the_jobs_code() -> None:
    found = status(Evidence(word("FAILED", code=1), settled=True, alone=False))
    assert (found.state, found.returncode) == (State.FAILED, None)
    assert "no exit record" in found.reason


def test_what_was_stopped_is_cancelled_unless_it_had_completed() -> None:
    killed = Evidence(word("FAILED"), record=ExitRecord(-9), stopped=True)
    assert status(killed).state is State.CANCELLED
    assert status(killed).cause is Cause.STOPPED
    assert status(replace(killed, record=ExitRecord(0))).state is State.COMPLETED
    assert status(Evidence(stopped=True)).state is State.CANCELLED
    assert decide(Evidence(stopped=True, begun=True)) is None


def test_a_cancelled_job_without_a_record_has_no_code_of_success() -> None:
    found = status(Evidence(None, word("CANCELLED by 0", code=0)))
    assert (found.state, found.returncode) == (State.CANCELLED, None)


def test_a_code_that_may_have_been_a_signal_is_told_as_both() -> None:
    found = status(Evidence(word("FAILED"), record=ExitRecord(130, unsure=True)))
    assert (found.returncode, found.cause) == (130, Cause.EXIT_CODE)
    assert "exit code 130, or killed by SIGINT" in found.reason


WORDS = [None, *(word(name) for name in [*SCHEDULER.words, "NONSENSE"])]
RECORDS = [None, ExitRecord(0), ExitRecord(1), ExitRecord(-15, True)]


def test_no_evidence_makes_a_completion_of_nothing() -> None:
    """F03: every combination."""
    flags = [False, True]
    for queue, later, record, settled, stopped, newer in product(
        WORDS, WORDS, RECORDS, flags, flags, flags
    ):
        found = decide(Evidence(queue, later, record, stopped, settled, newer=newer))
        if found is None or found.state is not State.COMPLETED:
            continue
        said = {one.record.state for one in (queue, later) if one is not None}
        assert (record is not None and record.returncode == 0) or "DONE" in said
        assert found.returncode in {0, None}


def test_no_evidence_of_life_is_an_end() -> None:
    """F01, F03."""
    for queue, stopped in product(WORDS, [False, True]):
        if queue is not None and not queue.terminal:
            assert not status(Evidence(queue, stopped=stopped, settled=True)).is_terminal


@given(st.lists(st.sampled_from(list(State)), min_size=1, max_size=5))
def test_a_job_has_ended_when_all_its_steps_have(states: list[State]) -> None:
    parts = [Status(state) for state in states]
    whole = combine(parts)
    assert whole.is_terminal == all(state.is_terminal for state in states)
    assert (whole.state is State.COMPLETED) == (set(states) == {State.COMPLETED})


def test_the_default_outcome_of_a_word_is_in_the_table() -> None:
    assert SCHEDULER.outcome(JobRecord(NativeId("1"), "DONE")) == Outcome(State.COMPLETED)


def vague() -> Word:
    said = word("CANCELLED")
    return replace(said, record=replace(said.record, vague=True))


def test_what_the_queue_is_vague_about_the_accounting_tells() -> None:
    first = status(Evidence(vague(), record=ExitRecord(-15)))
    assert not first.is_terminal
    told = word("CANCELLED by 1000", source=Source.ACCOUNTING)
    both = status(Evidence(vague(), told, ExitRecord(-15)))
    assert (both.state, both.reason) == (State.CANCELLED, "CANCELLED by 1000")


def test_who_stopped_it_himself_need_not_wait_to_hear_by_whom() -> None:
    assert status(Evidence(vague(), stopped=True)).cause is Cause.STOPPED


def test_a_vague_word_is_taken_when_nothing_better_comes() -> None:
    assert status(Evidence(vague(), settled=True)).state is State.CANCELLED
