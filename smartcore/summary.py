"""The table that ``Experiment.summary`` returns: everything launched, what still runs included."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from smartcore.error import InputError

HEADERS = ("", "Name", "Entity-Type", "JobID", "RunID", "Time", "Status", "Returncode")
# Names and ids stay text: a model called "1e5" is not the number 100000.0000.
_TEXT_COLUMNS = (1, 2, 3, 6)
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


def summary_table(rows: Iterable[SummaryRow], style: str = "github") -> str:
    """A table of ``rows``, in their order.

    :param style: any format of ``tabulate``
    :raises InputError: there is no such format
    """
    from tabulate import tabulate, tabulate_formats

    if style not in tabulate_formats:
        some = ", ".join(name for name in _COMMON_STYLES if name in tabulate_formats)
        raise InputError(
            f"no table style named {style!r}; some of the {len(tabulate_formats)} there are: {some}"
        )
    cells = [_cells(index, row) for index, row in enumerate(rows)]
    return str(
        tabulate(
            cells,
            headers=HEADERS,
            tablefmt=style,
            floatfmt=".4f",
            missingval="",
            # Without rows tabulate knows no columns to name here.
            disable_numparse=list(_TEXT_COLUMNS) if cells else True,
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
