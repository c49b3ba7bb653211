"""``smartcore ps``: what is shown of experiments."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

from smartcore.launch import journal

if TYPE_CHECKING:
    from tests.housekeeping.conftest import Lab


def test_a_driven_experiment_is_shown_with_its_driver_and_its_counts(
    lab: Lab, driver: subprocess.Popen[str]
) -> None:
    (row,) = lab.json("ps")
    assert (row["experiment"], row["path"]) == ("exp", str(lab.path))
    assert row["driver"] == {"host": os.uname().nodename, "pid": driver.pid, "living": True}
    assert row["keeper"] == lab.keeper()
    counts = {key: row[key] for key in ("queued", "running", "stale", "ended", "failed")}
    assert counts == {"queued": 0, "running": 2, "stale": 0, "ended": 1, "failed": 1}
    assert 0 <= row["age"] < 60
    shown = lab.run("ps").stdout
    assert all(word in shown for word in ("exp", str(driver.pid), str(lab.path), " s"))


def test_an_experiment_without_driver_is_shown_as_long_as_something_runs(
    lab: Lab, driver: subprocess.Popen[str]
) -> None:
    driver.kill()
    driver.wait(20)
    (row,) = lab.json("ps")
    assert (row["driver"]["living"], row["running"]) == (False, 2)
    assert f"{driver.pid} (gone)" in lab.run("ps").stdout
    assert lab.run("stop", lab.path).returncode == 0
    assert lab.json("ps") == []
    assert "smartcore ps --all" in lab.run("ps").stdout
    (row,) = lab.json("ps", "--all")
    assert (row["running"], row["ended"], row["failed"]) == (0, 3, 1)


def test_one_damaged_journal_does_not_hide_the_others(
    lab: Lab, driver: subprocess.Popen[str]
) -> None:
    forged = lab.forge("h", "t", "1.1")
    (file,) = (forged / journal.DIRECTORY).iterdir()
    file.write_text('{"v": 1, "at": 1, "what": "open"}\n')
    entries = lab.where / "rt" / "experiments"
    (entry,) = entries.iterdir()
    content = json.loads(entry.read_text()) | {"path": str(forged)}
    (entries / f"{os.uname().nodename}-0-1.1.json").write_text(json.dumps(content))
    rows = {row["path"]: row for row in lab.json("ps", "--all")}
    assert "is damaged" in rows[str(forged)]["problem"]
    assert rows[str(lab.path)]["running"] == 2


def test_an_experiment_that_cannot_be_read_is_named(lab: Lab) -> None:
    directory = lab.path / journal.DIRECTORY
    directory.mkdir(parents=True)
    (directory / "h-1.jsonl").write_text('{"v": 99, "at": 1, "what": "open"}\n')
    done = lab.run("gc", lab.path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{directory / 'h-1.jsonl'} was written by a newer smartcore" in done.stderr
    entries = lab.where / "rt" / "experiments"
    entries.mkdir(mode=0o700)
    entry = {"v": 1, "path": str(lab.path), "name": "exp", "driver": "1.1", "at": 1.0}
    (entries / f"{os.uname().nodename}-0-1.1.json").write_text(json.dumps(entry))
    (row,) = lab.json("ps")
    assert "newer smartcore" in row["problem"]
    assert lab.run("gc").returncode == 0
