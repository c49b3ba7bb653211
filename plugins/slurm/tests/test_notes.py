from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from smartcore.spec import JobId
from smartcore_slurm.notes import PLACE, Note, Notes

NOTE = Note(JobId("12.34"), "m-k3", "7", "/x/m.err")


def test_another_process_finds_what_one_wrote(tmp_path: Path) -> None:
    Notes(tmp_path).add([NOTE])
    assert Notes(tmp_path).find([NOTE.id, JobId("none")]) == {NOTE.id: NOTE}


def test_that_a_step_was_stopped_is_not_forgotten(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    notes.add([NOTE])
    notes.add([replace(NOTE, stopped=True)])
    assert Notes(tmp_path).find([NOTE.id])[NOTE.id].stopped


def test_torn_lines_and_strange_files_are_passed_over(tmp_path: Path) -> None:
    Notes(tmp_path).add([NOTE])
    (tmp_path / PLACE / "steps-other-1.jsonl").write_text('{"id": "5.6", "na\n[]\n{}\n')
    assert Notes(tmp_path).find([NOTE.id, JobId("5.6")]) == {NOTE.id: NOTE}


def test_where_nothing_was_written_nothing_is_found(tmp_path: Path) -> None:
    assert Notes(tmp_path).find([NOTE.id]) == {}
    assert not (tmp_path / PLACE).exists()
