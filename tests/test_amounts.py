from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.amounts import size, span


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.977 KiB"),
        (1024, "1 KiB"),
        (100 * 1024**2, "100 MiB"),
        (1536 * 1024**2, "1.5 GiB"),
        (5 * 1024**4, "5 TiB"),
    ],
)
def test_sizes_are_for_people(count: int, text: str) -> None:
    assert size(count) == text


@given(st.integers(min_value=0, max_value=10**15 - 1))
def test_a_size_is_short_and_close(count: int) -> None:
    number, unit = size(count).split()
    exact = count / 1024 ** ["B", "KiB", "MiB", "GiB", "TiB"].index(unit)
    assert float(number) == pytest.approx(exact, rel=0.006)
    assert len(number) <= 5


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-3, "0.0 s"),
        (0.04, "0.0 s"),
        (9.8, "9.8 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7300, "2 h"),
        (2e5, "2 d"),
    ],
)
def test_spans_are_in_the_largest_unit_of_which_there_are_two(seconds: float, told: str) -> None:
    assert span(seconds) == told
