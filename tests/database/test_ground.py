"""Which nodes the shards of a database get, and how many."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from smartcore.database import Orchestrator
from smartcore.database.ground import choose_hosts, nodes_asked
from smartcore.error import InputError
from smartcore.spec import Node

NODES = [Node("a", 4), Node("b", 8), Node("c", 8)]


@pytest.mark.parametrize(
    ("shards", "hosts", "free", "chosen"),
    [
        (1, None, NODES, ["b"]),
        (3, None, NODES, ["b", "c", "a"]),
        (4, None, NODES, ["b", "c", "a", "b"]),
        (1, ["c", "a"], NODES, ["c"]),
        (3, ["c", "a", "b"], NODES, ["c", "a", "b"]),
        (3, ["c", "a"], NODES, ["c", "a", "c"]),
        (1, ["x"], [], ["x"]),
    ],
)
def test_each_shard_gets_the_roomiest_node_or_the_one_it_was_given(
    shards: int, hosts: list[str] | None, free: Sequence[Node], chosen: list[str]
) -> None:
    database = Orchestrator("/nowhere", db_nodes=shards, hosts=hosts)
    assert choose_hosts(database, free) == [(host,) for host in chosen]


def test_shards_are_as_many_on_a_node_as_was_asked() -> None:
    database = Orchestrator("/nowhere", db_nodes=4, shards_per_node=2)
    assert choose_hosts(database, NODES) == [("b",), ("c",), ("b",), ("c",)]
    assert choose_hosts(database, []) == [()] * 4


def test_hosts_that_take_too_few_shards_are_refused() -> None:
    database = Orchestrator("/nowhere", db_nodes=5, hosts=["a", "b"], shards_per_node=2)
    with pytest.raises(InputError, match="has 5 shards, and a, b take 2 each"):
        choose_hosts(database, NODES)


@pytest.mark.parametrize(
    ("hosts", "each", "told"),
    [
        (None, None, "asks for 5 nodes, one for each shard; shards_per_node=2 takes fewer"),
        (None, 2, "asks for 3 nodes, for 2 shards each; shards_per_node=3 takes fewer"),
        (None, 5, "asks for one node"),
        (["a", "b", "a"], None, "asks for the node(s) a, b"),
    ],
)
def test_a_batch_job_says_which_nodes_it_asks_for(
    hosts: list[str] | None, each: int | None, told: str
) -> None:
    database = Orchestrator("/nowhere", db_nodes=5, batch=True, hosts=hosts)
    database.shards_per_node = each
    assert nodes_asked(database) == f"its job {told}"


def test_a_shard_for_which_no_node_has_room_waits_for_any() -> None:
    database = Orchestrator("/nowhere")
    database.set_cpus(9)
    assert choose_hosts(database, NODES) == [()]


def test_where_nothing_is_known_the_scheduler_chooses() -> None:
    assert choose_hosts(Orchestrator("/nowhere", db_nodes=3), []) == [()] * 3
