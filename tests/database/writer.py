"""Writes numbered keys for ever, and tells which were acknowledged.

A program: ``writer.py [SIZE]``, with the variables that a model has. Lines on standard output:
``ok N`` when key N was acknowledged, ``no N: reason`` when it was refused or nobody answered; then
it is tried again.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

PAUSE = 0.01


def connect() -> redis.Redis | redis.RedisCluster:
    """A client of the database that the variables name."""
    auth = json.loads(Path(os.environ["SMARTCORE_DB_AUTH"]).read_text())
    host, port = os.environ["SSDB"].split(",")[-1].split(":")
    where = {"host": host, "port": int(port), "socket_timeout": 1, **auth}
    clustered = os.environ["SR_DB_TYPE"] == "Clustered"
    # Once more in a cluster, since a slot may have moved; all else is ours to try again.
    retry = Retry(NoBackoff(), int(clustered))
    return (redis.RedisCluster if clustered else redis.Redis)(retry=retry, **where)


def main() -> None:
    """Write until somebody ends this."""
    value = os.urandom(int(sys.argv[1])) if len(sys.argv) > 1 else b"x"
    client = None
    number = 0
    while True:
        try:
            client = client or connect()
            client.set(f"key{number}", value)
        except (redis.RedisError, OSError) as error:
            print(f"no {number}: {error}", flush=True)
            if isinstance(error, redis.RedisClusterException | redis.ConnectionError):
                client = None
            time.sleep(PAUSE)
        else:
            print(f"ok {number}", flush=True)
            number += 1


if __name__ == "__main__":
    main()
