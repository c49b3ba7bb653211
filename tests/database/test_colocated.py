"""What the notes of nodes make known of databases next to models."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from smartcore.database.colocated import CLOCKS, read_colocated
from smartcore.launch.notes import DIRECTORY, Notes, read_notes
from smartcore.launch.run import MODEL, Run
from smartcore.spec import Command, JobId, ShardAddress, State, Status, Step, Tag


def run_of(name: str, path: Path, started: float | None = None) -> Run:
    step = Step(name, Tag(f"{name}-1"), Command(()), path, path, path)
    return Run(step, MODEL, job=JobId("1"), status=Status(State.RUNNING), started=started)


def noted(path: Path, node: str, *, port: int = 0, model: str = "m", launch: str = "1") -> Notes:
    facts = {
        "model": model,
        "identifier": "near",
        "backend": "none",
        "executable": "/bin/server",
        "version": "1",
        "source": "PATH",
        "auth_file": str(path / "m-db.auth.json"),
        "open": "no",
    }
    notes = Notes(str(path / DIRECTORY / f"{model}-{launch}"), node)
    notes.serves(f"{model}-db-{node}", "127.0.0.1" if port else "", port, "/s", facts)
    return notes


def on(node: str, path: Path) -> None:
    """As if a node's note were written by another machine."""
    (file,) = (path / DIRECTORY).glob(f"*/*-{node}.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"machine": node}))


def test_all_nodes_of_a_model_are_told_and_which_can_be_asked_from_here(tmp_path: Path) -> None:
    auth = tmp_path / "m-db.auth.json"
    auth.write_text(json.dumps({"username": "default", "password": "p"}))
    noted(tmp_path, "a", port=7000)
    on("a", tmp_path)
    noted(tmp_path, "b")
    (found,) = read_colocated(tmp_path, [run_of("m", tmp_path), run_of("other", tmp_path)])
    assert (found.live.identifier, found.identifier) == ("m-db", "near")
    # Who wants one of them gets one that can be asked.
    assert found.live.nodes == ("b", "a")
    assert found.live.shards[0].address == ShardAddress(socket="/s")
    assert found.live.shards[0].credentials.password == "p"
    assert not found.live.shards[0].clustered
    assert found.silent == {"m-db-a": "it can be reached on its node only; ask on a"}
    auth.unlink()
    (found,) = read_colocated(tmp_path, [run_of("m", tmp_path)])
    assert all("auth.json" in why for why in found.silent.values())


def test_what_crashed_nodes_told_of_an_earlier_run_is_not_taken_for_this_one(
    tmp_path: Path,
) -> None:
    noted(tmp_path, "a")
    now = time.monotonic()
    assert len(read_colocated(tmp_path, [run_of("m", tmp_path, now)])) == 1
    later = run_of("m", tmp_path, now + CLOCKS + 5)
    assert read_colocated(tmp_path, [later]) == []
    waiting = run_of("m", tmp_path)
    waiting.job = None
    assert read_colocated(tmp_path, [waiting]) == []


def test_of_two_launches_of_a_model_only_the_newer_is_told(tmp_path: Path) -> None:
    noted(tmp_path, "a", port=7000, launch="2")
    noted(tmp_path, "a", port=7001, launch="1")
    noted(tmp_path, "b", port=7002, launch="1")
    (found,) = read_colocated(tmp_path, [run_of("m", tmp_path)])
    assert sorted(shard.address.port for shard in found.live.shards) == [7001, 7002]


def test_a_note_is_taken_back_unless_it_tells_of_a_death(tmp_path: Path) -> None:
    first, second = noted(tmp_path, "a"), noted(tmp_path, "b")
    second.died("m-db-b", "was killed by SIGKILL", -9, "/log", told=False)
    first.remove()
    second.remove()
    (left,) = read_notes(os.fspath(tmp_path))
    assert (left["name"], left["became"]) == ("m-db-b", "was killed by SIGKILL")
    (found,) = read_colocated(tmp_path, [run_of("m", tmp_path)])
    assert found.state_of("m-db-b") is State.FAILED
    assert list(found.dead) == ["m-db-b"]


def test_a_torn_note_and_a_place_that_cannot_be_written_do_no_harm(tmp_path: Path) -> None:
    noted(tmp_path, "a")
    (tmp_path / DIRECTORY / "m-1" / "torn.json").write_text("{")
    assert [note["node"] for note in read_notes(os.fspath(tmp_path))] == ["a"]
    (tmp_path / "file").touch()
    silent = Notes(str(tmp_path / "file" / "m-1"), "a")
    silent.serves("m-db", "", 0, "/s", {})
    silent.died("m-db", "ended", 1, "/log", told=False)
    silent.remove()
