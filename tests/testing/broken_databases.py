"""A database back end that does what it should, and some that are broken in one way each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from smartcore.error import DatabaseError
from smartcore.spec import Command, Ready, Server, ShardPlan, ShardStatistics
from smartcore_redis.backend import RedisBackend


class SoundDatabase(RedisBackend):
    pass


class WantsToKnowWhere(RedisBackend):
    def command(self, server: Server, shard: ShardPlan, /) -> Command:
        if shard.address.port > 65535:
            raise DatabaseError(f"no port {shard.address.port}")
        return super().command(server, shard)


class HidesAPort(RedisBackend):
    cluster_offsets = ()


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


class AsksInTurn(RedisBackend):
    def statistics(
        self, shards: Sequence[ShardPlan], timeout: timedelta, /
    ) -> Sequence[ShardStatistics]:
        return [one for shard in shards for one in RedisBackend.statistics(self, [shard], timeout)]


class ShowsPasswords(RedisBackend):
    def client(self, server: Server, shard: ShardPlan, /) -> Command | None:
        command = super().client(server, shard)
        assert command is not None
        return replace(command, argv=(*command.argv, "-a", shard.credentials.password))


class KnowsEverySetting(RedisBackend):
    def check(self, server: Server, options: Mapping[str, str], /) -> None:
        pass


class VerifiesNothing(RedisBackend):
    def verify(self, shard: ShardPlan, answer: bytes, /) -> Mapping[str, str]:
        return {}


class DoubtsEverything(RedisBackend):
    def verify(self, shard: ShardPlan, answer: bytes, /) -> Mapping[str, str]:
        return dict.fromkeys(shard.options, "who knows")


class AsksForSecrets(RedisBackend):
    def inquiry(self, shard: ShardPlan, /) -> Ready:
        question = super().inquiry(shard)
        echo = f"ECHO {shard.credentials.admin_password}\r\n".encode()
        return replace(question, send=question.send.replace(b"*1\r\n$4\r\nPING", echo + b"PING"))
