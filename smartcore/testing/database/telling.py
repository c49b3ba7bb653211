"""What back ends tell of servers that run."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from ..contract import case
from .base import DatabaseCases
from .room import QUICKLY, Room, connected, stopped


class TellingCases(DatabaseCases):
    """Statistics, and how a person connects."""

    @case("F01", "F27")
    def test_a_shard_tells_how_it_does(self, room: Room) -> None:
        (plan,) = room.plans()
        backend = room.backend
        room.serve(plan)
        backend.configure([plan], *backend.option("maxmemory", "100mb"))
        (first,) = backend.statistics([plan], QUICKLY)
        assert first.answered, first.problem
        assert (first.name, first.memory_limit, first.keys) == (plan.name, 100 * 1024**2, 0)
        assert 0 < first.memory <= first.memory_peak < first.memory_host
        assert first.clients == 0
        with connected(backend.readiness(plan)):
            (second,) = backend.statistics([plan], QUICKLY)
        assert second.clients == 1
        assert second.commands > first.commands
        assert second.received > first.received
        assert second.sent > first.sent

    @case("F01", "F36")
    def test_one_shard_that_does_not_answer_spoils_nothing_for_the_others(self, room: Room) -> None:
        (hung,), (gone,), (well,) = (room.plans(name=name) for name in ("hung", "gone", "well"))
        wrong = replace(well, credentials=replace(well.credentials, admin_password="wrong"))
        room.serve(hung)
        room.serve(well)
        with stopped(room, hung):
            found = room.backend.statistics([hung, gone, wrong, well], timedelta(seconds=1))
        assert [each.name for each in found] == ["hung_0", "gone_0", "well_0", "well_0"]
        assert [each.answered for each in found] == [False, False, False, True]
        assert all(len(each.problem) > 5 for each in found[:3])
        assert not any("wrong" in each.problem for each in found)

    @case("F01")
    def test_many_shards_that_do_not_answer_take_no_longer_than_one(self, room: Room) -> None:
        (hung,) = room.plans()
        room.serve(hung)
        with stopped(room, hung):
            began = time.monotonic()
            found = room.backend.statistics([hung] * 20, timedelta(seconds=0.5))
            # One after the other they take twice as long.
            assert time.monotonic() - began < 5
        assert not any(each.answered for each in found)

    @case("F36")
    def test_a_persons_client_has_its_password_in_the_environment_alone(self, room: Room) -> None:
        (plan,) = room.plans()
        command = room.backend.client(replace(room.server, cli="/usr/bin/some-client"), plan)
        if command is not None:
            assert "secret" not in " ".join(command.argv)
            assert plan.credentials.password in command.env.values()
            assert plan.credentials.admin_password not in command.env.values()
        recipe = room.backend.recipe([plan], Path("/some/auth.json"))
        assert "secret" not in recipe
        assert not recipe or "/some/auth.json" in recipe
