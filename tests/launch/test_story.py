"""What is concluded from journals about runs whose end says too little."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from smartcore.launch.run import MODEL, SHARD, Run
from smartcore.launch.story import heed
from smartcore.spec import Cause, Command, State, Status, Step, Tag

STEP = Step("it", Tag("tag"), Command(("it",)), Path("/"), Path("/out"), Path("/err"))


@pytest.mark.parametrize(
    ("kind", "state", "after"),
    [
        (MODEL, State.LOST, State.CANCELLED),
        (MODEL, State.COMPLETED, State.COMPLETED),
        (MODEL, State.FAILED, State.FAILED),
        (SHARD, State.LOST, State.CANCELLED),
        (SHARD, State.COMPLETED, State.CANCELLED),
        (SHARD, State.FAILED, State.FAILED),
    ],
)
def test_what_a_shell_stopped_is_cancelled_unless_it_says_how_it_ended(
    kind: str, state: State, after: State
) -> None:
    run = Run(STEP, kind, status=Status(state))
    heed(run, {Tag("another")})
    assert run.status.state is state
    heed(run, {STEP.tag})
    assert run.status.state is after
    if after is State.CANCELLED:
        assert run.status == replace(Status(after), cause=Cause.STOPPED, seen=run.status.seen)
