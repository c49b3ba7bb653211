"""An old server, as some sites have it: what users do with a database, once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis
from redis.cluster import RedisCluster
from redis.exceptions import AuthenticationError, NoPermissionError

from smartcore import Experiment
from smartcore.database import Orchestrator, read_secret
from smartcore.error import DatabaseError, InputError
from smartcore.spec import Server

Client = redis.Redis | RedisCluster


@pytest.mark.parametrize("shards", [1, 3])
def test_an_old_server_serves_protects_its_data_and_keeps_it(
    shards: int, redis_6: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_PATH", redis_6.executable)
    keys = [f"key{number}" for number in range(20)]
    with Experiment("old", str(tmp_path), launcher="local") as exp:
        database = exp.create_database(db_nodes=shards)
        exp.generate(database)
        exp.start(database)
        assert version(database).startswith("6.2.")
        with client(database) as user:
            for key in keys:
                user.set(key, key)
            with pytest.raises(NoPermissionError):
                user.shutdown()
            with pytest.raises(NoPermissionError):
                user.config_set("maxclients", 1)
        with pytest.raises(AuthenticationError), admin(database, 0, password="wrong") as other:
            other.ping()
        database.set_db_conf("maxclients", "77")
        with pytest.raises(DatabaseError, match=r"io-threads.* only before the start"):
            database.set_threads(2)
        with pytest.raises(DatabaseError, match=r"no-such-setting='1': .*[^t]$"):
            database.set_db_conf("no-such-setting", "1")
        for shard in range(shards):
            with admin(database, shard) as own:
                own.save()
        exp.stop(database)
        assert not database.is_active()

        database.set_threads(2)
        exp.start(database)
        with client(database) as user:
            assert [user.get(key) for key in keys] == [key.encode() for key in keys]
        with admin(database, 0) as own:
            assert own.config_get("maxclients") == {"maxclients": "77"}
            assert own.config_get("io-threads") == {"io-threads": "2"}
        exp.stop(database)
        database.set_db_conf("no-such-setting", "1")
        with pytest.raises(InputError, match="'no-such-setting'"):
            exp.start(database)


def version(database: Orchestrator) -> str:
    with admin(database, 0) as own:
        return str(own.info("server")["redis_version"])


def client(database: Orchestrator) -> Client:
    assert database.live is not None
    auth = json.loads(database.live.auth_file.read_text())
    host, port = database.live.addresses[0].split(":")
    if database.num_shards > 1:
        return RedisCluster(host, int(port), **auth)
    return redis.Redis(host, int(port), **auth)


def admin(database: Orchestrator, shard: int, password: str = "") -> redis.Redis:
    assert database.live is not None
    username, own = read_secret(database.live.admin_file)
    host, port = database.live.addresses[shard].split(":")
    return redis.Redis(host, int(port), username=username, password=password or own)
