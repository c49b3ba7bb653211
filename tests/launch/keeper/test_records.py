"""What a keeper writes down of ends."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from pathlib import Path

import pytest
from homes import Home, halt, one, pid_of, wait_gone

from smartcore.error import LauncherError
from smartcore.launch.ledger import RecordFile
from smartcore.launch.ledger_reader import read_records
from smartcore.launch.link import host_name
from smartcore.spec import (
    JobId,
)


def test_ends_that_are_met_together_are_one_write(home: Home) -> None:
    driver = home.driver()
    gates = [home.gate(f"g{i}", i) for i in range(12)]
    jobs = driver.start(*(step for step, _ in gates))
    children = [os.pidfd_open(pid_of(job)) for job in jobs]
    pid = home.keeper()
    halt(pid)
    before = writes(pid)
    for _, open_gate in gates:
        open_gate()
    for job, pidfd in zip(jobs, children, strict=True):
        wait_gone(pid_of(job), pidfd)
    os.kill(pid, signal.SIGCONT)
    codes = {driver.next()[1].returncode for _ in jobs}
    assert codes == set(range(12))
    assert writes(pid) - before == 1
    (path,) = home.place.records.iterdir()
    assert len(path.read_text().splitlines()) == len(jobs)


def writes(pid: int) -> int:
    # Calls of write(2); what goes to sockets by send(2) does not count.
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("syscw")))


def test_a_record_says_what_ended_how_and_when(home: Home) -> None:
    driver = home.driver()
    (job,) = driver.start(home.step("sh", "-c", "kill -SEGV $$"))
    before = time.time()
    driver.next()
    (path,) = home.place.records.iterdir()
    assert path.name == f"{host_name()}-{home.keeper()}.jsonl"
    assert path.stat().st_mode & 0o077 == 0
    record = json.loads(path.read_text())
    assert abs(record.pop("time") - before) < 20
    assert 0 < record.pop("elapsed") < 20
    assert record == {
        "v": 1,
        "id": job,
        "tag": "m-1",
        "name": "m",
        "returncode": -11,
        "stopped": False,
    }


def test_a_torn_last_line_costs_only_that_record(home: Home) -> None:
    driver = home.driver()
    jobs = [driver.start(home.step("sh", "-c", f"exit {code}"))[0] for code in (3, 4)]
    for _ in jobs:
        driver.next()
    (path,) = home.place.records.iterdir()
    text = path.read_bytes()
    path.write_bytes(text[:-20])
    records = read_records(home.place.records, host_name())
    assert len(records) == 1
    assert set(records) < set(jobs)
    # A later keeper with the same number writes on behind it.
    file = RecordFile(str(path))
    file.save([{"v": 1, "id": "1.2"}])
    assert set(read_records(home.place.records, host_name())) == {*records, JobId("1.2")}


def test_records_of_a_newer_version_or_another_host_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "n-1.jsonl").write_text('{"v": 1, "id": "1.1"}\n')
    (tmp_path / "n-gpu-1.jsonl").write_text('{"v": 1, "id": "2.2"}\n')
    assert set(read_records(tmp_path, "n")) == {"1.1"}
    (tmp_path / "n-2.jsonl").write_text('{"v": 2, "what": "is this", "id": "3.3"}\n')
    with pytest.raises(LauncherError, match=r"n-2\.jsonl is of a newer smartcore"):
        read_records(tmp_path, "n")


def test_ends_that_cannot_be_written_are_told_and_written_later(home: Home) -> None:
    driver = home.driver()
    step, open_gate = home.gate("g", 6)
    driver.start(home.step("true"))
    driver.next()
    (job,) = driver.start(step)
    pid = home.keeper()
    (path,) = home.place.records.iterdir()
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (path.stat().st_size + 9, hard))
    open_gate()
    assert driver.next()[1].returncode == 6
    assert one(home.driver().processes.attach([job]), job).returncode == 6
    assert job not in read_records(home.place.records, host_name())
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
    (other,) = driver.start(home.step("true"))
    driver.next()
    records = read_records(home.place.records, host_name())
    assert records[job]["returncode"] == 6
    assert records[other]["returncode"] == 0
