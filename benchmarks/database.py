"""Starting databases."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Result, experiment, interleaved, seconds
from smartcore.registry import default_registry


def results() -> Iterator[Result]:
    """One shard, and three."""
    ours, floor = interleaved(lambda: start(1), bare, 9)
    yield Result("database, 1 shard", ours, floor, 3.0, "spawn of the bare server to PONG")
    ours = start(3)
    yield Result(
        "database, 3 shards", ours, 2.0, 1.1, "2.0 s, before which no server joins a cluster"
    )


def start(shards: int) -> float:
    with experiment() as exp:
        database = exp.create_database(db_nodes=shards)
        exp.generate(database)
        taken = seconds(lambda: exp.start(database))
        exp.stop(database)
        return taken


def bare() -> float:
    server = default_registry().database("redis").find(os.environ)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as root:
        argv = [server.executable, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        begun = time.perf_counter()
        with (Path(root) / "log").open("wb") as log:
            process = subprocess.Popen(argv, cwd=root, stdout=log, stderr=log)
        while not pong(port):
            pass
        taken = time.perf_counter() - begun
        process.terminate()
        process.wait()
    return taken


def pong(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except ConnectionError:
        return False
