"""``smartcore db stop``, and what the other commands tell of what has ended."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from db_lab import WAIT, Lab, driven, server

from smartcore.cli.db_stop import fate
from smartcore.spec import Saved, ShardStatistics


@dataclass
class Ended:
    """Databases with a key each, that were stopped from a shell.

    :param told: what the stop of the one told, as JSON
    :param text: what that of the other told
    :param code: exit code of a ``top`` that watched
    :param errors: what that said at its end
    """

    lab: Lab
    told: list[Any]
    text: str
    code: int
    errors: str


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    with driven(tmp_path_factory.mktemp("db"), server()) as made:
        made.client("SET", "a", "1")
        made.client("SET", "a", "1", db="orchestrator")
        watching = subprocess.Popen(
            made.command("top", made.path, "--interval", "0.1", "--json"),
            env=made.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout is not None
        assert '"a"' not in watching.stdout.readline()
        told = made.json("stop", made.path, "--db", "kept")["stopped"]
        done = made.run("stop", made.path)
        assert done.returncode == 0, done.stderr
        _, errors = watching.communicate(timeout=WAIT)
        yield Ended(made, told, done.stdout, watching.returncode, errors)


def test_stop_tells_whether_the_data_was_written(ended: Ended) -> None:
    lab, (kept,), text = ended.lab, ended.told, ended.text
    (shard,) = kept["shards"]
    assert (kept["database"], shard["name"]) == ("kept", "kept_0")
    assert shard["data"].startswith(f"its data are kept in {lab.path}/kept/kept_0.rdb (")
    assert "lost" not in shard["data"]
    assert shard["written"]
    assert (lab.path / "kept" / "kept_0.rdb").stat().st_size > 0
    assert "stopped orchestrator" in text
    assert "kept" not in text
    assert text.count("it held no data") == 2
    assert text.count("all its data (1 key) are lost: enable_checkpoints was not called") == 1


NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
EARLIER = Saved(Path("/exp/db/db_0.rdb"), 2048, NOW - timedelta(hours=1))
FULL = ShardStatistics("db_0", keys=3, unsaved=2, saves=True)


@pytest.mark.parametrize(
    ("before", "saved", "words"),
    [
        (FULL, replace(EARLIER, written=NOW + timedelta(seconds=1)), ["kept in /exp/db/db_0.rdb"]),
        (FULL, EARLIER, ["kept in /exp/db/db_0.rdb", "2 changes after that are lost"]),
        (replace(FULL, unsaved=0), EARLIER, ["kept in /exp/db/db_0.rdb"]),
        (FULL, None, ["all its data (3 keys) are lost: it did not write them"]),
        (replace(FULL, keys=0), None, ["it held no data"]),
        (replace(FULL, saves=False), None, ["are lost: enable_checkpoints was not called"]),
        (replace(FULL, data=Path("/")), None, ["its data are kept in /"]),
        (ShardStatistics("db_0", "hangs"), None, ["not known: hangs"]),
        (ShardStatistics("db_0", "hangs"), EARLIER, ["not known: hangs; what it wrote last is /e"]),
    ],
)
def test_what_became_of_data_is_told_as_far_as_it_is_known(
    before: ShardStatistics, saved: Saved | None, words: list[str]
) -> None:
    told = fate(before, saved, NOW).told
    assert all(word in told for word in words)
    assert told.count("lost") == sum("lost" in word for word in words)


def test_top_ends_when_the_databases_have_ended(ended: Ended) -> None:
    assert ended.code == 0
    assert "the database 'kept' ended" in ended.errors
    assert "Traceback" not in ended.errors


def test_what_has_ended_is_told_with_when_and_how(ended: Ended) -> None:
    lab = ended.lab
    for row in lab.json("list", lab.path):
        assert (row["state"], row["memory"], row["problem"]) == ("Cancelled", None, None)
    for command in ("top", "connect"):
        done = lab.run(command, lab.path)
        assert done.returncode == 1
        assert "the database 'kept' ended" in done.stderr
        assert "ago (Cancelled" in done.stderr
    done = lab.run("stop", lab.path)
    assert done.returncode == 0
    assert done.stdout.startswith("nothing was running: the database 'orchestrator' ended")
    assert lab.json("list") == []
    assert [row["state"] for row in lab.json("list", "--all")] == ["Cancelled"] * 2


def test_what_has_ended_is_known_without_its_passwords(ended: Ended) -> None:
    lab = ended.lab  # smartcore gc removes them some day
    for file in lab.path.glob("*/*.json"):
        if not file.name.startswith("smartcore"):
            file.unlink()
    (kept,) = lab.json("info", lab.path, "--db", "kept")
    assert (kept["state"], kept["problem"], kept["shards"][0]["state"]) == (
        "Cancelled",
        None,
        "Cancelled",
    )
