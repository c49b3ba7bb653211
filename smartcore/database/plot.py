"""Pictures of a database's telemetry: memory and operations of each shard over time."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from smartcore.error import InputError, PathNotFoundError, PluginMissingError, UnsupportedError

from .sampler import DIRECTORY, MEMORY, OPERATIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
# A longer pause than so many usual ones is one in which nobody looked.
_GAP = 4
_MOST_NAMED = 20
_INK, _QUIET, _GRID, _LIMIT = "#1f2430", "#5c6370", "#e3e6eb", "#b3261e"


@dataclass(frozen=True, slots=True)
class Series:
    """What one shard did over time.

    :param name: the shard
    :param times: when its memory was looked at, in seconds since 1970
    :param memory: bytes used then
    :param limits: bytes that it might use then, 0 for no limit
    :param ops_times: when its operations were looked at, as ``times``
    :param ops: operations in a second, since the look before
    """

    name: str
    times: Sequence[float]
    memory: Sequence[float]
    limits: Sequence[float]
    ops_times: Sequence[float]
    ops: Sequence[float]


def recorded(experiment: Path) -> list[str]:
    """The databases of an experiment that have telemetry."""
    return sorted({file.parents[1].name for file in (experiment / DIRECTORY).glob(f"*/*/{MEMORY}")})


def read_series(experiment: Path, identifier: str) -> list[Series]:
    """The telemetry of each shard of a database.

    :raises PathNotFoundError: there is none, or but one sample
    :raises InputError: it cannot be read, as what another user's driver wrote
    """
    directory = experiment / DIRECTORY / identifier
    files = sorted(directory.glob(f"*/{MEMORY}"), key=lambda file: _order(file.parent.name))
    found = [_series(file.parent) for file in files]
    found = [series for series in found if series.times]
    if not found:
        there = ", ".join(recorded(experiment))
        raise PathNotFoundError(
            f"no telemetry of a database {identifier!r} in {experiment / DIRECTORY};"
            + (f" there is of: {there}" if there else " switch it on: database.telemetry.enable()")
            + "; databases next to models write none"
        )
    if not any(len(series.times) > 1 for series in found):
        raise PathNotFoundError(
            f"the telemetry of the database {identifier!r} is one sample only; wait for the next"
        )
    return found


def _order(name: str) -> tuple[str, int]:
    stem, _, index = name.rpartition("_")
    return stem, int(index) if index.isdecimal() else -1


def _series(directory: Path) -> Series:
    memory = list(_rows(directory / MEMORY, ("used_memory", "maxmemory")))
    ops = list(_rows(directory / OPERATIONS, ("ops_per_second",)))
    memory, ops = with_gaps(memory), with_gaps(ops)
    return Series(
        directory.name,
        [row[0] / 1000 for row in memory],
        [row[1] for row in memory],
        [row[2] for row in memory],
        [row[0] / 1000 for row in ops],
        [row[1] for row in ops],
    )


def _rows(file: Path, columns: Sequence[str]) -> Iterator[tuple[float, ...]]:
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                numbers = _numbers(row, ("timestamp", *columns))
                if numbers is not None:
                    yield numbers
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"cannot read the telemetry {file}: {error.strerror}") from error


def _numbers(row: Mapping[str, str | None], columns: Sequence[str]) -> tuple[float, ...] | None:
    # The last line of who was killed, or had no room, is torn.
    try:
        return tuple(float(row[name] or "") for name in columns)
    except (KeyError, ValueError):
        return None


def with_gaps(rows: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """The rows, with one of no numbers wherever nobody looked for long; the first is the time."""
    steps = [after[0] - before[0] for before, after in pairwise(rows)]
    usual = median(steps) if steps else 0.0
    found: list[tuple[float, ...]] = []
    for row in rows:
        if found and row[0] - found[-1][0] > _GAP * usual > 0:
            found.append((found[-1][0] + usual, *[math.nan] * (len(row) - 1)))
        found.append(row)
    return found


def draw(series: Sequence[Series], title: str, file: Path) -> None:
    """Draw memory and operations of these shards; the file's ending decides the format.

    :raises PluginMissingError: matplotlib is not installed
    :raises UnsupportedError: matplotlib has no such format
    :raises InputError: the file cannot be written
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PluginMissingError("plots need matplotlib: pip install 'smartcore[plot]'") from error
    figure = Figure(figsize=(9, 6), dpi=150, layout="constrained", facecolor="white")
    known = figure.canvas.get_supported_filetypes()
    kind = file.suffix.lstrip(".").lower()
    if kind not in known:
        raise UnsupportedError(
            f"no picture can be written as {file.name!r}; end its name with one of:"
            f" {', '.join('.' + name for name in sorted(known))}"
        )
    _draw_all(figure, series, title)
    try:
        figure.savefig(file, format=kind)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror}") from error


def _draw_all(figure: Figure, series: Sequence[Series], title: str) -> None:
    memory, ops = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (1, 1)})
    colours = _colours(len(series))
    _draw_memory(memory, series, colours)
    for one, colour in zip(series, colours, strict=True):
        ops.plot(_days(one.ops_times), one.ops, color=colour, linewidth=1.5)
    for axes, ylabel in ((memory, memory.get_ylabel()), (ops, "operations per second")):
        _plain(axes, ylabel)
    _label_time(ops, series)
    figure.align_ylabels()
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=_INK, fontweight="bold")
    handles, labels = memory.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower left",
        ncols=min(4, len(labels)),
        frameon=False,
        fontsize=8.5,
        labelcolor=_INK,
    )


def _draw_memory(
    axes: Axes, series: Sequence[Series], colours: Sequence[tuple[float, float, float, float]]
) -> None:
    finite = [
        value for one in series for value in (*one.memory, *one.limits) if not math.isnan(value)
    ]
    power = min(int(math.log(max([1.0, *finite]), 1024)), len(_UNITS) - 1)
    scale = 1024.0**power
    named = series if len(series) <= _MOST_NAMED else (*series[:1], *series[-1:])
    for one, colour in zip(series, colours, strict=True):
        label = one.name if one in named else None
        values = [value / scale for value in one.memory]
        axes.plot(_days(one.times), values, color=colour, linewidth=1.5, label=label)
    limits = {tuple(one.limits): one for one in series if any(limit > 0 for limit in one.limits)}
    for number, one in enumerate(limits.values()):
        values = [limit / scale if limit > 0 else math.nan for limit in one.limits]
        label = "limit of a shard (maxmemory)" if not number else None
        axes.plot(
            _days(one.times), values, color=_LIMIT, linewidth=1.2, linestyle="--", label=label
        )
    axes.set_ylabel(f"memory in {_UNITS[power]}")


def _plain(axes: Axes, ylabel: str) -> None:
    axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))
    axes.margins(x=0.01)
    axes.set_ylabel(ylabel, color=_INK, fontsize=9.5)
    axes.grid(visible=True, color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_QUIET, labelsize=8.5, length=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_QUIET)


def _days(times: Sequence[float]) -> list[float]:
    return [time / 86400 for time in times]  # as matplotlib counts


def _label_time(axes: Axes, series: Sequence[Series]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    first = datetime.fromtimestamp(min(one.times[0] for one in series)).astimezone()
    locator = AutoDateLocator(tz=first.tzinfo)  # type: ignore[no-untyped-call]
    formatter = ConciseDateFormatter(locator, tz=first.tzinfo)  # type: ignore[no-untyped-call]
    formatter.formats[-1] = "%H:%M:%S.%f"  # seconds; zeros at the end are cut off
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(formatter)
    axes.set_xlabel(f"time of day ({first.tzname()})", color=_INK, fontsize=9.5)


def _colours(count: int) -> list[tuple[float, float, float, float]]:
    from matplotlib import colormaps

    if count <= 10:
        return [colormaps["tab10"](index) for index in range(count)]
    return [colormaps["viridis"](index / (count - 1) * 0.9) for index in range(count)]
