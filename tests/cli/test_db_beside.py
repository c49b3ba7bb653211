"""``smartcore db`` on databases next to models, whose driver lives in another process."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from smartcore.cli import main
from smartcore.cli.shell import Shell
from smartcore.error import DatabaseError
from smartcore.launch.notes import DIRECTORY
from smartcore.testing.running import wait_until
from smartcore_redis.backend import RedisBackend

WAIT = 60
# Its models are ended by name pipes.
DRIVER = """
import sys
from smartcore import Experiment
exp = Experiment("exp", launcher="local")
run = exp.create_run_settings(sys.executable, ["-c", "open('pipe').read()"])
models = [exp.create_model(name, run) for name in ("tcp", "uds")]
models[0].colocate_db_tcp(db_identifier="near", maxmemory="100mb")
models[1].colocate_db_uds()
exp.generate(*models)
exp.start(*models, block=False)
for line in sys.stdin:
    print(exp.summary("json", databases=True).replace("\\n", ""), flush=True)
exp.stop(*models)
"""


@dataclass
class Lab:
    """An experiment whose models have databases next to them, and a shell."""

    where: Path
    driver: subprocess.Popen[str]

    @property
    def path(self) -> Path:
        return self.where / "exp"

    def run(self, *args: object) -> Result:
        return CliRunner().invoke(main, ["db", *map(str, args)], obj=Shell())

    def ping(self, database: str) -> subprocess.CompletedProcess[str]:
        """As a client; this becomes another program."""
        argv = ["db", "connect", str(self.path), "--db", database, "--", "PING"]
        return subprocess.run(
            [sys.executable, "-m", "smartcore", *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=False,
        )

    def json(self, *args: object) -> Any:
        return json.loads(self.run(*args, "--json").stdout)

    def summary(self) -> Any:
        """What the driver says of databases, by name."""
        assert self.driver.stdin and self.driver.stdout
        self.driver.stdin.write("\n")
        self.driver.stdin.flush()
        rows = json.loads(self.driver.stdout.readline())["databases"]
        return {row["database"]: row for row in rows}

    @property
    def notes(self) -> dict[str, Path]:
        return {path.stem: path for path in (self.path / DIRECTORY).glob("*/*.json")}


@contextmanager
def driven(where: Path) -> Iterator[Lab]:
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        cwd=where,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Lab(where, driver)
    finally:
        driver.communicate(timeout=WAIT)


def test_databases_next_to_models_are_seen_from_a_shell_and_in_the_summary(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    fresh_logging: logging.Logger,
) -> None:
    try:
        RedisBackend().find(os.environ)
    except DatabaseError as error:
        pytest.skip(str(error))
    where = tmp_path_factory.mktemp("db")
    monkeypatch.setenv("SMARTCORE_RUNTIME_DIR", str(where / "rt"))
    with driven(where) as lab:
        # Before its model runs, nothing stands in the notes.
        for name in ("tcp", "uds"):
            pipe = lab.path / name / "pipe"
            wait_until(pipe.parent.is_dir)
            os.mkfifo(pipe)
        wait_until(lambda: len(lab.notes) == 2)
        check_alive(lab)
        check_elsewhere(lab)
        check_dead(lab)
    assert lab.run("list", lab.path).stdout == f"no database was started in {lab.path}\n"
    # That of the one that lived to the end was taken back.
    assert list(lab.notes) == ["tcp-db"]


def check_alive(lab: Lab) -> None:
    near, uds = lab.json("list", lab.path)
    assert (near["database"], near["model"], near["identifier"]) == ("tcp-db", "tcp", "near")
    assert (uds["database"], uds["model"], uds["identifier"]) == ("uds-db", "uds", None)
    assert near["nodes"] == uds["nodes"] == [os.uname().nodename]
    assert near["addresses"][0].startswith("127.0.0.1:")
    assert uds["addresses"][0].startswith("unix:///")
    assert near["since"] and near["running"] and near["keys"] == 0
    (near,) = lab.json("info", lab.path, "--db", "near")
    (shard,) = near["shards"]
    assert (shard["state"], shard["memory_limit"]) == ("Running", 100 * 2**20)
    assert shard["output"] == str(lab.path / "tcp" / "tcp-db.log")
    assert lab.ping("uds-db").stdout == "PONG\n"
    shards = lab.json("top", lab.path, "--once")["shards"]
    assert [one["database"] for one in shards] == ["tcp-db", "uds-db"]
    assert {name: row["shard"] for name, row in lab.summary().items()} == {
        "tcp-db": "tcp-db",
        "uds-db": "uds-db",
    }
    refused = lab.run("stop", lab.path, "--db", "near")
    advice = f"tcp-db ends with its model tcp: smartcore stop {lab.path} tcp\n"
    assert refused.exit_code and refused.stderr.endswith(advice)
    assert "databases next to models write none" in lab.run("plot", lab.path, "--db", "near").stderr


def check_elsewhere(lab: Lab) -> None:
    file = lab.notes["uds-db"]
    text = file.read_text()
    file.write_text(json.dumps(json.loads(text) | {"machine": "other", "node": "n7"}))
    (row,) = lab.json("info", lab.path, "--db", "uds-db")
    assert row["problem"] == "it can be reached on its node only; ask on n7"
    assert row["running"] and row["shards"][0]["node"] == "n7"
    done = lab.run("connect", lab.path, "--db", "uds-db")
    assert done.exit_code and "ask on n7" in done.stderr
    file.write_text(text)


def check_dead(lab: Lab) -> None:
    log = lab.path / "tcp" / "tcp-db.log"
    os.kill(int(log.read_text().partition(":")[0]), signal.SIGKILL)
    wait_until(lambda: lab.json("list", lab.path)[0]["state"] == "Failed")
    (near,) = lab.json("info", lab.path, "--db", "near")
    assert near["problem"].startswith("it was killed by SIGKILL at ")
    assert (near["running"], near["shards"][0]["state"]) == (False, "Failed")
    assert lab.summary()["tcp-db"]["status"] == "Failed"
    assert (
        "the database 'tcp-db' has ended: it was" in lab.run("top", lab.path, "--db", "near").stderr
    )
