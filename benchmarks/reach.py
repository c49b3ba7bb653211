"""How quick a model is with a database that it reaches in one way or another, as a table.

usage: python -m benchmarks.reach

Prints the table of docs/databases.md. The model is this file, too: it measures redis-py, and runs
redis-benchmark, which is about as quick as clients in C, C++ and Fortran.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tabulate import tabulate

from smartcore import Experiment
from smartcore.entity import Model

ROUNDS = 5
SMALL = 64
CALLS = 10_000
# Of redis-benchmark: size, requests, pipeline, connections.
LOADS = {"1 kB": (1000, 200_000, 16, 4), "1 MB": (1_000_000, 800, 4, 2)}

COMMANDS = ("set", "get")
WHATS = [
    f"of {SMALL} bytes, redis-py: median (99th percentile)",
    f"of {SMALL} bytes, C client: mean",
    *(f"of {size}, pipelined" for size in LOADS),
]

Figures = dict[str, float]


# -- the model ----------------------------------------------------------------------------------


def model() -> None:
    """Measure the database that this process finds in its environment; one line of JSON."""
    import redis

    auth = json.loads(Path(os.environ["SMARTCORE_DB_AUTH"]).read_text())
    address = os.environ["SSDB"]
    path = address.removeprefix("unix://")
    if path != address:
        client = redis.Redis(unix_socket_path=path, **auth)
        where = ["-s", path]
    else:
        host, port = address.split(":")
        client = redis.Redis(host, int(port), **auth)
        where = ["-h", host, "-p", port]
    value = b"x" * SMALL
    figures = latency("redis-py set", lambda: client.set("key", value))
    figures |= latency("redis-py get", lambda: client.get("key"))
    for command, row in load(where, (SMALL, 2 * CALLS, 1, 1)).items():
        # One connection, one request at a time; its percentiles have steps of 8 us.
        figures[f"C {command}"] = 1e6 / float(row["rps"])
    for size, options in LOADS.items():
        for command, row in load(where, options).items():
            figures[f"{command} {size}"] = float(row["rps"]) * options[0]
    print(json.dumps(figures))


def latency(name: str, call: Callable[[], object]) -> Figures:
    """Median and 99th percentile of one call, in microseconds."""
    taken = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        call()
        taken.append((time.perf_counter() - begun) * 1e6)
    taken.sort()
    return {f"{name} p50": taken[CALLS // 2], f"{name} p99": taken[CALLS * 99 // 100]}


def load(where: Sequence[str], options: tuple[int, int, int, int]) -> dict[str, dict[str, str]]:
    """The rows that redis-benchmark prints, by command."""
    size, requests, pipeline, clients = map(str, options)
    words = ["-t", "set,get", "-d", size, "-n", requests, "-P", pipeline, "-c", clients, "--csv"]
    argv = ["redis-benchmark", *where, *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    return {row["test"].lower(): row for row in csv.DictReader(done.stdout.splitlines())}


# -- the driver ---------------------------------------------------------------------------------


def measured(prepare: Callable[[Experiment, Model], None]) -> Figures:
    """What one model prints."""
    with (
        tempfile.TemporaryDirectory() as path,
        Experiment("reach", path, launcher="local") as exp,
    ):
        run = exp.create_run_settings(sys.executable, ["-m", "benchmarks.reach", "model"])
        run.update_env({"PYTHONPATH": str(Path(__file__).parents[1])})
        made = exp.create_model("model", run)
        prepare(exp, made)
        exp.start(made, raise_on_failure=True)
        figures: Figures = json.loads((Path(made.path) / "model.out").read_text())
        return figures


def standalone(exp: Experiment, _: Model) -> None:
    # redis-benchmark takes a password from its arguments only, where all can read it.
    exp.start(exp.create_database(allow_unauthenticated=True))


def colocated_tcp(_: Experiment, made: Model) -> None:
    made.colocate_db_tcp(allow_unauthenticated=True)


def colocated_uds(_: Experiment, made: Model) -> None:
    made.colocate_db_uds(allow_unauthenticated=True)


WAYS = {
    "standalone, TCP": standalone,
    "colocated, TCP": colocated_tcp,
    "colocated, unix socket": colocated_uds,
}


def main() -> None:
    if shutil.which("redis-benchmark") is None:
        sys.exit("redis-benchmark is not on PATH; on Debian: apt-get install redis-tools")
    # Not of open databases: these live for seconds, on the loopback interface.
    logging.getLogger("smartcore").setLevel(logging.ERROR)
    rounds = [{name: measured(way) for name, way in WAYS.items()} for _ in range(ROUNDS)]
    whats = [f"{command.upper()} {what}" for what in WHATS for command in COMMANDS]
    columns = [whats] + [column([one[name] for one in rounds]) for name in WAYS]
    rows = list(zip(*columns, strict=True))
    print(tabulate(rows, ["", *WAYS], tablefmt="github", disable_numparse=True))
    today = datetime.now(UTC).date()
    print(f"\n{today}, {os.cpu_count()} cores, Linux {platform.release()}, best of {ROUNDS} rounds")


def column(rounds: Sequence[Figures]) -> list[str]:
    """One way's cells, in the order of WHATS."""

    # What else the host does only ever makes it slower.
    def quickest(figure: str) -> float:
        return min(one[figure] for one in rounds)

    cells = []
    for command in COMMANDS:
        p50, p99 = (quickest(f"redis-py {command} {which}") for which in ("p50", "p99"))
        cells.append(f"{p50:.0f} ({p99:.0f}) µs")
    cells += [f"{quickest(f'C {command}'):.1f} µs" for command in COMMANDS]
    for size in LOADS:
        for command in COMMANDS:
            best = max(one[f"{command} {size}"] for one in rounds)
            cells.append(f"{best / 1e9:.2f} GB/s")
    return cells


if __name__ == "__main__":
    if sys.argv[1:] == ["model"]:
        model()
    else:
        main()
