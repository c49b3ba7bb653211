from __future__ import annotations

import pytest
from tabulate import tabulate_formats

from smartcore.error import InputError
from smartcore.summary import SummaryRow, summary_table

DONE = SummaryRow("sim", "Model", "4711", 0, 1.5, "Completed", 0)
RUNNING = SummaryRow("db_0", "DBNode", "4710.0", 2, 0.25, "Running", None)
WAITING = SummaryRow("late", "Model", "", 0, None, "Queued", None)


def cells(table: str) -> list[list[str]]:
    rows = [line for line in table.splitlines() if not line.startswith("|-")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_table_has_the_columns_that_users_know() -> None:
    assert cells(summary_table([DONE]))[0] == [
        "", "Name", "Entity-Type", "JobID", "RunID", "Time", "Status", "Returncode",
    ]  # fmt: skip


def test_what_still_runs_or_waits_is_shown_with_blanks_for_what_is_not_known() -> None:
    assert cells(summary_table([DONE, RUNNING, WAITING]))[1:] == [
        ["0", "sim", "Model", "4711", "0", "1.5000", "Completed", "0"],
        ["1", "db_0", "DBNode", "4710.0", "2", "0.2500", "Running", ""],
        ["2", "late", "Model", "", "0", "", "Queued", ""],
    ]


def test_names_and_ids_that_look_like_numbers_stay_as_they_are() -> None:
    row = SummaryRow("1e5", "Model", "0123", 0, 2.0, "Completed", 0)
    assert cells(summary_table([row]))[1][1:4] == ["1e5", "Model", "0123"]


def test_a_negative_return_code_is_shown() -> None:
    row = SummaryRow("a", "Model", "1", 0, 2.0, "Failed", -9)
    assert cells(summary_table([row]))[1][-1] == "-9"


@pytest.mark.parametrize("style", tabulate_formats)
def test_every_style_of_tabulate_works_with_and_without_rows(style: str) -> None:
    assert "late" in summary_table([DONE, WAITING], style)
    summary_table([], style)


def test_an_unknown_style_is_an_error_that_lists_some() -> None:
    with pytest.raises(InputError, match=r"no table style named 'githup'.*github, grid"):
        summary_table([DONE], "githup")
