"""``smartcore gc``: files that nobody needs any more."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.housekeeping.conftest import Lab


def test_old_files_of_an_ended_experiment_go_and_the_evidence_stays(lab: Lab) -> None:
    program = """
from smartcore import Experiment
with Experiment("exp", launcher="local") as exp:
    exp.start(exp.create_database())
    exp.start(exp.create_model("m", exp.create_run_settings("true")))
"""
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=lab.where,
        env=lab.environment,
        capture_output=True,
        check=True,
        timeout=60,
    )
    own = lab.path / ".smartcore"
    (own / "scripts").mkdir(exist_ok=True)
    (own / "scripts" / "job.d").mkdir()
    for name in ("job.sh", "job.d/0"):
        (own / "scripts" / name).touch()
    (own / "keeper" / f"{os.uname().nodename}-1.begun").touch()
    (own / "keeper" / "other-host-1.begun").touch()
    assert (lab.path / "orchestrator" / "orchestrator_0.conf").is_file()
    before = lab.json("status", lab.path)["runs"]
    assert lab.json("gc", lab.path, "--yes")["files"] == []  # nothing is a week old
    looked = lab.json("gc", "--dry-run", "--older-than", "0")
    names = {Path(one["path"]).name for one in looked["files"]}
    assert {"job.sh", "job.d", "orchestrator.auth.json", "orchestrator.admin.json"} <= names
    assert (own / "scripts" / "job.d" / "0").exists()
    assert lab.json("gc", "--yes", "--older-than", "0")["errors"] == []
    assert [one.name for one in (own / "keeper").iterdir()] == ["other-host-1.begun"]
    assert list((own / "scripts").iterdir()) == []
    assert not list((lab.path / "orchestrator").glob("*.a*.json"))
    assert not (lab.path / "orchestrator" / "orchestrator_0.conf").exists()
    after = lab.json("status", lab.path)["runs"]
    assert [(run["name"], run["state"], run["code"]) for run in after] == [
        (run["name"], run["state"], run["code"]) for run in before
    ]
    assert any((own / "records").iterdir())


def test_secrets_beside_models_and_of_databases_that_never_served_go(lab: Lab) -> None:
    program = """
from pathlib import Path
from smartcore import Experiment
from smartcore.error import DatabaseError
with Experiment("exp", launcher="local") as exp:
    model = exp.create_model("m", exp.create_run_settings("true"))
    model.colocate_db_uds()
    exp.start(model)
    database = exp.create_database()
    Path(database.path).mkdir()
    Path(database.path, "orchestrator_0.rdb").write_text("no dump of a server")
    try:
        exp.start(database)
    except DatabaseError:
        print("failed")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=lab.where,
        env=lab.environment,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert b"failed" in done.stdout
    left = lab.path / "orchestrator"
    (left / "orchestrator_0.pem").touch()
    (lab.path / ".smartcore" / "meetings" / "orchestrator-1").mkdir(parents=True)
    (lab.path / ".smartcore" / "beside" / "model-1").mkdir(parents=True)
    (left / ".ended").mkdir()
    (left / ".ended" / "orchestrator_0-k3.0").touch()
    secrets = [lab.path / "m" / "m-db.auth.json", left / "orchestrator.auth.json"]
    assert all(secret.is_file() for secret in secrets)
    assert lab.json("gc", lab.path, "--yes", "--older-than", "0")["errors"] == []
    assert not any(secret.exists() for secret in secrets)
    assert [file.name for file in left.iterdir() if file.suffix in {".json", ".pem"}] == []
    assert (left / "orchestrator_0.rdb").is_file()
    assert not (left / ".ended").exists()
    assert not any((lab.path / ".smartcore" / "meetings").iterdir())
    assert not any((lab.path / ".smartcore" / "beside").iterdir())


def test_sockets_without_a_listener_go_and_others_stay(lab: Lab) -> None:
    lab.json("ps")  # makes the directory
    runtime = lab.where / "rt"
    with (
        socket.socket(socket.AF_UNIX) as listening,
        socket.socket(socket.AF_UNIX) as waiting,
        socket.socket(socket.AF_UNIX) as dead,
    ):
        listening.bind(str(runtime / "living"))
        listening.listen(0)
        waiting.connect(str(runtime / "living"))  # nobody else gets in
        dead.bind(str(runtime / "keeper-1.1"))
        found = lab.json("gc", "--yes")
    assert [Path(one["path"]).name for one in found["files"]] == ["keeper-1.1"]
    assert (runtime / "living").exists()
    assert not (runtime / "keeper-1.1").exists()
