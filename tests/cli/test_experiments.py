from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DRIVER = """
import sys
from smartcore import Experiment
exp = Experiment("exp", launcher="local")
sh = lambda name, text: exp.create_model(name, exp.create_run_settings("sh", ["-c", text]))
exp.start(sh("bad", "echo out; echo err >&2; exit 3"))
exp.start(sh("one", "sleep 1000"), sh("two", "echo begun; sleep 1000"), block=False)
print("ready", flush=True)
sys.stdin.read()
exp.stop("one", "two")
"""


@pytest.fixture(scope="module")
def driver(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    where = tmp_path_factory.mktemp("driver")
    (where / "driver.py").write_text(DRIVER)
    process = subprocess.Popen(
        [sys.executable, "driver.py"],
        cwd=where,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready"):
            break
    yield process, where / "exp"
    process.communicate(timeout=30)


def smartcore(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "smartcore", *map(str, args)],
        env={**os.environ, "SMARTCORE_STOP_GRACE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def states(path: Path) -> dict[str, tuple[str, int | None]]:
    shown = json.loads(smartcore("status", path, "--json").stdout)
    return {run["name"]: (run["state"], run["code"]) for run in shown["runs"]}


def test_the_status_of_a_driven_experiment_is_seen_from_another_shell(
    driver: tuple[subprocess.Popen[str], Path],
) -> None:
    process, path = driver
    assert states(path)["bad"] == ("Failed", 3)
    assert states(path)["two"] == ("Running", None)
    done = smartcore("status", path)
    assert done.returncode == 1  # one has failed
    assert f"driven by process {process.pid}" in done.stdout
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("bad")]
    assert "exit code 3" in row
    assert row.endswith(" s")


def test_logs_are_printed_apart_and_names_are_checked(
    driver: tuple[subprocess.Popen[str], Path],
) -> None:
    _, path = driver
    assert smartcore("logs", path, "bad").stdout == "out\n"
    assert smartcore("logs", path, "bad", "--errors", "--follow").stdout == "err\n"
    unknown = smartcore("logs", path, "nobody")
    assert unknown.returncode == 1
    assert "no nobody in this experiment; there are: bad, one, two" in unknown.stderr


def test_logs_are_followed_until_ctrl_c(driver: tuple[subprocess.Popen[str], Path]) -> None:
    following = subprocess.Popen(
        [sys.executable, "-m", "smartcore", "logs", str(driver[1]), "two", "--follow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    assert following.stdout.readline() == "begun\n"
    following.send_signal(signal.SIGINT)
    assert following.communicate(timeout=60) == ("", "")
    assert following.returncode == 0


def test_one_model_is_stopped_from_another_shell_and_the_others_go_on(
    driver: tuple[subprocess.Popen[str], Path],
) -> None:
    _, path = driver
    unknown = smartcore("stop", path, "nobody")
    assert (unknown.returncode, "there are: bad, one, two" in unknown.stderr) == (1, True)
    done = smartcore("stop", path, "one")
    assert done.stdout.startswith("stopped one (")
    found = states(path)
    assert found["one"][0] == "Cancelled"
    assert found["two"][0] == "Running"


def test_a_directory_that_is_no_experiment_is_named(tmp_path: Path) -> None:
    done = smartcore("status", tmp_path)
    assert done.returncode == 1
    assert "has no journal" in done.stderr
