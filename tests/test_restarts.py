"""What is told of a database that has died, as far as no server is needed."""

from __future__ import annotations

import pytest

from smartcore.restarts import perhaps_out_of_memory
from smartcore.spec import State, Status


@pytest.mark.parametrize(
    ("state", "code", "perhaps"),
    [
        (State.FAILED, -9, True),
        (State.FAILED, 137, True),
        (State.CANCELLED, 137, False),  # scancel kills what does not end at once
        (State.FAILED, 1, False),
    ],
)
def test_a_lack_of_memory_is_thought_of_where_nobody_asked_for_the_kill(
    state: State, code: int, perhaps: bool
) -> None:
    assert perhaps_out_of_memory(Status(state, code)) is perhaps
