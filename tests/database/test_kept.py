from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.database.kept import described, loss, size, span
from smartcore.spec import Saved

WRITTEN = datetime(2026, 1, 2, 12, tzinfo=UTC)
SAVED = Saved(Path("/exp/db/db_0.rdb"), 2_500_000, WRITTEN)


def test_without_anything_on_disk_all_is_lost_and_the_remedy_is_named() -> None:
    told = loss(None, WRITTEN)
    assert told.startswith("all its data are lost")
    assert "enable_checkpoints(seconds)" in told


def test_what_was_written_after_a_checkpoint_is_lost() -> None:
    told = loss(SAVED, WRITTEN + timedelta(seconds=90))
    assert told.startswith("its data are kept in /exp/db/db_0.rdb (2 MB, written 2026-01-02 ")
    assert told.endswith("; what was written in the 90.0 s after that is lost")


@pytest.mark.parametrize("later", [timedelta(0), timedelta(seconds=-5)])
def test_a_checkpoint_of_the_end_keeps_all(later: timedelta) -> None:
    assert loss(SAVED, WRITTEN + later) == f"its data are kept in {described(SAVED)}"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.04, "0.0 s"), (-3, "0.0 s"), (119, "119.0 s"), (120, "2 min"), (7300, "2 h"), (2e5, "2 d")],
)
def test_durations_are_in_the_largest_unit_of_which_there_are_two(
    seconds: float, told: str
) -> None:
    assert span(seconds) == told


@given(st.integers(0, 10**15))
def test_sizes_have_three_digits_before_the_unit_until_there_is_none_left(count: int) -> None:
    number, unit = size(count).split()
    factor = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
    assert abs(float(number) * factor - count) <= 0.5 * factor
    assert unit == "GB" or float(number) <= 1000
