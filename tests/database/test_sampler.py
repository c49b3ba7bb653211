from __future__ import annotations

import csv
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from smartcore import Experiment
from smartcore.database import Orchestrator
from smartcore.database.sampler import HEADERS, Sampler, append, write_sample
from smartcore.launch import spawn
from smartcore.spec import ShardStatistics
from smartcore.testing.running import wait_until

WELL = ShardStatistics("db_0", memory=10, memory_peak=20, memory_limit=40, memory_host=99)
USERS = {  # what scripts of SmartSim's users read
    "memory.csv": ["timestamp", "used_memory", "used_memory_peak", "total_system_memory"],
    "client_count.csv": ["timestamp", "num_clients"],
}


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def samples(directory: Path, shard: str) -> int:
    file = directory / shard / "memory.csv"
    return len(rows(file)) if file.exists() else 0


# -- files --------------------------------------------------------------------------------------


def test_the_columns_that_users_know_come_first(tmp_path: Path) -> None:
    write_sample(tmp_path, 1000, WELL, 2.5)
    for name, columns in USERS.items():
        header = (tmp_path / name).read_text().splitlines()[0].split(",")
        assert header[: len(columns)] == columns
    (memory,) = rows(tmp_path / "memory.csv")
    assert (memory["used_memory"], memory["maxmemory"]) == ("10", "40")
    (operations,) = rows(tmp_path / "operations.csv")
    assert (operations["timestamp"], operations["ops_per_second"]) == ("1000", "2.5")
    assert all((tmp_path / name).stat().st_mode & 0o077 == 0 for name in HEADERS)


def test_a_file_that_is_there_goes_on_and_a_torn_line_stays_alone(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    append(file, ("a", "b"), (1, 2))
    append(file, ("a", "b"), (3, 4))
    with file.open("a") as stream:
        stream.write("5,")
    append(file, ("a", "b"), (7, 8))
    assert file.read_text() == "a,b\n1,2\n3,4\n5,\n7,8\n"


# -- the thread ---------------------------------------------------------------------------------


class Told:
    """A database that says what a test lets it say."""

    def __init__(self, *answers: ShardStatistics) -> None:
        self.answers: Sequence[ShardStatistics] = answers
        self.running = True
        self.asked = 0

    def ask(self) -> Sequence[ShardStatistics]:
        self.asked += 1
        return self.answers

    def sampler(self, path: Path, interval: float = 0.01) -> Sampler:
        return Sampler(path, "db", self.ask, lambda: self.running, interval)


def test_samples_are_taken_until_it_is_told_to_stop(tmp_path: Path) -> None:
    told = Told(WELL)
    sampler = told.sampler(tmp_path)
    sampler.start()
    where = tmp_path / ".smartcore/telemetry/db"
    wait_until(lambda: samples(where, "db_0") >= 3, "three samples")
    sampler.stop()
    count = told.asked
    assert samples(where, "db_0") == count
    assert not any(thread.name == "db sampler" for thread in threading.enumerate())


def test_it_stops_at_once_whatever_the_interval(tmp_path: Path) -> None:
    told = Told(WELL)
    sampler = told.sampler(tmp_path, interval=10_000)
    sampler.start()
    wait_until(lambda: told.asked == 1, "a sample")
    sampler.stop()
    assert not any(thread.name == "db sampler" for thread in threading.enumerate())


def test_it_ends_with_the_database(tmp_path: Path) -> None:
    told = Told(WELL)
    told.sampler(tmp_path).start()
    wait_until(lambda: told.asked > 1, "samples")
    told.running = False
    wait_until(
        lambda: not any(thread.name == "db sampler" for thread in threading.enumerate()), "its end"
    )


def test_a_shard_without_an_answer_has_no_line_and_the_others_go_on(tmp_path: Path) -> None:
    told = Told(WELL, replace(WELL, name="db_1", problem="no answer"))
    sampler = told.sampler(tmp_path)
    sampler.start()
    where = tmp_path / ".smartcore/telemetry/db"
    wait_until(lambda: samples(where, "db_0") >= 2, "two samples")
    sampler.stop()
    assert not (where / "db_1").exists()


def test_files_that_cannot_be_written_are_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smartcore.database.sampler.log.propagate", True)
    (tmp_path / ".smartcore").write_text("in the way")
    told = Told(WELL)
    sampler = told.sampler(tmp_path)
    sampler.start()
    wait_until(lambda: told.asked > 3, "samples")
    sampler.stop()
    assert caplog.text.count("cannot write telemetry to") == 1


# -- an experiment ------------------------------------------------------------------------------


@pytest.fixture
def exp(tmp_path: Path, no_settings: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Experiment]:
    monkeypatch.setenv("SMARTCORE_DB_TELEMETRY_INTERVAL", "0.1")
    with Experiment("exp", str(tmp_path)) as made:
        yield made


@pytest.fixture
def start(exp: Experiment) -> Callable[..., Orchestrator]:
    def run(shards: int = 1, *, telemetry: bool = True) -> Orchestrator:
        database = exp.create_database(db_nodes=shards)
        if telemetry:
            database.telemetry.enable()
        exp.start(database)
        return database

    return run


def test_a_database_that_is_not_switched_on_leaves_no_file(
    start: Callable[..., Orchestrator], exp: Experiment
) -> None:
    exp.stop(start(telemetry=False))
    assert not (Path(exp.exp_path) / ".smartcore/telemetry").exists()


def test_telemetry_can_be_switched_while_it_runs_and_a_restart_appends(
    start: Callable[..., Orchestrator], exp: Experiment
) -> None:
    where = Path(exp.exp_path) / ".smartcore/telemetry/orchestrator"
    database = start(telemetry=False)
    database.telemetry.enable()
    wait_until(lambda: samples(where, "orchestrator_0") >= 2, "two samples")
    database.telemetry.disable()
    assert not any("sampler" in thread.name for thread in threading.enumerate())
    before = samples(where, "orchestrator_0")
    exp.stop(database)
    assert samples(where, "orchestrator_0") == before
    database.telemetry.enable()
    exp.start(database)
    wait_until(lambda: samples(where, "orchestrator_0") > before + 1, "samples of the second life")
    exp.stop(database)
    lines = (where / "orchestrator_0" / "memory.csv").read_text().splitlines()
    assert [line.startswith("timestamp") for line in lines].count(True) == 1
    stamps = [int(row["timestamp"]) for row in rows(where / "orchestrator_0" / "memory.csv")]
    assert stamps == sorted(stamps)


def test_a_shard_that_dies_ends_its_own_samples_only(
    start: Callable[..., Orchestrator], exp: Experiment
) -> None:
    where = Path(exp.exp_path) / ".smartcore/telemetry/orchestrator"
    database = start(3)
    wait_until(lambda: samples(where, "orchestrator_1") >= 1, "a sample")
    assert database.live is not None
    os.kill(spawn.parse(database.live.jobs["orchestrator_1"])[0], signal.SIGKILL)
    wait_until(lambda: exp.status("orchestrator_1").is_terminal, "its end")
    after = samples(where, "orchestrator_0")
    wait_until(lambda: samples(where, "orchestrator_0") > after + 2, "samples of the others")
    # One may have been on its way while it died.
    last = samples(where, "orchestrator_1")
    wait_until(lambda: samples(where, "orchestrator_0") > after + 4, "more of them")
    assert samples(where, "orchestrator_1") == last
    table = exp.summary(databases=True)
    assert "Failed" in table


def test_samples_go_on_when_a_database_is_brought_back(
    start: Callable[..., Orchestrator], exp: Experiment
) -> None:
    where = Path(exp.exp_path) / ".smartcore/telemetry/orchestrator"
    database = start()
    wait_until(lambda: samples(where, "orchestrator_0") >= 1, "a sample")
    assert database.live is not None
    os.kill(spawn.parse(database.live.jobs["orchestrator_0"])[0], signal.SIGKILL)
    wait_until(
        lambda: not any("sampler" in thread.name for thread in threading.enumerate()), "its end"
    )
    before = samples(where, "orchestrator_0")
    exp.restart(database)
    wait_until(lambda: samples(where, "orchestrator_0") > before, "samples of the second life")


def test_the_summary_shows_numbers_while_it_runs_and_dashes_afterwards(
    start: Callable[..., Orchestrator], exp: Experiment
) -> None:
    database = start(telemetry=False)
    assert shard_cells(exp)[:3] == ["orchestrator", "orchestrator_0", "Running"]
    assert shard_cells(exp)[3].endswith("iB")
    assert "iB" not in exp.summary("tsv")
    (told,) = json.loads(exp.summary("json", databases=True))["databases"]
    assert (told["keys"], told["clients"], told["problem"]) == (0, 0, None)
    exp.stop(database)
    assert shard_cells(exp) == ["orchestrator", "orchestrator_0", "Cancelled", *"-------"]


def shard_cells(exp: Experiment) -> list[str]:
    last = exp.summary("tsv", databases=True).splitlines()[-1]
    return [cell.strip() for cell in last.split("\t")]
