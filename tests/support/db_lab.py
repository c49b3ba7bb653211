"""Databases on real servers whose driver lives in another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from smartcore.error import DatabaseError
from smartcore_redis.backend import RedisBackend

WAIT = 60
DRIVER = """
import sys
from smartcore import Experiment
exp = Experiment("exp", launcher="local")
plain = exp.create_database(db_nodes=3)
plain.set_max_memory("100mb")
kept = exp.create_database(db_identifier="kept")
kept.enable_checkpoints(3600)
exp.start(plain, kept)
print("ready", flush=True)
sys.stdin.read()
exp.stop(*[one for one in (plain, kept) if one.is_active()])
"""


def server() -> str:
    """A server that is installed, or the bundled one."""
    try:
        return RedisBackend().find(os.environ).executable
    except DatabaseError as error:
        pytest.skip(str(error))


@dataclass
class Lab:
    """An experiment with databases, and a shell that is not its driver."""

    where: Path
    server: str

    @property
    def path(self) -> Path:
        return self.where / "exp"

    @property
    def environment(self) -> dict[str, str]:
        unwanted = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"}
        kept = {name: value for name, value in os.environ.items() if name not in unwanted}
        runtime = {"SMARTCORE_RUNTIME_DIR": str(self.where / "rt"), "TERM": "xterm-256color"}
        return {**kept, **runtime, "REDIS_PATH": self.server}

    def command(self, *args: object) -> list[str]:
        return [sys.executable, "-m", "smartcore", "db", *map(str, args)]

    def run(self, *args: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*args),
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=False,
        )

    def json(self, *args: object) -> Any:
        return json.loads(self.run(*args, "--json").stdout)

    def client(self, *words: str, db: str = "kept") -> str:
        """What the server answers to the models' user."""
        done = self.run("connect", self.path, "--db", db, "--", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def password(self, db: str = "kept") -> str:
        text = (self.path / db / f"{db}.auth.json").read_text()
        return str(json.loads(text)["password"])


@contextmanager
def driven(where: Path, server: str) -> Iterator[Lab]:
    """Two databases, one of three shards, as long as this lasts."""
    lab = Lab(where, server)
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        cwd=where,
        env=lab.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert any(line == "ready\n" for line in process.stdout)
        yield lab
    finally:
        process.communicate(timeout=WAIT)
