"""Throughput of servers that smartcore started, against bare ones with the same configuration."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.database import answer, free_port
from benchmarks.measure import Result, experiment
from smartcore import Experiment
from smartcore.registry import default_registry
from smartcore.testing.running import wait_until

ROUNDS = 10
# The program of the model with the colocated database: tells where that is, and stays.
STAYS = 'echo "$SSDB_beside" >address.new; mv address.new address; exec sleep 600'


@dataclass(frozen=True)
class Load:
    """What redis-benchmark sends: so many of each command, in pipelines on some connections."""

    name: str
    size: int
    requests: int
    pipeline: int
    clients: int

    def options(self) -> list[str]:
        pairs = {
            "-t": "set,get",
            "-d": self.size,
            "-n": self.requests,
            "-P": self.pipeline,
            "-c": self.clients,
        }
        return [str(word) for pair in pairs.items() for word in pair]


LOADS = (Load("1 kB", 1000, 150_000, 16, 4), Load("1 MB", 1_000_000, 500, 4, 2))


@dataclass(frozen=True)
class Pair:
    """Two servers with one configuration: how redis-benchmark reaches them."""

    name: str
    ours: Sequence[str]
    bare: Sequence[str]


def results() -> Iterator[Result]:
    """SET and GET by TCP and by unix socket."""
    program = shutil.which("redis-benchmark")
    if program is None:
        print("no redis-benchmark on PATH: throughput cannot be measured")
        return
    with tempfile.TemporaryDirectory() as root, experiment() as exp:
        started: list[subprocess.Popen[bytes]] = []
        try:
            pairs = [standalone(exp, Path(root), started), colocated(exp, Path(root), started)]
            for pair in pairs:
                for load in LOADS:
                    yield from compared(program, pair, load)
        finally:
            for server in started:
                server.terminate()
                server.wait(60)


def compared(program: str, pair: Pair, load: Load) -> Iterator[Result]:
    """The best of several rounds each: what else the host does only ever makes it slower."""
    best = [{"SET": 0.0, "GET": 0.0} for _ in range(2)]
    for turn in range(ROUNDS):
        # Who goes first changes.
        for index in (0, 1) if turn % 2 else (1, 0):
            found = rates(program, (pair.ours, pair.bare)[index], load)
            best[index] = {name: max(rate, found[name]) for name, rate in best[index].items()}
    for command in best[0]:
        ours, floor = (1 / one[command] for one in best)
        note = f"bare server, same conf; best of {ROUNDS}"
        yield Result(f"{command} of {load.name}, {pair.name}", ours, floor, 1.1, note, unit="us")


def rates(program: str, where: Sequence[str], load: Load) -> dict[str, float]:
    """Requests per second of each command."""
    argv = [program, *where, *load.options(), "--csv"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    return {row["test"]: float(row["rps"]) for row in csv.DictReader(done.stdout.splitlines())}


# -- the servers --------------------------------------------------------------------------------


def standalone(exp: Experiment, root: Path, started: list[subprocess.Popen[bytes]]) -> Pair:
    # redis-benchmark takes a password from its arguments only, where all can read it.
    database = exp.create_database(allow_unauthenticated=True)
    exp.start(database)
    (address,) = database.get_address()
    port = free_port()
    conf = Path(database.path) / "orchestrator_0.conf"
    started.append(bare(conf, root / "tcp", f"port {port}"))
    wait_until(lambda: answer(port, "PING").startswith(b"+PONG"), "the bare server")
    return Pair("TCP", ["-p", address.rpartition(":")[2]], ["-p", str(port)])


def colocated(exp: Experiment, root: Path, started: list[subprocess.Popen[bytes]]) -> Pair:
    model = exp.create_model("beside", exp.create_run_settings("sh", ["-c", STAYS]))
    model.colocate_db_uds(custom_pinning=[], db_identifier="beside", allow_unauthenticated=True)
    exp.start(model, block=False)
    address = Path(model.path) / "address"
    wait_until(address.exists, "the model's address")
    (conf,) = Path(model.path).glob("*.conf")
    socket = root / "uds" / "socket"
    started.append(bare(conf, socket.parent, f"unixsocket {socket}"))
    wait_until(socket.exists, "the bare server's socket")
    ours = address.read_text().strip().removeprefix("unix://")
    return Pair("unix socket", ["-s", ours], ["-s", str(socket)])


def bare(conf: Path, place: Path, *different: str) -> subprocess.Popen[bytes]:
    """A server of its own with a configuration that smartcore wrote, but for its place."""
    place.mkdir()
    own = place / "server.conf"
    own.write_text("\n".join([conf.read_text(), f"dir {place}", *different, ""]))
    server = default_registry().database("redis").find(os.environ)
    with (place / "log").open("wb") as log:
        return subprocess.Popen([server.executable, str(own)], cwd=place, stdout=log, stderr=log)
