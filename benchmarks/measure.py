"""What the benchmarks share: results, medians, and a fresh experiment in a temporary directory."""

from __future__ import annotations

import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from smartcore import Experiment


@dataclass(frozen=True)
class Result:
    """One figure.

    :param name: what was measured
    :param ours: seconds with smartcore
    :param floor: seconds of the least that could do the same, in this run
    :param budget: the ratio that is allowed; None if the figure is only shown
    :param note: what the floor is
    :param unit: what ``ours`` and ``floor`` are shown in: ``ms`` or ``us`` of time, or a ``count``
    """

    name: str
    ours: float
    floor: float
    budget: float | None
    note: str
    unit: str = "ms"

    @property
    def ratio(self) -> float:
        """``ours / floor``."""
        return self.ours / self.floor

    @property
    def verdict(self) -> str:
        """``ok``, ``over``, or nothing where there is no budget."""
        if self.budget is None:
            return ""
        return "ok" if self.ratio <= self.budget else "over"

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps({**asdict(self), "ratio": round(self.ratio, 3), "verdict": self.verdict})


def seconds(function: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def median(function: Callable[[], object], times: int) -> float:
    """The median of several calls."""
    return statistics.median(seconds(function) for _ in range(times))


def interleaved(
    ours: Callable[[], float], floor: Callable[[], float], times: int
) -> tuple[float, float]:
    """Medians of two measurements taken in turn, so that a noisy moment meets both."""
    pairs = [(ours(), floor()) for _ in range(times)]
    return statistics.median(own for own, _ in pairs), statistics.median(low for _, low in pairs)


@contextmanager
def experiment(max_running: int | None = None) -> Iterator[Experiment]:
    """An experiment on this host in a directory that vanishes."""
    with (
        tempfile.TemporaryDirectory() as directory,
        Experiment("bench", directory, launcher="local", max_running=max_running) as made,
    ):
        yield made


class Ears:
    """Hears when the end of a model is told.

    :param exp: whose models
    """

    def __init__(self, exp: Experiment) -> None:
        self._told = threading.Event()
        self._at = 0
        exp.on_end(self._listen)

    def _listen(self, name: str, status: object) -> None:
        self._at = time.monotonic_ns()
        self._told.set()

    def when(self, run: Callable[[], object]) -> int:
        """Run one model; the time of the callback, in nanoseconds of the monotonic clock."""
        self._told.clear()
        run()
        if not self._told.wait(60):
            raise TimeoutError("no end was told of")
        return self._at


def directories(root: Path, count: int) -> list[Path]:
    """Empty directories below ``root``."""
    made = [root / f"floor_{index}" for index in range(count)]
    for directory in made:
        directory.mkdir()
    return made
