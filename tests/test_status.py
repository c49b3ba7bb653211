from __future__ import annotations

import pytest

from smartcore.spec import TERMINAL_STATES, State
from smartcore.status import TERMINAL_STATUSES, SmartcoreStatus, SmartSimStatus, from_state


@pytest.mark.parametrize("state", [state for state in State if state is not State.UNKNOWN])
def test_every_state_reads_as_a_status_that_has_ended_when_the_state_has(state: State) -> None:
    assert (from_state(state) in TERMINAL_STATUSES) == (state in TERMINAL_STATES)


@pytest.mark.parametrize("state", [State.TIMEOUT, State.LOST, State.FAILED])
def test_a_job_out_of_time_or_lost_reads_as_failed(state: State) -> None:
    assert from_state(state) is SmartcoreStatus.STATUS_FAILED


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (State.RUNNING, SmartcoreStatus.STATUS_RUNNING),
        (State.QUEUED, SmartcoreStatus.STATUS_QUEUED),
        (State.UNKNOWN, SmartcoreStatus.STATUS_NEW),
    ],
)
def test_an_unknown_state_reads_as_the_last_known(last: State, expected: SmartcoreStatus) -> None:
    assert from_state(State.UNKNOWN, last) is expected


def test_a_known_state_wins_over_the_last_one() -> None:
    assert from_state(State.COMPLETED, State.RUNNING) is SmartcoreStatus.STATUS_COMPLETED


def test_the_values_are_those_that_drivers_compare_with() -> None:
    assert {status.name: status.value for status in SmartSimStatus} == {
        "STATUS_RUNNING": "Running",
        "STATUS_COMPLETED": "Completed",
        "STATUS_CANCELLED": "Cancelled",
        "STATUS_FAILED": "Failed",
        "STATUS_NEW": "New",
        "STATUS_PAUSED": "Paused",
        "STATUS_NEVER_STARTED": "NeverStarted",
        "STATUS_QUEUED": "Queued",
    }


def test_a_status_prints_as_its_value() -> None:
    assert f"{SmartcoreStatus.STATUS_COMPLETED}" == "Completed"
