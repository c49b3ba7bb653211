"""Starting and stopping databases."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.measure import Result, experiment, seconds
from smartcore.registry import default_registry

ROUNDS = 9
# A cluster takes two seconds, whoever starts it.
FEW = 5


@dataclass(frozen=True)
class Life:
    """Seconds that a database took to start and to stop."""

    start: float
    stop: float


def results() -> Iterator[Result]:
    """One shard, three, and sixteen."""
    yield from single()
    client = shutil.which("redis-cli")
    if client is None:
        print("no redis-cli on PATH: the floor for clusters cannot be measured")
        return
    yield from clusters(client)


def single() -> Iterator[Result]:
    """One shard, with the keeper up and at once after ``generate``."""
    runs = [(ours(1), ours(1, warm=False), bare()) for _ in range(ROUNDS)]
    warm, cold, floor = ([run[index] for run in runs] for index in range(3))
    note = "spawn of the bare server to PONG"
    floor_start = middle([life.start for life in floor])
    yield Result("database, 1 shard", middle([life.start for life in warm]), floor_start, 3.0, note)
    yield Result(
        "same, at once after generate",
        middle([life.start for life in cold]),
        floor_start,
        None,
        note + "; the keeper starts meanwhile",
    )
    floor_stop = middle([life.stop for life in floor])
    yield Result(
        "stop of 1 shard", middle([life.stop for life in warm]), floor_stop, 3.0, "SHUTDOWN + wait"
    )


def clusters(client: str) -> Iterator[Result]:
    """Three shards against redis-cli, and sixteen against three."""
    runs = [(ours(3), create(client), ours(16)) for _ in range(FEW)]
    three, floor, sixteen = ([run[index] for run in runs] for index in range(3))
    start = middle([life.start for life in three])
    note = "redis-cli --cluster create to cluster_state:ok"
    yield Result("database, 3 shards", start, middle([life.start for life in floor]), 1.1, note)
    many = middle([life.start for life in sixteen])
    yield Result("database, 16 shards", many, start, 1.5, "3 shards of ours")
    stop, floor_stop = middle([life.stop for life in three]), middle([life.stop for life in floor])
    yield Result("stop of 3 shards", stop, floor_stop, 3.0, "SHUTDOWN of each + wait")


def middle(values: Sequence[float]) -> float:
    return statistics.median(values)


def ours(shards: int, *, warm: bool = True) -> Life:
    with experiment() as exp:
        database = exp.create_database(db_nodes=shards)
        exp.generate(database)
        if warm:
            await_keeper(Path(exp.exp_path))
        start = seconds(lambda: exp.start(database))
        return Life(start, seconds(lambda: exp.stop(database)))


def await_keeper(path: Path) -> None:
    """Return when the process that ``generate`` starts in the background serves."""
    for thread in threading.enumerate():
        if thread.name == "smartcore-warm-up":
            thread.join(60)
    (facts,) = (json.loads(file.read_text()) for file in path.glob(".smartcore/keeper/*.json"))
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(facts["socket"])
        client.recv(1)  # it greets when it has nothing else to do any more


def bare() -> Life:
    with tempfile.TemporaryDirectory() as root:
        begun = time.perf_counter()
        port, process = serve(Path(root))
        while not answer(port, "PING").startswith(b"+PONG"):
            pass
        taken = time.perf_counter() - begun
        return Life(taken, seconds(partial(end, [(port, process)])))


def create(client: str) -> Life:
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
        return Life(taken, seconds(partial(end, servers)))


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


def end(servers: Sequence[tuple[int, subprocess.Popen[bytes]]]) -> None:
    # All are asked first: what they do at their end, they do at the same time.
    asked = [ask(port, "SHUTDOWN NOSAVE") for port, _ in servers]
    for connection, (_, process) in zip(asked, servers, strict=True):
        process.wait(60)
        connection.close()


def ask(port: int, command: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(f"{command}\r\n".encode())
    return connection


def answer(port: int, command: str) -> bytes:
    try:
        with ask(port, command) as connection:
            return connection.recv(4096)
    except ConnectionError:
        return b""
