"""``smartcore gc`` and databases that outlive their driver, some of them used by others."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from smartcore.launch import journal, spawn
from smartcore.testing.running import wait_until

PATIENCE = 60.0
OWNER = """
import sys
from smartcore import Experiment
exp = Experiment("owner")
database = exp.create_database()
exp.start(database)
print(database.checkpoint_file, flush=True)
sys.stdin.read()
"""
USER = """
import sys
from smartcore import Experiment
exp = Experiment("user")
database = exp.reconnect_orchestrator(sys.argv[1])
model = exp.create_model("m", exp.create_run_settings("sleep", "1000"))
exp.start(model, block=False)
print("ready", flush=True)
sys.stdin.read()
"""


class Place:
    """A runtime directory of its own, and the experiments of it."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self.drivers: list[subprocess.Popen[str]] = []

    @property
    def environment(self) -> dict[str, str]:
        runtime = {"SMARTCORE_RUNTIME_DIR": str(self.where / "rt"), "SMARTCORE_STOP_GRACE": "1"}
        return {**os.environ, **runtime, "SMARTCORE_PROGRESS": "never"}

    def drive(self, text: str, *arguments: str) -> tuple[subprocess.Popen[str], str]:
        """Run a driver, and wait for its first word."""
        driver = subprocess.Popen(
            [sys.executable, "-c", text, *arguments],
            cwd=self.where,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.drivers.append(driver)
        assert driver.stdout is not None
        return driver, driver.stdout.readline().strip()

    def run(self, *argv: object) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "smartcore", *map(str, argv)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *argv: object) -> Any:
        return json.loads(self.run(*argv, "--json"))

    def jobs(self, experiment: str) -> list[str]:
        return [run.job or "" for run in journal.read(self.where / experiment).runs]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    for driver in made.drivers:
        with driver:
            driver.kill()
    for experiment in ("user", "owner"):
        if (tmp_path / experiment / ".smartcore").exists():
            made.run("stop", tmp_path / experiment)


def end(driver: subprocess.Popen[str]) -> None:
    driver.kill()
    driver.wait(PATIENCE)


def test_a_database_that_a_living_experiment_uses_is_left_alone(place: Place) -> None:
    owner, checkpoint = place.drive(OWNER)
    user, _ = place.drive(USER, checkpoint)
    end(owner)
    (server,) = place.jobs("owner")
    for paths in ([], [place.where / "owner"]):
        found = place.json("gc", "--yes", *paths)
        assert found["processes"] == []
        (used,) = found["used"]
        assert (used["name"], used["users"]) == ("orchestrator_0", [str(place.where / "user")])
        assert spawn.alive(server)
    shown = place.run("gc", "--dry-run")
    assert f"orchestrator_0 ({server.split('.')[0]}) is used by {place.where / 'user'}" in shown
    (row,) = [row for row in place.json("ps") if row["experiment"] == "user"]
    assert row["uses"] == [checkpoint]
    # Its driver has gone, and its model goes on.
    end(user)
    found = place.json("gc", "--yes")
    assert [item["name"] for item in found["processes"]] == ["m"]
    assert [item["name"] for item in found["used"]] == ["orchestrator_0"]
    assert spawn.alive(server)
    # Nobody uses it any more.
    _gone(place.jobs("user")[0])
    _keeperless(place, "user")
    found = place.json("gc", "--yes")
    assert [item["name"] for item in found["processes"]] == ["orchestrator_0"]
    assert not spawn.alive(server)


def _gone(job: str) -> None:
    wait_until(lambda: not spawn.alive(job), f"the end of {job}")


def _keeperless(place: Place, experiment: str) -> None:
    """Wait until an experiment's keeper, which has nothing left to keep, has ended."""
    wait_until(
        lambda: all(row["experiment"] != experiment for row in place.json("ps")),
        f"the end of the keeper of {experiment}",
    )


def test_a_database_is_stopped_by_its_own_name_and_a_model_that_is_called_as_a_shard_goes_on(
    place: Place,
) -> None:
    model = 'exp.create_model("orchestrator_1", exp.create_run_settings("sleep", "1000"))'
    place.drive(OWNER.replace("exp.start(database)", f"exp.start(database, {model}, block=False)"))
    told = place.run("stop", place.where / "owner", "orchestrator")
    assert re.fullmatch(r"stopped orchestrator_0 \(\S+\)\n", told)


def test_a_strangers_server_on_the_port_of_ours_is_left_alone(place: Place) -> None:
    owner, checkpoint = place.drive(OWNER)
    (server,) = place.jobs("owner")
    content = json.loads(Path(checkpoint).read_text())
    program, port = content["server"]["executable"], content["shards"][0]["port"]
    end(owner)
    os.kill(spawn.parse(server)[0], signal.SIGKILL)
    _gone(server)
    (row,) = place.json("db", "list", place.where / "owner")
    assert (row["state"], row["problem"]) == ("Failed", "killed by SIGKILL")
    arguments = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    with subprocess.Popen(arguments, cwd=place.where, stdout=subprocess.DEVNULL) as stranger:
        try:
            wait_until(lambda: _listens(stranger.pid, port), "the stranger's server")
            with redis.Redis(port=port) as client:
                client.set("theirs", 1)
                assert place.json("gc", "--yes")["processes"] == []
                place.run("stop", place.where / "owner")
                assert client.get("theirs") == b"1"
            assert stranger.poll() is None
        finally:
            stranger.kill()


def _listens(pid: int, port: int) -> bool:
    return any(each.laddr.port == port for each in psutil.Process(pid).net_connections("tcp"))
