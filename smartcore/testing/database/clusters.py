"""Several shards that are one database."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from smartcore.error import UnsupportedError

from ..contract import case
from ..running import wait_until
from .base import DatabaseCases
from .room import QUICKLY, Room, ended, ports_of


class ClusterCases(DatabaseCases):
    """Several shards that are one database."""

    @case("F39")
    def test_shards_become_one_whole_database(self, room: Room) -> None:
        if not self.clusters:
            pytest.skip("it has no clusters")
        plans = room.plans(3)
        jobs = room.serve(*plans)
        assert not any(ended(answer) for answer in room.processes.status(jobs).values())

    @case("F36")
    def test_a_shard_of_a_cluster_opens_the_ports_that_it_says_and_no_other(
        self, room: Room
    ) -> None:
        if not self.clusters:
            pytest.skip("it has no clusters")
        plan, *_ = room.plans(3)
        room.start(plan)
        ask = partial(room.backend.statistics, [plan], QUICKLY)
        wait_until(lambda: ask()[0].answered, "a server that answers")
        offsets = (0, *room.backend.cluster_offsets)
        assert all(0 <= offset <= 10000 for offset in offsets)
        assert ports_of(plan) == {plan.address.port + offset for offset in offsets}

    @case("F36", "F39")
    def test_shards_that_admit_nobody_else_become_one_whole_database(self, room: Room) -> None:
        if not self.clusters:
            pytest.skip("it has no clusters")
        file = room.path / "ca"
        try:
            peers = room.backend.certificate(room.server, file, clients=False)
        except UnsupportedError as error:
            assert "TLS" in str(error)
            return
        plans = [
            replace(plan, credentials=replace(plan.credentials, peers=peers))
            for plan in room.plans(3)
        ]
        room.serve(*plans)
        # Clients need to know nothing of that.
        assert not room.backend.readiness(plans[0]).authority

    @case("F39")
    def test_a_database_with_a_shard_missing_is_not_ready(self, room: Room) -> None:
        if not self.clusters:
            pytest.skip("it has no clusters")
        plans = room.plans(3)
        jobs = room.serve(*plans)
        room.processes.stop(jobs[:1])
        assert not room.backend.ready(plans, QUICKLY)
