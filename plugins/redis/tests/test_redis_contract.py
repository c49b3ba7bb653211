from __future__ import annotations

import shutil

import pytest

from smartcore.spec import Server
from smartcore.testing import DatabaseContract


class TestRedis(DatabaseContract):
    backend_class = "smartcore_redis.backend:RedisBackend"

    @pytest.fixture
    def server(self, redis_of_this_host: Server) -> Server:
        return redis_of_this_host


class TestValkey(DatabaseContract):
    backend_class = "smartcore_redis.backend:ValkeyBackend"

    @pytest.fixture
    def server(self, valkey_of_the_wheel: Server) -> Server:
        return valkey_of_the_wheel


if shutil.which("keydb-server"):

    class TestKeydb(DatabaseContract):
        backend_class = "smartcore_redis.backend:KeydbBackend"
