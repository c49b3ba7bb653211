from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.launch.batch.record import ExitRecord, Records, parse_record, record_name
from smartcore.spec import Tag

WHOLE = "version=1\njob=12\nrestarts=2\nhost=n1\ncode=143\ndied=1\nmet=TERM\n"


def test_a_record_says_code_job_restarts_and_host() -> None:
    assert parse_record(WHOLE) == ExitRecord(-15, True, "12", 2, "n1")


def test_a_program_that_returns_143_was_not_killed() -> None:
    record = parse_record(WHOLE.replace("died=1", "died=0"))
    assert record is not None
    assert record.returncode == 143


@pytest.mark.parametrize(
    ("code", "met", "returncode", "unsure"),
    [
        (130, "", 130, True),
        (130, "INT", -2, False),
        (130, "TERM", 130, True),
        (143, "TERM", -15, False),
    ],
)
def test_where_the_shell_is_silent_a_signal_to_the_whole_job_is_believed(
    code: int, met: str, returncode: int, unsure: bool
) -> None:
    text = f"version=1\njob=12\nrestarts=2\nhost=n1\ncode={code}\ndied=?\nmet={met}\n"
    record = parse_record(text)
    assert record is not None
    assert (record.returncode, record.unsure) == (returncode, unsure)


@given(st.integers(0, len(WHOLE) - len("met=TERM\n") - 1))
def test_a_torn_record_is_none(length: int) -> None:
    assert parse_record(WHOLE[:length]) is None


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    parse_record(text)
    parse_record(f"version=1\n{text}")


def test_a_record_of_another_version_is_none() -> None:
    assert parse_record(WHOLE.replace("version=1", "version=2")) is None


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "records")


def test_only_what_was_there_at_the_last_look_is_read(records: Records) -> None:
    records.look()
    records.path.mkdir()
    (records.path / "m-1.0").write_text(WHOLE)
    (records.path / "m-1.0.begun").write_text("job=12\n")
    assert records.read(Tag("m-1"), 0) is None
    records.look()
    assert records.read(Tag("m-1"), 0) is not None


def test_a_record_without_its_beginning_is_of_an_earlier_incarnation(records: Records) -> None:
    """F18."""
    records.path.mkdir()
    (records.path / "m-1.0").write_text(WHOLE)
    records.look()
    assert records.read(Tag("m-1"), 0) is None


def test_a_stop_is_seen_by_every_process(records: Records) -> None:
    records.mark_stopped(Tag("m-1"), 3)
    other = Records(records.path)
    other.look()
    assert other.was_stopped(Tag("m-1"), 3)
    assert not other.was_stopped(Tag("m-1"), 2)


def test_a_name_of_a_record_stays_in_its_directory() -> None:
    assert "/" not in record_name(Tag("../../etc/passwd"), 0)


@pytest.mark.parametrize(("array", "known"), [("array=7\n", "7"), ("array=\n", "12"), ("", "12")])
def test_a_member_leads_to_its_array_where_it_knows_it(
    records: Records, array: str, known: str
) -> None:
    records.path.mkdir()
    (records.path / "m-1.1.begun").write_text(f"version=2\njob=12\n{array}")
    assert records.job_that_began(Tag("m-1"), 3) == known
