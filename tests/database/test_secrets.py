"""Nothing that an experiment says or writes tells a secret: all it says, with every message on."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from smartcore.database import read_secret

DRIVER = """
import logging, os, signal, sys
from pathlib import Path
from smartcore import Experiment
from smartcore.error import SmartcoreError

exp = Experiment("exp", launcher="local")
exp.telemetry.enable()
python = lambda name, text: exp.create_model(
    name, exp.create_run_settings(sys.executable, ["-c", text])
)
db = exp.create_database()
big = exp.create_database(db_nodes=3, db_identifier="big")
bad = exp.create_database(db_identifier="bad")
bad.set_db_conf("loadmodule", os.__file__)  # no module
beside = python("beside", "import time; time.sleep(1000)")
beside.colocate_db_tcp(db_identifier="near")
poor = python("poor", "import sys; sys.exit(3)")
poor.colocate_db_uds(db_identifier="nearer")
everything = [db, big, beside, poor]

def show():
    for level in ("info", "debug", "developer"):
        for format in ("plain_text", "json"):
            exp.preview(*everything, verbosity_level=level, output_format=format)
    print(exp.summary(), exp.statuses(), repr(everything), [vars(each) for each in everything])

show()
exp.generate(*everything)
exp.start(db, big)
try:
    exp.start(bad)
except SmartcoreError as error:
    print("refused:", repr(error), error)
try:
    db.set_db_conf("maxmemory", "nonsense")
except SmartcoreError as error:
    print("refused:", repr(error), error)
exp.start(beside, poor, block=False)
exp.wait(poor)
print(db.live, big.live)
died = big.live.jobs["big_1"]
os.kill(int(died.partition(".")[0]), signal.SIGKILL)
exp.wait("big_1")
show()
again = Experiment("again", exp_path=exp.exp_path, launcher="local")
print(again.reconnect_orchestrator(db.checkpoint_file).live)
print("ready", flush=True)
sys.stdin.read()
"""
ATTACH = """
import sys
from smartcore import Experiment
exp = Experiment.attach(sys.argv[1])
print(exp.summary(), exp.statuses())
exp.preview(verbosity_level="developer")
exp.stop(*exp.statuses())
print(exp.summary())
"""
COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("logs", "poor"),
    ("logs", "orchestrator_0"),
    ("explain", "poor"),
    ("explain", "big_1"),
    ("plan",),
    ("db", "list", "--json"),
    ("db", "info"),
    ("db", "info", "--json"),
    ("db", "top", "--once"),
    ("db", "connect", "--db", "orchestrator", "--json"),
)
GENERAL = (("ps",), ("ps", "--json"), ("gc", "--dry-run"), ("info",), ("databases", "list"))


def run(path: Path, *argv: str) -> str:
    done = subprocess.run(
        [sys.executable, *argv],
        cwd=path,
        env={**os.environ, "SMARTCORE_LOG_LEVEL": "debug"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.stdout + done.stderr


def passwords_below(path: Path) -> set[str]:
    found = {read_secret(file)[1] for file in path.rglob("*.a*.json") if ".a" in file.name}
    for spec in path.glob(".smartcore/scripts/*.json"):
        for sidecar in json.loads(spec.read_text())["sidecars"]:
            found.add(sidecar["ready"]["send"].split("\r\n")[6])
    return found


def keys_below(path: Path) -> set[str]:
    """A line of each private key."""
    texts = [file.read_text() for file in path.rglob("*.pem")]
    return {text.split("PRIVATE KEY-----\n")[1].splitlines()[0] for text in texts if "KEY" in text}


@pytest.mark.usefixtures("no_settings")
def test_no_secret_is_told_or_written_anywhere_but_in_files_for_it(tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "attach.py").write_text(ATTACH)
    exp = tmp_path / "exp"
    driver = subprocess.Popen(
        [sys.executable, "-u", "driver.py"],
        cwd=tmp_path,
        env={**os.environ, "SMARTCORE_LOG_LEVEL": "debug"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert driver.stdout is not None
    said = []
    try:
        for line in driver.stdout:
            said.append(line)
            if line.startswith("ready"):
                break
        assert said[-1] == "ready\n", "".join(said)
        said += [run(tmp_path, "-m", "smartcore", *argv, str(exp)) for argv in COMMANDS]
        said += [run(tmp_path, "-m", "smartcore", *argv) for argv in GENERAL]
    finally:
        driver.kill()
        driver.communicate(timeout=100)
        said.append(run(tmp_path, "attach.py", str(exp)))
    said.append(run(tmp_path, "-m", "smartcore", "status", str(exp)))
    told = "".join(said)
    for word in ("nonsense", "big_1", "SIGKILL", "poor", "127.0.0.1", "stopped"):
        assert word in told, word  # all of that was talked about

    passwords = passwords_below(exp)
    assert len(passwords) >= 2 * 4
    hashes = {hashlib.sha256(password.encode()).hexdigest() for password in passwords}
    secrets = [*passwords, *hashes, *keys_below(exp)]
    assert not [line for line in told.splitlines() for word in secrets if word in line]
    holders = {
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and any(word.encode() in path.read_bytes() for word in secrets)
    }
    kinds = (".auth.json", ".admin.json", ".conf", ".pem")
    assert {path for path in holders if not path.name.endswith(kinds)} == set(
        exp.glob(".smartcore/scripts/*.json")
    )
    assert {stat.S_IMODE(path.stat().st_mode) for path in holders} == {0o600}
