"""Experiments whose drivers, keepers and models are killed or go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from smartcore.housekeeping import own_processes
from smartcore.launch import journal
from smartcore.launch.link import Place, read_facts

# What it starts: a model that forks, one that ends and leaves a process behind, and a plain one.
DRIVER = """
import sys
from smartcore import Experiment
exp = Experiment("exp", launcher="local")
sh = lambda name, text: exp.create_model(name, exp.create_run_settings("sh", ["-c", text]))
exp.start(sh("left", "sleep 1000 & exit 0"), sh("bad", "exit 3"))
exp.start(sh("forks", "sleep 1000 & wait"), block=False)
exp.start(exp.create_model("plain", exp.create_run_settings("sleep", "1000")), block=False)
print("ready", flush=True)
sys.stdin.read()
"""


@dataclass
class Lab:
    """A runtime directory of its own, and what is started in it."""

    where: Path
    tags: set[str] = field(default_factory=set)

    @property
    def path(self) -> Path:
        return self.where / "exp"

    @property
    def environment(self) -> dict[str, str]:
        runtime = {"SMARTCORE_RUNTIME_DIR": str(self.where / "rt"), "SMARTCORE_STOP_GRACE": "1"}
        return {**os.environ, **runtime, "SMARTCORE_PROGRESS": "never"}

    def start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER],
            cwd=self.where,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        assert any(line.startswith("ready") for line in process.stdout)
        self.tags |= {run.step.tag for run in journal.read(self.path).runs}
        return process

    def run(self, *argv: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "smartcore", *map(str, argv)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *argv: object) -> Any:
        done = self.run(*argv, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def alive(self) -> int:
        """How many ``sleep`` of the models there are."""
        names = [Path(f"/proc/{one.pid}/comm") for one in own_processes() if one.tag in self.tags]
        return sum(name.read_text().strip() == "sleep" for name in names)

    def keeper(self) -> int:
        facts = read_facts(Place(self.path, self.path))
        assert facts is not None
        return facts.pid

    def forge(self, host: str, tag: str, job: str, at: float = 2e9) -> Path:
        """The journal of a dead driver that launched one model.

        :param at: when, in seconds since the epoch; a time to come is after the boot
        """
        dead = subprocess.Popen(["true"])
        dead.wait()
        path = self.where / "forged"
        run: dict[str, object] = {"tag": tag, "name": "m", "kind": "Model", "run_id": 0}
        run |= dict.fromkeys(("cwd", "out", "err"), str(path))
        rows: list[dict[str, object]] = [
            {"what": "open", "experiment": "forged", "launcher": "local", "host": host}
            | {"pid": dead.pid, "born": 1},
            {"what": "launch", "runs": [run]},
            {"what": "started", "jobs": {tag: job}},
        ]
        file = path / journal.DIRECTORY / f"{host}-{dead.pid}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"v": 1, "at": at + i, **row}) for i, row in enumerate(rows)]
        file.write_text("\n".join(lines) + "\n")
        return path


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    for process in own_processes():
        if process.tag in lab.tags:
            os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def driver(lab: Lab) -> Iterator[subprocess.Popen[str]]:
    process = lab.start()
    yield process
    process.kill()
    process.communicate(timeout=20)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """Somebody else's process with the command line of a model."""
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    yield process
    process.kill()
    process.wait(20)
