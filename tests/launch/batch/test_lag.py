from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smartcore.launch.batch.lag import ENOUGH, MOST, SHORTEST, RecordLag

delays = st.lists(st.floats(0, 1000), max_size=50)


def test_before_anything_was_seen_it_is_what_the_site_is_expected_to_need() -> None:
    """F21."""
    assert RecordLag(10).grace == 10


def test_late_records_make_it_longer_and_many_punctual_ones_shorter() -> None:
    late, punctual = RecordLag(10), RecordLag(10)
    late.seen(8)
    for _ in range(ENOUGH - 1):
        punctual.seen(0)
    assert (late.grace, punctual.grace) == (24, 10)
    punctual.seen(0.5)
    assert punctual.grace == SHORTEST


@given(delays, st.floats(0, 60))
def test_it_is_never_shorter_than_what_was_seen_nor_without_bound(
    seen: list[float], expected: float
) -> None:
    lag = RecordLag(expected)
    for delay in seen:
        lag.seen(delay)
    assert min(max(seen, default=0), MOST) <= lag.grace <= max(MOST, expected)
