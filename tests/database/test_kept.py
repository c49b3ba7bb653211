from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from smartcore.database.kept import described, loss
from smartcore.spec import Saved

WRITTEN = datetime(2026, 1, 2, 12, tzinfo=UTC)
SAVED = Saved(Path("/exp/db/db_0.rdb"), 2_500_000, WRITTEN)


def test_without_anything_on_disk_all_is_lost_and_the_remedy_is_named() -> None:
    told = loss(None, WRITTEN)
    assert told.startswith("all its data are lost")
    assert "enable_checkpoints(seconds)" in told


def test_what_was_written_after_a_checkpoint_is_lost() -> None:
    told = loss(SAVED, WRITTEN + timedelta(seconds=90))
    assert told.startswith("its data are kept in /exp/db/db_0.rdb (2.38 MiB, written 2026-01-02 ")
    assert told.endswith("; what was written in the 90 s after that is lost")


@pytest.mark.parametrize("later", [timedelta(0), timedelta(seconds=-5)])
def test_a_checkpoint_of_the_end_keeps_all(later: timedelta) -> None:
    assert loss(SAVED, WRITTEN + later) == f"all its data are kept in {described(SAVED)}"


def test_who_wrote_all_data_before_the_end_has_lost_nothing() -> None:
    told = loss(SAVED, WRITTEN + timedelta(seconds=90), whole=True)
    assert told == f"all its data are kept in {described(SAVED)}"


def test_a_span_too_short_to_be_told_is_not_told() -> None:
    told = loss(SAVED, WRITTEN + timedelta(milliseconds=40))
    assert told.endswith("; what was written after that is lost")
