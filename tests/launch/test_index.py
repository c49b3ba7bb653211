from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from smartcore.config import Config, load
from smartcore.launch import index, proc


def settings(runtime: Path) -> Config:
    return load({"SMARTCORE_RUNTIME_DIR": str(runtime)}, site_file=Path("/nowhere"))


def test_an_experiment_that_was_noted_is_found_with_its_living_driver(tmp_path: Path) -> None:
    runtime = tmp_path / "rt"
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    index.note(settings(runtime), tmp_path / "link", "exp")
    index.note(settings(runtime), tmp_path / "real", "exp")
    (entry,) = index.entries(runtime)
    assert (entry.path, entry.name) == (tmp_path / "real", "exp")
    assert entry.driver == f"{os.getpid()}.{proc.start_time(os.getpid())}"
    assert entry.living


def test_a_path_that_is_no_utf_8_comes_back(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9")
    index.note(settings(tmp_path / "rt"), path, "exp")
    assert [entry.path for entry in index.entries(tmp_path / "rt")] == [path]


def test_dead_drivers_of_the_same_experiment_are_forgotten_and_living_ones_kept(
    tmp_path: Path,
) -> None:
    runtime = tmp_path / "rt"
    index.note(settings(runtime), tmp_path, "exp")
    (entry,) = index.entries(runtime)
    content = json.loads(entry.file.read_text())
    stem = entry.file.stem.removesuffix(entry.driver)
    other = subprocess.Popen(["sleep", "1000"])
    try:
        for driver in ("1.1", living := f"{other.pid}.{proc.start_time(other.pid)}"):
            text = json.dumps(content | {"driver": driver})
            (entry.file.parent / f"{stem}{driver}.json").write_text(text)
        index.note(settings(runtime), tmp_path, "exp")
        assert {one.driver for one in index.entries(runtime)} == {entry.driver, living}
    finally:
        other.kill()
        other.wait()


def test_entries_that_are_torn_or_of_another_host_are_passed_over(tmp_path: Path) -> None:
    index.note(settings(tmp_path), tmp_path / "exp", "exp")
    (entry,) = index.entries(tmp_path)
    directory = entry.file.parent
    (directory / f"{os.uname().nodename}-ab-1.1.json").write_text('{"v": 1, "pa')
    (directory / "elsewhere-ab-1.1.json").write_text(entry.file.read_text())
    assert index.entries(tmp_path) == [entry]


def test_without_a_directory_to_write_in_nothing_is_noted_and_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    index.note(settings(tmp_path / "file"), tmp_path / "exp", "exp")
    assert index.entries(tmp_path / "file") == []
