from __future__ import annotations

from dataclasses import replace

import pytest

from smartcore.database.figures import (
    Figures,
    between,
    columns,
    facts,
    figures,
    fullness,
    total,
)
from smartcore.spec import ShardStatistics

EARLIER = ShardStatistics(
    "db_0",
    memory=500,
    memory_limit=2000,
    keys=3,
    clients=2,
    commands=100,
    ops_per_second=7.0,
    hits=10,
    misses=10,
    evicted=1,
    received=1000,
    sent=2000,
)
LATER = replace(EARLIER, commands=150, hits=13, misses=11, evicted=4, received=1100, sent=2000)
SILENT = ShardStatistics("db_1", "no answer")


def test_rates_and_ratios_are_those_of_the_time_between_two_answers() -> None:
    found = figures(LATER, EARLIER, 10.0)
    assert (found.ops, found.received, found.sent) == (5.0, 10.0, 0.0)
    assert (found.hits, found.misses, found.hit_ratio, found.evicted) == (3, 1, 0.75, 3)


@pytest.mark.parametrize(
    "before", [None, replace(EARLIER, problem="no answer"), replace(EARLIER, commands=10**6)]
)
def test_without_an_earlier_answer_of_the_same_life_they_are_the_servers_own(
    before: ShardStatistics | None,
) -> None:
    found = figures(EARLIER, before, 10.0)
    assert (found.ops, found.received, found.hit_ratio) == (7.0, None, 0.5)


def test_counters_that_were_set_back_make_no_negative_numbers() -> None:
    found = figures(
        replace(EARLIER, hits=0, misses=0, evicted=0, received=0, commands=101), EARLIER, 1
    )
    assert (found.hits, found.misses, found.evicted, found.received) == (0, 0, 0, 0.0)
    assert found.hit_ratio is None


def test_what_did_not_answer_has_dashes_and_nulls() -> None:
    found = figures(SILENT, EARLIER, 1.0)
    assert found.problem == "no answer"
    assert set(columns(found).values()) == {"-"}
    assert set(facts(found).values()) == {None}


def test_who_could_not_write_its_data_says_so_and_is_counted() -> None:
    full = replace(LATER, save_problem="no room")
    for found in (figures(full), figures(full, EARLIER, 1.0)):
        assert (found.problem, total([found]).keys) == ("no room", 3)


def test_shards_are_compared_by_name() -> None:
    other = replace(EARLIER, name="db_9", commands=0)
    (found,) = between([LATER], [other, EARLIER], 10.0)
    assert found.ops == 5.0


def test_the_total_leaves_out_who_did_not_answer() -> None:
    found = total(between([LATER, SILENT, replace(LATER, name="db_2")], [EARLIER], 10.0))
    assert (found.memory, found.memory_limit, found.keys, found.ops) == (1000, 4000, 6, 12.0)
    assert found.received == 10.0
    assert total([figures(SILENT)]) == Figures("total")


def test_a_total_has_a_limit_only_if_everything_is_limited() -> None:
    unlimited = replace(LATER, memory_limit=0)
    assert total(between([LATER, unlimited])).memory_limit == 0
    assert columns(total(between([unlimited])))["limit"] == "none"
    assert columns(figures(LATER))["limit"] == "1.95 KiB (25%)"
    assert (fullness(figures(LATER)), fullness(figures(unlimited))) == (0.25, None)
