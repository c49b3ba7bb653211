"""``smartcore db plot``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from smartcore.database.sampler import DIRECTORY, write_sample
from smartcore.spec import ShardStatistics

Run = Callable[..., Result]


def sample(experiment: Path, identifier: str) -> None:
    for stamp in (1000, 2000):
        directory = experiment / DIRECTORY / identifier / f"{identifier}_0"
        write_sample(directory, stamp, ShardStatistics(f"{identifier}_0", memory=stamp), 1.0)


def test_plot_writes_a_picture_named_like_the_database(
    smartcore: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sample(tmp_path, "kept")
    assert smartcore("db", "plot", ".").stdout == "written to kept.png\n"
    assert (tmp_path / "kept.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads(smartcore("db", "plot", ".", "-o", "a.svg", "--json").stdout)
    assert told == {"database": "kept", "file": "a.svg", "shards": ["kept_0"]}
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_plot_asks_which_one_if_there_are_several(smartcore: Run, tmp_path: Path) -> None:
    done = smartcore("db", "plot", str(tmp_path))
    assert (done.exit_code, "telemetry.enable()" in done.stderr) == (1, True)
    sample(tmp_path, "kept")
    sample(tmp_path, "other")
    done = smartcore("db", "plot", str(tmp_path))
    assert (done.exit_code, "choose one with --db: kept, other" in done.stderr) == (1, True)


def test_plot_of_telemetry_that_cannot_be_read_is_an_error(smartcore: Run, tmp_path: Path) -> None:
    sample(tmp_path, "kept")
    (file,) = tmp_path.rglob("memory.csv")
    file.unlink()
    file.mkdir()
    done = smartcore("db", "plot", str(tmp_path))
    assert (done.exit_code, f"cannot read the telemetry {file}" in done.stderr) == (1, True)
