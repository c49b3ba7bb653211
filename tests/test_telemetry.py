from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Thread

import pytest

from smartcore.error import TelemetryError
from smartcore.spec import JobId, State, Status
from smartcore.telemetry import (
    ExperimentTelemetryConfiguration,
    TelemetryEvent,
    TelemetryWriter,
)


@dataclass
class Launched:
    name: str = "sim"
    kind: str = "Model"
    run_id: int = 1
    job: JobId | None = None
    status: Status = field(default_factory=lambda: Status(State.NEW))


def events(writer: TelemetryWriter) -> list[dict[str, object]]:
    return [json.loads(line) for line in writer.path.read_text().splitlines()]


def test_telemetry_is_off_until_switched_on_and_each_experiment_has_its_own_switch() -> None:
    one, other = ExperimentTelemetryConfiguration(), ExperimentTelemetryConfiguration()
    one.enable()
    assert (one.is_enabled, other.is_enabled) == (True, False)
    one.disable()
    assert not one.is_enabled


def test_nothing_is_written_while_it_is_off(tmp_path: Path) -> None:
    writer = TelemetryWriter(tmp_path)
    writer.started(Launched())
    assert list(tmp_path.iterdir()) == []


def test_a_start_and_an_end_are_one_line_each(tmp_path: Path) -> None:
    writer = TelemetryWriter(tmp_path)
    writer.configuration.enable()
    run = Launched()
    writer.started(run)
    run.job, run.status = JobId("12"), Status(State.FAILED, 3)
    writer.ended(run)
    start, end = events(writer)
    assert datetime.fromisoformat(str(end.pop("time"))) == run.status.seen
    assert start["event"] == "start"
    assert start["job_id"] is None
    assert end == {
        "version": 1,
        "event": "end",
        "name": "sim",
        "type": "Model",
        "run_id": 1,
        "job_id": "12",
        "state": "Failed",
        "returncode": 3,
    }
    assert writer.path == tmp_path / ".smartcore/telemetry/events.jsonl"


def test_lines_of_several_threads_do_not_mix(tmp_path: Path) -> None:
    writers = [TelemetryWriter(tmp_path) for _ in range(4)]

    def write(writer: TelemetryWriter) -> None:
        for number in range(100):
            writer.write(TelemetryEvent("n" * 300, "Model", number, None, State.RUNNING))

    threads = [Thread(target=write, args=[writer]) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(events(writers[0])) == 400


def test_a_file_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / ".smartcore").write_text("in the way")
    with pytest.raises(TelemetryError, match=r"events\.jsonl.*switch telemetry off"):
        TelemetryWriter(tmp_path).write(TelemetryEvent("a", "Model", 0, None, State.RUNNING))


def test_a_file_that_cannot_be_written_is_one_warning_in_a_launch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".smartcore").write_text("in the way")
    writer = TelemetryWriter(tmp_path)
    writer.configuration.enable()
    with caplog.at_level(logging.WARNING):
        writer.started(Launched())
        writer.ended(Launched())
    assert len(caplog.records) == 1
