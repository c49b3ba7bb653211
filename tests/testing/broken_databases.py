"""A database back end that does what it should, and some that are broken in one way each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from smartcore.error import DatabaseError
from smartcore.spec import Command, Server, ShardPlan, ShardStatistics
from smartcore_redis.backend import RedisBackend


class SoundDatabase(RedisBackend):
    pass


class CountsItself(RedisBackend):
    def statistics(
        self, shards: Sequence[ShardPlan], timeout: timedelta, /
    ) -> Sequence[ShardStatistics]:
        found = super().statistics(shards, timeout)
        return [replace(each, clients=each.clients + 1) for each in found]


class FailsForOne(RedisBackend):
    def statistics(
        self, shards: Sequence[ShardPlan], timeout: timedelta, /
    ) -> Sequence[ShardStatistics]:
        found = super().statistics(shards, timeout)
        if not all(each.answered for each in found):
            raise DatabaseError("one does not answer")
        return found


class ShowsPasswords(RedisBackend):
    def client(self, server: Server, shard: ShardPlan, /) -> Command | None:
        command = super().client(server, shard)
        assert command is not None
        return replace(command, argv=(*command.argv, "-a", shard.credentials.password))
