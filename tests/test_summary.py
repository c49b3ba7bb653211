from __future__ import annotations

import json

import pytest
from tabulate import tabulate_formats

from smartcore.database.figures import Figures
from smartcore.error import InputError
from smartcore.summary import DatabaseRow, SummaryRow, summary_table, summary_text

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
    with pytest.raises(InputError, match=r"no table style named 'githup'.*json.*github, grid"):
        summary_table([DONE], "githup")


SHARD = Figures("db_0", "", 2**20, 2**22, 1000, 2, 12.5, 3, 1, 0)
DATABASES = [
    DatabaseRow("db", "Running", SHARD),
    DatabaseRow("db", "Running", Figures("db_1", "no answer")),
    DatabaseRow("old", "Cancelled", Figures("old_0")),
]


@pytest.mark.parametrize("style", tabulate_formats)
def test_databases_are_a_second_table_of_the_same_style(style: str) -> None:
    text = summary_text([DONE], style, DATABASES)
    assert text.startswith(summary_table([DONE], style))
    assert "no answer" in text
    summary_text([], style, [])


def test_what_has_ended_or_does_not_answer_has_dashes() -> None:
    table = summary_text([DONE], databases=DATABASES).partition("\n\n")[2]
    assert cells(table) == [
        ["Database", "Shard", "Status", "Memory", "Limit", "Keys", "Clients", "Ops/s", "Hits",
         "Evicted", "Problem"],
        ["db", "db_0", "Running", "1 MiB", "4 MiB (25%)", "1,000", "2", "12", "75.0%", "0", ""],
        ["db", "db_1", "Running", *"-------", "no answer"],
        ["old", "old_0", "Cancelled", *"-------", ""],
    ]  # fmt: skip


def test_without_databases_nothing_is_added() -> None:
    assert summary_text([DONE, WAITING]) == summary_table([DONE, WAITING])


def test_json_has_numbers_and_nulls() -> None:
    told = json.loads(summary_text([DONE, WAITING], "json", DATABASES))
    assert [row["name"] for row in told["entities"]] == ["sim", "late"]
    assert (told["entities"][1]["job_id"], told["entities"][1]["seconds"]) == (None, None)
    assert told["entities"][0]["returncode"] == 0
    first, second, third = told["databases"]
    assert (first["shard"], first["memory"], first["hit_ratio"]) == ("db_0", 2**20, 0.75)
    assert (second["memory"], second["problem"]) == (None, "no answer")
    assert (third["keys"], third["problem"], third["status"]) == (None, None, "Cancelled")
    assert "databases" not in json.loads(summary_text([DONE], "json"))
