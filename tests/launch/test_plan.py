from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.launch import plan as module
from smartcore.launch.plan import Pool, Queue, Share, placement, plan
from smartcore.spec import Node, Placement, Resources

GIB = 2**30
FOUR = [Node(f"n{index}", 8, 2, 4 * GIB) for index in range(1, 5)]


def places_of(given: list[Node], /, **needs: object) -> list[tuple[str, int]] | None:
    shares = Pool(given).fit(Resources(**needs))  # type: ignore[arg-type]
    return None if shares is None else [(share.node, share.tasks) for share in shares]


def test_who_says_nothing_gets_one_core() -> None:
    assert Pool(FOUR).fit(Resources()) == (Share("n1", 1, 1),)


@pytest.mark.parametrize(
    ("needs", "places"),
    [
        ({"tasks": 8}, [("n1", 8)]),
        ({"tasks": 9}, [("n1", 8), ("n2", 1)]),
        ({"tasks": 4, "cpus_per_task": 4}, [("n1", 2), ("n2", 2)]),
        ({"nodes": 2, "tasks": 5}, [("n1", 3), ("n2", 2)]),
        ({"nodes": 3}, [("n1", 1), ("n2", 1), ("n3", 1)]),
        ({"nodes": 2, "tasks_per_node": 4}, [("n1", 4), ("n2", 4)]),
        ({"tasks": 6, "tasks_per_node": 2}, [("n1", 2), ("n2", 2), ("n3", 2)]),
        ({"hosts": ("n3", "n2"), "tasks": 2}, [("n3", 1), ("n2", 1)]),
        ({"tasks": 2, "excluded_hosts": ("n1", "n2")}, [("n3", 2)]),
        ({"gpus_per_node": 2, "nodes": 4}, [("n1", 1), ("n2", 1), ("n3", 1), ("n4", 1)]),
    ],
)
def test_tasks_are_laid_out_in_blocks(
    needs: dict[str, object], places: list[tuple[str, int]]
) -> None:
    assert places_of(FOUR, **needs) == places


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        ({"tasks": 33}, "33 tasks of 1 cores"),
        ({"nodes": 5}, "on 5 nodes, and the allocation has 4 nodes with at most 8 cores"),
        ({"cpus_per_task": 9}, "1 tasks of 9 cores"),
        ({"gpus_per_node": 3}, "with 3 GPUs each"),
        ({"memory_per_node": 5 * GIB}, "5120 MiB each"),
        ({"hosts": ("n1", "x9")}, r"x9 is not in the allocation \(n1, n2, n3, n4\)"),
        ({"nodes": 4, "excluded_hosts": ("n2",)}, "without n2"),
    ],
)
def test_what_can_never_run_is_told_with_the_reason(needs: dict[str, object], words: str) -> None:
    pool = Pool(FOUR)
    assert re.search(words, pool.obstacle(Resources(**needs)))  # type: ignore[arg-type]
    assert not pool.obstacle(Resources())


def test_an_allocation_without_nodes_runs_nothing() -> None:
    assert Pool([]).obstacle(Resources()) == "the allocation has no nodes"


def test_small_ones_share_a_node_and_leave_whole_ones_for_large_ones() -> None:
    steps = [(f"s{index}", Resources(tasks=2)) for index in range(4)]
    planned = plan(FOUR, [*steps, ("large", Resources(nodes=3, tasks=24))])
    assert [{share.node for share in one.shares} for one in planned[:4]] == [{"n1"}] * 4
    assert {share.node for share in planned[4].shares} == {"n2", "n3", "n4"}
    assert {one.turn for one in planned} == {1}


def test_a_plan_has_turns_where_not_all_can_run_at_once() -> None:
    planned = plan(FOUR, [(f"m{index}", Resources(nodes=2, tasks=16)) for index in range(5)])
    assert [one.turn for one in planned] == [1, 1, 2, 2, 3]


def test_a_plan_names_what_can_never_run_and_places_the_others() -> None:
    planned = plan(FOUR, [("a", Resources(nodes=9)), ("b", Resources())])
    assert (planned[0].turn, planned[0].shares) == (0, ())
    assert "on 9 nodes" in planned[0].obstacle
    assert planned[1].turn == 1


def test_what_does_not_end_keeps_its_place_in_every_turn() -> None:
    beside = [(name, Resources(nodes=4, tasks=24)) for name in ("first", "second")]
    steps = [("db", Resources(cpus_per_task=2)), *beside, ("all", Resources(tasks=32))]
    planned = plan(FOUR, steps, lasting=["db"])
    assert [one.turn for one in planned] == [1, 1, 2, 0]
    assert planned[3].obstacle == "there is no room for it beside db"


def test_a_large_one_is_not_passed_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 3)
    pool = Pool([Node("n", 4)])
    queue = Queue(pool)
    queue.add("first", Resources(tasks=1))
    (first,) = queue.next()
    queue.add("large", Resources(tasks=4))
    for index in range(20):
        queue.add(f"s{index}", Resources(tasks=1))
    started = queue.next()
    assert [name for name, _ in started] == ["s0", "s1", "s2"]
    for _, shares in [first, *started]:
        assert not queue.next()
        pool.give_back(shares)
    assert [name for name, _ in queue.next()] == ["large"]


def test_what_is_not_to_run_is_forgotten() -> None:
    queue = Queue(Pool([Node("n", 1)]))
    for name in "abc":
        queue.add(name, Resources())
    queue.remove("a")
    assert [name for name, _ in queue.next()] == ["b"]
    assert len(queue) == 1


def test_a_run_command_is_told_hosts_cores_and_tasks() -> None:
    shares = (Share("a", 2, 8, 1), Share("b", 1, 4, 1))
    assert placement(shares, "17") == Placement(("a", "b"), "17", (8, 4), (2, 1))


NODES = st.lists(
    st.tuples(st.integers(1, 16), st.integers(0, 4), st.none() | st.integers(1, 8)),
    min_size=1,
    max_size=5,
)
COUNTS = st.none() | st.integers(1, 6)
STEPS = st.lists(
    st.builds(
        Resources,
        nodes=COUNTS,
        tasks=COUNTS,
        tasks_per_node=COUNTS,
        cpus_per_task=COUNTS,
        gpus_per_node=st.none() | st.integers(0, 2),
        memory_per_node=st.none() | st.integers(1, 8),
        hosts=st.just(()) | st.just(("n0",)),
        excluded_hosts=st.just(()) | st.just(("n1",)),
    ),
    max_size=40,
)


@given(NODES, STEPS, st.randoms(use_true_random=False))
def test_no_core_is_given_twice_and_everything_that_can_run_does(
    sizes: list[tuple[int, int, int | None]], steps: list[Resources], chance: random.Random
) -> None:
    nodes = [Node(f"n{index}", *size) for index, size in enumerate(sizes)]
    pool = Pool(nodes)
    queue = Queue(pool)
    possible = {f"s{i}": step for i, step in enumerate(steps) if not pool.obstacle(step)}
    for name, step in possible.items():
        queue.add(name, step)
    running: dict[str, tuple[Share, ...]] = {}
    ran = []
    while True:
        for name, shares in queue.next():
            running[name] = shares
            ran.append(name)
            tasks = sum(share.tasks for share in shares)
            assert tasks == (possible[name].tasks or tasks)
        check(nodes, running)
        if not running:
            break
        ended = chance.choice(sorted(running))
        pool.give_back(running.pop(ended))
    assert sorted(ran) == sorted(possible)
    assert list(pool.free.values()) == nodes


def check(nodes: list[Node], running: dict[str, tuple[Share, ...]]) -> None:
    used: Counter[tuple[str, str]] = Counter()
    for shares in running.values():
        assert len({share.node for share in shares}) == len(shares)
        for share in shares:
            used[share.node, "cpus"] += share.cpus
            used[share.node, "gpus"] += share.gpus
            used[share.node, "memory"] += share.memory
    for node in nodes:
        assert used[node.name, "cpus"] <= node.cpus
        assert used[node.name, "gpus"] <= node.gpus
        assert node.memory is None or used[node.name, "memory"] <= node.memory
