"""Deaths of databases next to models, as their nodes tell of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from smartcore.database.besides import Besides
from smartcore.launch.notes import DIRECTORY, Notes
from smartcore.launch.run import MODEL, Run
from smartcore.spec import Command, State, Status, Step, Tag
from smartcore.testing.running import wait_until

FACTS = {"model": "m"}


def run_of(tag: str, path: Path, name: str = "m") -> Run:
    run = Run(Step(name, Tag(tag), Command(()), path, path, path), MODEL)
    run.status = Status(State.RUNNING)
    return run


def note(path: Path, launch: str = "m-1", node: str = "n7") -> Notes:
    made = Notes(str(path / DIRECTORY / launch), node)
    made.serves(f"m-db-{node}", "127.0.0.1", 7000, "", FACTS)
    return made


def die(notes: Notes, path: Path, node: str = "n7", *, told: bool = False) -> None:
    log = path / f"m-db-{node}.log"
    log.write_text("its last words\n")
    notes.died(f"m-db-{node}", "was killed by SIGKILL", -9, str(log), told=told)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return run_of("m-1", tmp_path)


@pytest.fixture
def besides(tmp_path: Path, run: Run) -> Iterator[Besides]:
    made = Besides(tmp_path, {run.name: run})
    yield made
    made.stop()


def test_each_death_is_told_once_while_the_model_runs(
    tmp_path: Path, run: Run, besides: Besides, caplog: pytest.LogCaptureFixture
) -> None:
    besides.add({run.step.tag: run.name})
    first, second = note(tmp_path), note(tmp_path, node="n8")
    die(first, tmp_path)
    wait_until(lambda: "n7" in caplog.text)
    besides.add({Tag("other-1"): "m"})  # what was told already is not told again
    die(second, tmp_path, "n8")
    wait_until(lambda: "n8" in caplog.text)
    besides.ended(run)
    assert caplog.messages == [
        f"m-db-{node} on {node} was killed by SIGKILL, and the model m went on without it: its"
        f" data are gone; {tmp_path}/m-db-{node}.log ends with:\n    its last words"
        for node in ("n7", "n8")
    ]


def test_one_that_died_just_before_its_model_is_told_of_at_the_models_end(
    tmp_path: Path, run: Run, besides: Besides, caplog: pytest.LogCaptureFixture
) -> None:
    besides.add({run.step.tag: run.name})
    besides.stop()  # as if it had not looked meanwhile
    die(note(tmp_path), tmp_path)
    besides.ended(run_of("x-1", tmp_path, "x"))
    assert not caplog.messages
    besides.ended(run)
    assert [text for text in caplog.messages if "m-db-n7 on n7 was killed" in text]


def test_the_death_beside_each_attempt_is_told_once(
    tmp_path: Path, run: Run, besides: Besides, caplog: pytest.LogCaptureFixture
) -> None:
    besides.add({run.step.tag: run.name})
    besides.stop()
    notes = note(tmp_path)
    die(notes, tmp_path)
    besides.ended(run)
    again = run_of("m-2", tmp_path)
    again.run_id = 1
    besides.ended(again)
    assert len(caplog.messages) == 1
    die(notes, tmp_path)  # what the second attempt has is on the same node
    besides.ended(again)
    assert len(caplog.messages) == 2


def test_a_model_that_ended_before_anybody_looked_after_it_is_no_exception(
    tmp_path: Path, run: Run, besides: Besides, caplog: pytest.LogCaptureFixture
) -> None:
    die(note(tmp_path), tmp_path)
    run.status = Status(State.COMPLETED)
    besides.ended(run)
    besides.add({run.step.tag: run.name})
    assert [text for text in caplog.messages if "m-db-n7 on n7 was killed" in text]


def test_where_nothing_can_be_written_models_are_looked_after_in_vain(
    tmp_path: Path, run: Run, besides: Besides
) -> None:
    (tmp_path / ".smartcore").touch()
    besides.add({run.step.tag: run.name})
    besides.ended(run)


def test_a_new_driver_takes_no_death_of_an_earlier_launch_for_one_of_this(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    die(note(tmp_path), tmp_path)
    note(tmp_path, "m-2")
    run = run_of("m-2", tmp_path)
    besides = Besides(tmp_path, {"m": run})
    besides.adopt()
    besides.stop()
    besides.ended(run)
    assert not caplog.messages


def test_a_new_driver_looks_after_a_model_that_was_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    besides = Besides(tmp_path, {"m": run_of("m-2", tmp_path)})
    besides.adopt()  # as there is nothing, nothing is made
    assert not list(tmp_path.iterdir())
    notes = note(tmp_path)  # of its first attempt: that is what it was made for
    besides.adopt()
    die(notes, tmp_path)
    wait_until(lambda: "m-db-n7 on n7 was killed" in caplog.text)
    besides.stop()


def test_what_was_told_to_end_is_not_told_of(
    tmp_path: Path, run: Run, besides: Besides, caplog: pytest.LogCaptureFixture
) -> None:
    besides.add({run.step.tag: run.name})
    die(note(tmp_path), tmp_path, told=True)
    besides.ended(run)
    die(note(tmp_path), tmp_path)
    run.stopping = True
    besides.ended(run)
    assert not caplog.messages
