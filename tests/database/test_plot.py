from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from smartcore.database.plot import Series, draw, read_series, recorded, with_gaps
from smartcore.database.sampler import DIRECTORY, write_sample
from smartcore.error import InputError, PathNotFoundError, UnsupportedError
from smartcore.spec import ShardStatistics

PLAIN = Series("db_0", (0.0, 60.0), (1e6, 2e6), (0, 0), (0.0, 60.0), (10, 20))
SECOND = 1000


def write(experiment: Path, shard: str, *samples: tuple[int, int]) -> Path:
    """Telemetry of a shard: time in milliseconds and memory of each sample."""
    directory = experiment / DIRECTORY / shard.rpartition("_")[0] / shard
    for stamp, memory in samples:
        said = ShardStatistics(shard, memory=memory, memory_limit=100 * 1024**2)
        write_sample(directory, stamp, said, 2.5)
    return directory


def test_what_was_sampled_is_read_shard_by_shard_in_their_order(tmp_path: Path) -> None:
    for index in (10, 2, 0):
        write(tmp_path, f"db_{index}", (SECOND, index), (2 * SECOND, index + 1))
    assert recorded(tmp_path) == ["db"]
    found = read_series(tmp_path, "db")
    assert [one.name for one in found] == ["db_0", "db_2", "db_10"]
    assert (list(found[1].times), list(found[1].memory)) == ([1.0, 2.0], [2.0, 3.0])
    assert (list(found[1].limits), list(found[1].ops)) == ([100 * 1024**2] * 2, [2.5, 2.5])


def test_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    directory = write(tmp_path, "db_0", (SECOND, 1), (2 * SECOND, 2))
    with (directory / "memory.csv").open("a") as file:
        file.write("3000,7")
    (found,) = read_series(tmp_path, "db")
    assert list(found.memory) == [1.0, 2.0]


def test_telemetry_that_is_not_there_is_an_error_that_tells_what_is(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match=r"telemetry\.enable"):
        read_series(tmp_path, "db")
    write(tmp_path, "other_0", (SECOND, 1))
    with pytest.raises(PathNotFoundError, match="there is of: other"):
        read_series(tmp_path, "db")
    with pytest.raises(PathNotFoundError, match="one sample only"):
        read_series(tmp_path, "other")


def test_a_line_has_a_gap_where_nobody_looked() -> None:
    rows = [(float(time), 1.0) for time in (0, 1, 2, 3, 60, 61)]
    found = with_gaps(rows)
    assert [row[0] for row in found] == [0, 1, 2, 3, 4, 60, 61]
    assert math.isnan(found[4][1])
    assert with_gaps(rows[:4]) == rows[:4]
    assert with_gaps([]) == []


@pytest.mark.parametrize("name", ["a.svg", "A.SVG"])
def test_a_picture_has_names_units_and_the_limit(tmp_path: Path, name: str) -> None:
    write(tmp_path, "db_0", (SECOND, 10 * 1024**2), (2 * SECOND, 20 * 1024**2))
    write(tmp_path, "db_1", (SECOND, 10 * 1024**2), (2 * SECOND, 20 * 1024**2))
    draw(read_series(tmp_path, "db"), "db of sweep", tmp_path / name)
    text = (tmp_path / name).read_text()
    for word in (
        "db of sweep",
        "db_1",
        "memory in MiB",
        "operations per second",
        "time of day",
        "maxmemory",
    ):
        assert f"<!-- {word}" in text or word in text, word


def test_without_a_limit_none_is_drawn(tmp_path: Path) -> None:
    draw([PLAIN], "db", tmp_path / "a.svg")
    assert "maxmemory" not in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize("shards", [1, 10, 11, 40])
def test_any_number_of_shards_can_be_drawn(tmp_path: Path, shards: int) -> None:
    draw([PLAIN] * shards, "db", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["plot", "plot.docx"])
def test_a_format_that_is_not_known_is_an_error_that_names_some(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsupportedError, match=r"\.png, .*\.svg"):
        draw([PLAIN], "db", tmp_path / name)


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory"):
        draw([PLAIN], "db", tmp_path / "nowhere" / "a.png")


def test_without_matplotlib_the_extra_is_named(tmp_path: Path) -> None:
    write(tmp_path, "db_0", (SECOND, 1), (2 * SECOND, 2))
    script = (
        "import sys; sys.modules['matplotlib'] = sys.modules['matplotlib.figure'] = None;"
        " from smartcore.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "db", "plot", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'smartcore[plot]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
