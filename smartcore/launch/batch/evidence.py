"""What the evidence about one step means: pure.

The exit record decides the exit code. The scheduler's reason for an end, if it is one that a
program cannot know of (time limit, memory, node, preemption, cancel), decides state and cause. What
belongs to an earlier incarnation of a requeued job is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from smartcore.launch.batch.record import ExitRecord
from smartcore.launch.process import signal_name
from smartcore.spec import TERMINAL_STATES, Cause, Source, State, Status
from smartcore.spec.scheduler import JobRecord, Outcome

# As a tuple: asked for every job at every query, and comparing is quicker than hashing an Enum.
_TERMINAL: Final = tuple(TERMINAL_STATES)
_DECIDING_STATES: Final = frozenset({State.TIMEOUT, State.CANCELLED})
_DECIDING_CAUSES: Final = frozenset({Cause.OUT_OF_MEMORY, Cause.NODE_FAILURE, Cause.PREEMPTED})


@dataclass(frozen=True, slots=True)
class Word:
    """What a scheduler said about a step, and what it means.

    :param record: what was said
    :param outcome: what the plugin says that it means
    :param source: the queue or the accounting
    """

    record: JobRecord
    outcome: Outcome
    source: Source = Source.SCHEDULER

    @property
    def terminal(self) -> bool:
        """True if it tells of an end."""
        return self.outcome.state in _TERMINAL

    @property
    def decides(self) -> bool:
        """True if it tells of an end that the program cannot know of."""
        outcome = self.outcome
        return self.terminal and (
            outcome.state in _DECIDING_STATES or outcome.cause in _DECIDING_CAUSES
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known about one step.

    :param queue: what the queue said last; None if it does not know the step
    :param accounting: the same of the accounting
    :param record: the exit record
    :param stopped: its end was asked for
    :param settled: nothing better is to be expected by now
    :param alone: the job has no other step, so that the job's end is the step's
    :param newer: the exit record was seen after the queue was asked
    :param begun: it left a trace of having begun
    """

    queue: Word | None = None
    accounting: Word | None = None
    record: ExitRecord | None = None
    stopped: bool = False
    settled: bool = False
    alone: bool = True
    newer: bool = False
    begun: bool = False


def decide(evidence: Evidence) -> Status | None:
    """The status that follows; None if nothing is known about the step at all.

    Of a step that has left the queue, and whose end is not certain yet, nothing is known.
    """
    queue, record = evidence.queue, current(evidence)
    if record is not None and record.conclusive:
        return _by_record(record, stopped=False)
    if queue is not None and not queue.terminal:
        if record is not None and evidence.settled:
            return _by_record(record, stopped=evidence.stopped)
        return active(queue, record)
    ended = _ended(evidence, record)
    if ended is None and queue is not None:
        return active(queue, record)
    return ended


def _ended(evidence: Evidence, record: ExitRecord | None) -> Status | None:
    stopped, settled = evidence.stopped, evidence.settled
    both = (evidence.queue, evidence.accounting)
    words = [word for word in both if word is not None and word.terminal]
    # What the queue is vague about, the accounting may know.
    words.sort(key=lambda word: word.record.vague)
    deciding = next((word for word in words if word.decides), None)
    if deciding is not None:
        if deciding.record.vague and not settled and not stopped:
            return None
        return _by_scheduler(deciding, record, stopped=stopped)
    if record is not None:
        return _by_record(record, stopped=stopped) if words or settled else None
    if words:
        return _by_word(words[-1], alone=evidence.alone, stopped=stopped) if settled else None
    if stopped and (settled or not evidence.begun):
        reason = "left the queue after it was cancelled"
        return Status(State.CANCELLED, None, Cause.STOPPED, reason, Source.SCHEDULER)
    return None


def current(evidence: Evidence) -> ExitRecord | None:
    """The exit record, unless it is one of an earlier incarnation."""
    record = evidence.record
    if record is None:
        return None
    queue = evidence.queue
    if queue is not None and queue.outcome.state is State.QUEUED and not evidence.newer:
        return None  # it waits to begin again
    for word in (queue, evidence.accounting):
        restarts = None if word is None else word.record.restarts
        if restarts is not None and record.restarts is not None and record.restarts < restarts:
            return None
    return record


def active(word: Word, record: ExitRecord | None = None) -> Status:
    """The status of a step that has not ended, or not certainly."""
    state = word.outcome.state
    reason = word.record.reason
    if state.is_terminal:  # its exit record may still be on its way through the file system
        state, reason = State.RUNNING, f"{word.record.state}; waiting for its exit record"
    elif state is State.UNKNOWN:
        reason = f"{word.record.state}: not a state that this version knows"
    elif record is not None:
        reason = f"{word.record.state}; its program has ended"
    return Status(
        state, None, None, reason, word.source, host=word.record.host, elapsed=word.record.elapsed
    )


def _by_scheduler(word: Word, record: ExitRecord | None, *, stopped: bool) -> Status:
    said, outcome = word.record, word.outcome
    returncode = said.returncode if record is None else record.returncode
    cause = Cause.STOPPED if outcome.state is State.CANCELLED and stopped else outcome.cause
    if outcome.state is State.CANCELLED and returncode == 0:
        returncode = None  # schedulers print 0 for what never ran to its end
    reason = said.reason or said.state
    host = said.host or (record.host if record else "")
    elapsed = said.elapsed or (record.elapsed if record else None)
    return Status(outcome.state, returncode, cause, reason, word.source, host=host, elapsed=elapsed)


def _by_record(record: ExitRecord, *, stopped: bool) -> Status:
    status = _by_code(record.returncode, stopped=stopped)
    if record.unsure:
        name = signal_name(record.returncode - 128)
        doubt = f", or killed by {name}: the job's shell could not tell"
        status = replace(status, reason=status.reason + doubt)
    return replace(status, source=Source.RECORD, host=record.host, elapsed=record.elapsed)


def _by_word(word: Word, *, alone: bool, stopped: bool) -> Status:
    said, outcome = word.record, word.outcome
    if outcome.state is State.COMPLETED or said.returncode is None or not alone:
        reason = said.reason or said.state
        if not alone and outcome.state is not State.COMPLETED:
            reason = f"the job's end: {reason}; this step left no exit record"
        cause = outcome.cause
        returncode = said.returncode if alone else None
        status = Status(outcome.state, returncode, cause, reason)
    else:
        status = _by_code(said.returncode, stopped=stopped)
        if status.state is State.COMPLETED:  # failed with code 0: the scheduler knows better
            status = Status(outcome.state, None, outcome.cause, said.reason or said.state)
    return replace(status, source=word.source, host=said.host, elapsed=said.elapsed)


def _by_code(returncode: int, *, stopped: bool) -> Status:
    if returncode == 0:
        return Status(State.COMPLETED, 0)
    if returncode > 0:
        if stopped:
            return Status(State.CANCELLED, returncode, Cause.STOPPED)
        return Status(State.FAILED, returncode, Cause.EXIT_CODE, f"exit code {returncode}")
    reason = f"killed by {signal_name(-returncode)}"
    if stopped:
        return Status(State.CANCELLED, returncode, Cause.STOPPED, reason)
    return Status(State.FAILED, returncode, Cause.SIGNAL, reason)


def combine(parts: list[Status]) -> Status:
    """The status of a job from those of all of its steps."""
    going = [status for status in parts if not status.is_terminal]
    if going:
        running = [status for status in going if status.state is not State.QUEUED]
        ended = len(parts) - len(going)
        first = (running or going)[0]
        state = State.RUNNING if ended and first.state is State.QUEUED else first.state
        return replace(first, state=state, returncode=None, cause=None)
    bad = [status for status in parts if status.state is not State.COMPLETED]
    if not bad:
        return replace(parts[0], returncode=0)
    reason = bad[0].reason
    if len(parts) > 1:
        reason = f"{len(bad)} of {len(parts)} steps did not complete; the first: {reason}"
    return replace(bad[0], reason=reason)
