"""What is seen of a database from outside; see also ``tests/cli/test_db.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartcore.error import DatabaseError
from smartcore.launch.run import Run
from smartcore.spec import Command, State, Status, Step, Tag
from smartcore.viewing import DatabaseView, choose

HERE = Path("/exp")


def view(*states: State, name: str = "db") -> DatabaseView:
    runs = []
    for index, state in enumerate(states):
        step = Step(f"{name}_{index}", Tag(f"t{index}"), Command(()), HERE, HERE, HERE)
        runs.append(Run(step, "DBNode"))
        runs[-1].status = Status(state)
    return DatabaseView(name, HERE / name / "smartcore_db.json", tuple(runs))


@pytest.mark.parametrize(
    ("states", "text", "running"),
    [
        ((), "Unknown", False),
        ((State.RUNNING,) * 3, "Running", True),
        ((State.RUNNING, State.QUEUED), "Queued", True),
        ((State.RUNNING, State.FAILED, State.RUNNING), "2 of 3 run", True),
        ((State.CANCELLED, State.FAILED), "Failed", False),
        ((State.CANCELLED, State.CANCELLED), "Cancelled", False),
    ],
)
def test_the_state_is_that_of_all_shards(
    states: tuple[State, ...], text: str, running: bool
) -> None:
    found = view(*states)
    assert (found.state, found.running) == (text, running)


def test_one_is_chosen_by_name_and_all_without_one() -> None:
    views = [view(State.RUNNING), view(State.RUNNING, name="other")]
    assert choose(views, None, HERE) == views
    assert choose(views, "other", HERE) == views[1:]
    with pytest.raises(DatabaseError, match="no database 'nope' in /exp; there are: db, other"):
        choose(views, "nope", HERE)
    with pytest.raises(DatabaseError, match="no database was started in /exp"):
        choose([], None, HERE)
