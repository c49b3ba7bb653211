"""The table that ``Experiment.summary`` returns: everything launched, what still runs included;
and, if asked for, what its databases do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from smartcore.database.figures import Fact, Figures, columns, facts
from smartcore.error import InputError

HEADERS = ("", "Name", "Entity-Type", "JobID", "RunID", "Time", "Status", "Returncode")
# Names and ids stay text: a model called "1e5" is not the number 100000.0000.
_TEXT_COLUMNS = (1, 2, 3, 6)
JSON: Final = "json"
# Rates between two looks: there is but one.
_LEFT_OUT = ("in/s", "out/s")
_COMMON_STYLES = ("github", "grid", "simple", "plain", "pipe", "html", "latex", "tsv", "rst")


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One launch of one entity.

    :param name: the entity's name
    :param entity_type: ``Model``, ``DBNode``...
    :param job_id: as the launcher spells it, empty if it has none yet
    :param run_id: 0 for the first launch of this entity, then 1, 2...
    :param seconds: how long it ran, or has run until now; None if it has not started
    :param status: as shown
    :param returncode: None if unknown
    """

    name: str
    entity_type: str
    job_id: str
    run_id: int
    seconds: float | None
    status: str
    returncode: int | None


@dataclass(frozen=True, slots=True)
class DatabaseRow:
    """What one shard does.

    :param database: identifier of its database
    :param status: as shown
    :param figures: nothing of one that has ended
    """

    database: str
    status: str
    figures: Figures


def summary_text(
    rows: Iterable[SummaryRow],
    style: str = "github",
    databases: Sequence[DatabaseRow] | None = None,
) -> str:
    """A table of ``rows``, and one of ``databases`` unless that is None.

    :param style: any format of ``tabulate``, or ``json``
    :raises InputError: there is no such format
    """
    rows = list(rows)
    if style == JSON:
        return _json(rows, databases)
    table = summary_table(rows, style)
    if databases is None:
        return table
    shown = [_database_cells(row) for row in databases]
    if not any(row["Problem"] for row in shown):
        for row in shown:
            del row["Problem"]
    headers = list(shown[0]) if shown else ["Database", "Shard", "Status"]
    return f"{table}\n\n{_table([list(row.values()) for row in shown], headers, style)}"


def _json(rows: Sequence[SummaryRow], databases: Sequence[DatabaseRow] | None) -> str:
    import json
    from dataclasses import asdict

    told: dict[str, object] = {
        "entities": [asdict(row) | {"job_id": row.job_id or None} for row in rows]
    }
    if databases is not None:
        told["databases"] = [_database_facts(row) for row in databases]
    return json.dumps(told, indent=2, ensure_ascii=False)


def _database_facts(row: DatabaseRow) -> Mapping[str, Fact]:
    one = row.figures
    who: dict[str, Fact] = {"database": row.database, "shard": one.name, "status": row.status}
    return {**who, **facts(one), "problem": one.problem or None}


def _database_cells(row: DatabaseRow) -> dict[str, str]:
    shown = columns(row.figures)
    numbers = {name.capitalize(): shown[name] for name in shown if name not in _LEFT_OUT}
    who = {"Database": row.database, "Shard": row.figures.name, "Status": row.status}
    return {**who, **numbers, "Problem": row.figures.problem}


def summary_table(rows: Iterable[SummaryRow], style: str = "github") -> str:
    """A table of ``rows``, in their order.

    :param style: any format of ``tabulate``
    :raises InputError: there is no such format
    """
    cells = [_cells(index, row) for index, row in enumerate(rows)]
    # Without rows tabulate knows no columns to name here.
    return _table(cells, HEADERS, style, list(_TEXT_COLUMNS) if cells else True)


def _table(
    cells: Sequence[Sequence[str | int | float | None]],
    headers: Sequence[str],
    style: str,
    texts: list[int] | bool = True,
) -> str:
    from tabulate import tabulate, tabulate_formats

    if style not in tabulate_formats:
        some = ", ".join(name for name in _COMMON_STYLES if name in tabulate_formats)
        raise InputError(
            f"no table style named {style!r}; there are {JSON}, and {len(tabulate_formats)} of"
            f" tabulate, some of which are: {some}"
        )
    return str(
        tabulate(
            cells,
            headers=headers,
            tablefmt=style,
            floatfmt=".4f",
            missingval="",
            disable_numparse=texts,
        )
    )


def _cells(index: int, row: SummaryRow) -> tuple[str | int | float | None, ...]:
    return (
        index,
        row.name,
        row.entity_type,
        row.job_id,
        row.run_id,
        row.seconds,
        row.status,
        row.returncode,
    )
