"""Who is told to do something, and what is told of servers that ended."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from smartcore.error import DatabaseError
from smartcore.spec import Credentials, ShardAddress, ShardPlan
from smartcore.spec.addresses import free_ports
from smartcore.testing.running import wait_until
from smartcore_redis.backend import RedisBackend, ValkeyBackend
from smartcore_redis.conf import option_lines

QUICKLY = timedelta(seconds=10)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A server that asks nobody for a password."""
    (port,) = free_ports(["127.0.0.1"])
    program = ValkeyBackend().find({"PATH": ""}).executable
    arguments = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL) as server:
        try:
            with redis.Redis(port=port) as client:
                wait_until(lambda: _answers(client), "a server that is ready")
            yield port
        finally:
            server.kill()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.ConnectionError:
        return False


def test_a_stranger_without_a_password_is_told_to_do_nothing(port: int, tmp_path: Path) -> None:
    address = ShardAddress("127.0.0.1", port)
    plan = ShardPlan("ours_0", tmp_path, address, (address,), 0, Credentials("smartcore", "secret"))
    backend = RedisBackend()
    with redis.Redis(port=port) as client:
        client.set("theirs", 1)
        before = client.config_get("maxmemory")
        with pytest.raises(DatabaseError, match="not the server started as ours_0"):
            backend.configure([plan], "maxmemory", "1gb")
        with pytest.raises(DatabaseError, match="not the server started as ours_0"):
            backend.shutdown([plan], QUICKLY)
        assert client.config_get("maxmemory") == before
        assert client.get("theirs") == b"1"
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".rdb"]


@pytest.mark.parametrize(
    "output",
    [
        "1:M # Wrong signature trying to load DB from file",
        "1:M # Short read or OOM loading DB. Unrecoverable error, aborting now.",
        "1:M # Fatal error loading the DB, check server logs. Exiting.",
        "[additional info] While doing: check-sum\n[info] 2 keys read\n[info] 0 already expired",
    ],
)
def test_a_server_that_cannot_read_its_data_is_explained(output: str) -> None:
    address = ShardAddress("127.0.0.1", 1)
    plan = ShardPlan("db_0", Path("/x"), address, (address,), 0, Credentials(""))
    assert "/x/db_0.rdb is damaged" in RedisBackend().explain(plan, output)
    assert not RedisBackend().explain(plan, "1:M # Fatal error, can't open config file")


def test_a_server_that_saved_and_ended_lost_nothing() -> None:
    address = ShardAddress("127.0.0.1", 1)
    plan = ShardPlan("db_0", Path("/x"), address, (address,), 0, Credentials(""))
    end = "1:M # User requested shutdown...\n{}1:M # Redis is now ready to exit, bye bye...\n"
    whole = end.format("1:M * DB saved on disk\n")
    kept_all = RedisBackend().kept_all
    assert kept_all(plan, whole)
    assert not kept_all(plan, end.format(""))
    assert not kept_all(plan, f"1:M * DB saved on disk\n{end.format('')}")
    assert not kept_all(plan, whole.partition("1:M # Redis")[0])


@pytest.mark.parametrize(
    ("value", "buffer"), [("1048576", 2**30), ("1gb", 2**30 + 2**20), ("2000000000", 2001048576)]
)
def test_a_large_message_needs_a_large_buffer(value: str, buffer: int) -> None:
    lines = option_lines("proto-max-bulk-len", value)
    assert lines == [
        f"client-query-buffer-limit {buffer}",
        f'proto-max-bulk-len "{value}"',
    ]
