from __future__ import annotations

import shutil

from smartcore.testing import DatabaseContract


class TestRedis(DatabaseContract):
    backend_class = "smartcore_redis.backend:RedisBackend"


class TestValkey(DatabaseContract):
    backend_class = "smartcore_redis.backend:ValkeyBackend"


if shutil.which("keydb-server"):

    class TestKeydb(DatabaseContract):
        backend_class = "smartcore_redis.backend:KeydbBackend"
