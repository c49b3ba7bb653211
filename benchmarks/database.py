"""Starting databases."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.measure import Result, experiment, interleaved, seconds
from smartcore.registry import default_registry


def results() -> Iterator[Result]:
    """One shard, and three."""
    ours, floor = interleaved(lambda: start(1), bare, 9)
    yield Result("database, 1 shard", ours, floor, 3.0, "spawn of the bare server to PONG")
    client = shutil.which("redis-cli")
    if client is None:
        print("no redis-cli on PATH: the floor for three shards cannot be measured")
        return
    ours, floor = interleaved(lambda: start(3), partial(create, client), 3)
    note = "redis-cli --cluster create to cluster_state:ok"
    yield Result("database, 3 shards", ours, floor, 1.1, note)


def start(shards: int) -> float:
    with experiment() as exp:
        database = exp.create_database(db_nodes=shards)
        exp.generate(database)
        taken = seconds(lambda: exp.start(database))
        exp.stop(database)
        return taken


def bare() -> float:
    with tempfile.TemporaryDirectory() as root:
        begun = time.perf_counter()
        port, process = serve(Path(root))
        while not answer(port, "PING").startswith(b"+PONG"):
            pass
        taken = time.perf_counter() - begun
        end([process])
    return taken


def create(client: str) -> float:
    """Three bare servers, joined by redis-cli, until each says that the cluster is whole."""
    with tempfile.TemporaryDirectory() as root:
        begun = time.perf_counter()
        servers = [serve(Path(root), "--cluster-enabled", "yes") for _ in range(3)]
        ports = [port for port, _ in servers]
        while not all(answer(port, "PING").startswith(b"+PONG") for port in ports):
            pass
        hosts = [f"127.0.0.1:{port}" for port in ports]
        subprocess.run(
            [client, "--cluster", "create", *hosts, "--cluster-yes"],
            check=True,
            capture_output=True,
            timeout=60,
        )
        while not all(b"cluster_state:ok" in answer(port, "CLUSTER INFO") for port in ports):
            time.sleep(0.001)
        taken = time.perf_counter() - begun
        end([process for _, process in servers])
    return taken


def serve(root: Path, *options: str) -> tuple[int, subprocess.Popen[bytes]]:
    server = default_registry().database("redis").find(os.environ)
    port = free_port()
    place = root / str(port)
    place.mkdir()
    argv = [server.executable, "--port", str(port), "--bind", "127.0.0.1", "--save", "", *options]
    with (place / "log").open("wb") as log:
        return port, subprocess.Popen(argv, cwd=place, stdout=log, stderr=log)


def free_port() -> int:
    # The bus of a cluster listens 10000 above, and must stay below the ephemeral ports.
    while True:
        port = random.randrange(10000, 22000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()


def answer(port: int, command: str) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(4096)
    except ConnectionError:
        return b""
