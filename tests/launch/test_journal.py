from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smartcore.error import ConfigError, LauncherError, PathNotFoundError
from smartcore.launch import journal
from smartcore.launch.journal import Journal
from smartcore.launch.run import Run
from smartcore.spec import Command, JobId, State, Status, Step, Tag


def make_run(name: str) -> Run:
    where = Path("/nowhere")
    return Run(Step(name, Tag(f"{name}-1"), Command(()), where, where, where), "Model")


def written_by_another(path: Path, pid: int) -> None:
    """Turn the journal of this process into that of another one, which has gone."""
    (file,) = [one for one in files(path) if one.stem.endswith(f"-{os.getpid()}")]
    file.rename(file.with_name(f"{os.uname().nodename}-{pid}.jsonl"))


def files(path: Path) -> list[Path]:
    return sorted((path / journal.DIRECTORY).iterdir())


@contextmanager
def no_room_beyond(size: int) -> Iterator[None]:
    """What a full disk does: a write is cut short, and the next one fails."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_lines_of_several_threads_are_written_once_each(
    tmp_path: Path,
) -> None:
    book = Journal(tmp_path)
    book.opened("exp", "local")

    def write(names: list[str]) -> None:
        for name in names:
            book.database(name, "checkpoint")

    names = [[f"{thread}-{index}" for index in range(1000)] for thread in range(4)]
    threads = [threading.Thread(target=write, args=(own,)) for own in names]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    book.close()
    (file,) = files(tmp_path)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    written = [line["identifier"] for line in lines if line["what"] == "database"]
    assert sorted(written) == sorted(name for own in names for name in own)


# -- clocks -------------------------------------------------------------------------------------


def test_a_clock_that_was_set_back_does_not_make_an_older_driver_win(tmp_path: Path) -> None:
    run = make_run("m")
    run.job = JobId("1.1")
    first = Journal(tmp_path, clock=lambda: 2e9)
    first.opened("exp", "older")
    first.launch([run])
    first.started([run])
    first.close()
    written_by_another(tmp_path, 1)
    second = Journal(tmp_path, clock=lambda: 1e9)
    second.opened("exp", "newer")
    run.status = Status(State.COMPLETED, 0)
    second.ended(run)
    second.close()
    story = journal.read(tmp_path)
    assert [one.status.state for one in story.runs] == [State.COMPLETED]
    assert story.launcher == "newer"
    assert [driver.opened.timestamp() for driver in story.drivers] == [2e9, 1e9]


def test_a_clock_that_jumps_during_a_driver_changes_no_order(tmp_path: Path) -> None:
    times = iter([5e9, 4e9, 3e9, 2e9, 1e9])
    book = Journal(tmp_path, clock=lambda: next(times))
    book.opened("exp", "local")
    first, second = make_run("first"), make_run("second")
    first.job = JobId("1.1")
    book.launch([first])
    book.started([first])
    first.status = Status(State.FAILED, 3)
    book.ended(first)
    book.launch([second])
    book.close()
    told = [(run.name, run.status.state) for run in journal.read(tmp_path).runs]
    assert told == [("first", State.FAILED), ("second", State.QUEUED)]


def test_a_number_that_comes_again_is_the_newest_driver(tmp_path: Path) -> None:
    for launcher, clock in (("a", 3e9), ("b", 2e9), ("c", 1e9)):
        if launcher == "b":
            written_by_another(tmp_path, 1)
        book = Journal(tmp_path, clock=lambda at=clock: at)  # type: ignore[misc]
        book.opened("exp", launcher)
        book.close()
    story = journal.read(tmp_path)
    assert story.launcher == "c"
    assert [driver.opened.timestamp() for driver in story.drivers] == [3e9, 1e9]


# -- full disks ---------------------------------------------------------------------------------


def test_a_line_that_was_torn_by_a_full_disk_is_written_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, other = make_run("m"), make_run("n")
    book = Journal(tmp_path)
    book.opened("exp", "local")
    book.launch([run])
    (file,) = files(tmp_path)
    run.job = JobId("1.1")
    with no_room_beyond(file.stat().st_size + 9):
        book.started([run])
        run.status = Status(State.FAILED, 3)
        book.ended(run)
        assert [one.job for one in journal.read(tmp_path).runs] == [None]
    book.launch([other])
    book.close()
    told = [(one.name, one.job, one.status.state) for one in journal.read(tmp_path).runs]
    assert told == [("m", "1.1", State.FAILED), ("n", None, State.QUEUED)]
    assert [record.message.count("cannot write the journal") for record in caplog.records] == [1]


def test_what_cannot_be_written_down_is_not_launched(tmp_path: Path) -> None:
    run, other = make_run("m"), make_run("n")
    book = Journal(tmp_path)
    book.opened("exp", "local")
    (file,) = files(tmp_path)
    with (
        no_room_beyond(file.stat().st_size + 9),
        pytest.raises(LauncherError, match=r"nothing was launched: .*jsonl.*; make room"),
    ):
        book.launch([run])
    book.launch([other])
    book.close()
    assert [one.name for one in journal.read(tmp_path).runs] == ["n"]


def test_lines_that_are_still_missing_at_the_end_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = Journal(tmp_path)
    book.opened("exp", "local")
    (file,) = files(tmp_path)
    with no_room_beyond(file.stat().st_size):
        book.ended(make_run("m"))
        book.close()
    assert "lacks the last 1 lines" in caplog.text


def test_a_journal_that_was_removed_is_told_before_a_launch(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    (file,) = files(tmp_path)
    file.unlink()
    with pytest.raises(LauncherError, match=r"nothing was launched: .* was removed while"):
        book.launch([make_run("m")])
    book.close()


# -- killed drivers -----------------------------------------------------------------------------


def test_a_driver_that_was_killed_before_its_first_line_has_started_nothing(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    (file,) = files(tmp_path)
    with pytest.raises(PathNotFoundError, match=f"{file} is empty: nothing was started"):
        journal.read(tmp_path)
    file.write_text('{"v": 1, "at"')  # torn
    with pytest.raises(PathNotFoundError, match=f"{file} is empty"):
        journal.read(tmp_path)


def test_lines_that_are_no_objects_are_passed_over(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    book.opened("exp", "local")
    book.close()
    (file,) = files(tmp_path)
    with file.open("a") as stream:
        stream.write("\n17\n" + json.dumps({"v": 1, "at": 1.0, "what": "of later times"}) + "\n")
    assert journal.read(tmp_path).name == "exp"


# -- damage -------------------------------------------------------------------------------------


def put(path: Path, *lines: dict[str, object] | str) -> Path:
    directory = path / journal.DIRECTORY
    directory.mkdir(parents=True)
    file = directory / "h-1.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    file.write_text("".join(f"{text}\n" for text in texts))
    return file


OPEN: dict[str, object] = {"v": 1, "at": 1.0, "turn": 1, "what": "open", "experiment": "exp"}
OPEN |= {"launcher": "local", "host": "h", "pid": 1, "born": 1}
LAUNCHED: dict[str, object] = {"tag": "t", "name": "m", "kind": "Model", "run_id": 0}
LAUNCHED |= {"cwd": "/x", "out": "/x", "err": "/x"}
LAUNCH: dict[str, object] = {"v": 1, "at": 1.0, "turn": 1, "what": "launch", "runs": [LAUNCHED]}
ENDED: dict[str, object] = {"v": 1, "at": 1.0, "turn": 1, "what": "ended", "tag": "t"}


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        ([OPEN | {"pid": "many"}], 1),
        ([OPEN, LAUNCH, {"v": 1, "at": 1.0, "turn": "x", "what": "nodes"}], 3),
        ([{key: value for key, value in OPEN.items() if key != "launcher"}], 1),
        ([{key: value for key, value in OPEN.items() if key != "host"}], 1),
        ([OPEN | {"at": None}], 1),
        ([OPEN | {"v": "one"}], 1),
        ([OPEN, LAUNCH | {"at": "noon"}], 2),
        ([OPEN, LAUNCH | {"runs": [{"tag": "t"}]}], 2),
        ([OPEN, LAUNCH | {"runs": [{}]}], 2),
        ([OPEN, LAUNCH | {"runs": ["t"]}], 2),
        ([OPEN, LAUNCH, "", {"v": 1, "at": 1.0, "turn": 1}], 4),
        ([OPEN, LAUNCH, ENDED | {"status": {"state": "GONE"}}], 3),
        ([OPEN, LAUNCH, ENDED], 3),
    ],
)
def test_a_line_that_somebody_changed_is_named(
    tmp_path: Path, lines: list[dict[str, object] | str], number: int
) -> None:
    file = put(tmp_path, *lines)
    with pytest.raises(ConfigError, match=rf"{file}, line {number} is damaged"):
        journal.read(tmp_path)


def test_a_journal_of_nothing_readable_is_damaged(tmp_path: Path) -> None:
    file = put(tmp_path, "garbage", "and more")
    with pytest.raises(ConfigError, match=rf"{file} is damaged: no line of it can be read"):
        journal.read(tmp_path)
