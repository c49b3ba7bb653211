from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.launch.batch.limiter import Bucket

TAKE = """
import sys, pathlib
from smartcore.launch.batch.limiter import Bucket
bucket = Bucket(pathlib.Path(sys.argv[1]), 1e-9, 2500, lambda: 5.0)
print("ready", flush=True)
sys.stdin.read()
print(sum(bucket.take() == 0 for _ in range(2000)))
"""


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_burst_is_free_and_then_the_rate_holds(tmp_path: Path, clock: Clock) -> None:
    bucket = Bucket(tmp_path / "b.json", 0.5, 3, clock)
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 2]
    clock.now += 2
    assert bucket.take() == 0
    assert bucket.take() == 2


def test_buckets_of_one_file_share_their_tokens(tmp_path: Path, clock: Clock) -> None:
    """F08: all experiments of a user on a host together."""
    one, other = (Bucket(tmp_path / "b.json", 1, 2, clock) for _ in range(2))
    assert (one.take(), other.take(), one.take() > 0, other.take() > 0) == (0, 0, True, True)


def test_processes_that_take_at_once_get_no_more_than_there_is(tmp_path: Path) -> None:
    """F08."""
    argv = [sys.executable, "-c", TAKE, str(tmp_path / "b.json")]
    pipe = subprocess.PIPE
    running = [subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    assert sum(int(process.communicate(timeout=60)[0]) for process in running) == 2500


def test_a_torn_file_and_a_clock_that_began_anew_are_a_full_bucket(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "b.json"
    path.write_text('{"tokens": 0.')
    assert Bucket(path, 1, 1, clock).take() == 0
    assert Bucket(path, 1, 1, clock).take() > 0
    clock.now = 3.0  # the host was started anew
    assert Bucket(path, 1, 1, clock).take() == 0


def test_without_a_directory_to_write_in_nothing_is_limited() -> None:
    bucket = Bucket(Path("/proc/none/b.json"), 1, 1)
    assert [bucket.take(), bucket.take()] == [0, 0]


def test_the_file_is_only_its_owners(tmp_path: Path) -> None:
    Bucket(tmp_path / "run" / "b.json", 1, 1).take()
    assert (tmp_path / "run" / "b.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


@given(st.lists(st.floats(0, 5), max_size=40), st.floats(0.1, 10), st.integers(1, 10))
def test_never_more_than_burst_and_rate_allow(
    tmp_path_factory: pytest.TempPathFactory, pauses: list[float], rate: float, burst: int
) -> None:
    clock = Clock()
    bucket = Bucket(tmp_path_factory.mktemp("b") / "b.json", rate, burst, clock)
    taken, began = 0, clock.now
    for pause in pauses:
        clock.now += pause
        taken += bucket.take() == 0
        assert taken <= burst + (clock.now - began) * rate + 1e-3


@given(st.floats(0.01, 100))
def test_waiting_as_long_as_was_said_is_enough(
    tmp_path_factory: pytest.TempPathFactory, rate: float
) -> None:
    clock = Clock()
    bucket = Bucket(tmp_path_factory.mktemp("b") / "b.json", rate, 1, clock)
    bucket.take()
    clock.now += bucket.take()
    assert bucket.take() == 0
