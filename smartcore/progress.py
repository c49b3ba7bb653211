"""The live display of a blocking start: a bar, counts and what runs; nothing at all in a pipe."""

from __future__ import annotations

import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from smartcore.error import InputError
from smartcore.spec import State

if TYPE_CHECKING:
    from rich.console import RenderableType

    from smartcore.launch.run import Run

MODES = ("auto", "always", "never")
DRAWS_PER_SECOND = 10
_NAMES_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Counts:
    """How many entities are where."""

    queued: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def ended(self) -> int:
        """How many have ended, one way or the other."""
        return self.completed + self.failed + self.cancelled


class Progress(ABC):
    """A live display; a context manager that draws from its start to its end."""

    @abstractmethod
    def update(self, counts: Counts, running: Sequence[str]) -> None:
        """Take note of the newest counts and of the names of what runs. Cheap: it may be called on
        every change, from any thread.
        """

    @abstractmethod
    def start(self) -> None:
        """Begin to draw."""

    @abstractmethod
    def stop(self) -> None:
        """Draw the last state, and give the cursor back."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def make_progress(mode: str, total: int, stream: TextIO | None = None) -> Progress | None:
    """A display for ``total`` entities; None if nothing is to be shown.

    :param mode: ``auto`` shows it on a terminal and in a notebook, ``always`` in pipes, too,
        ``never`` nowhere
    :param stream: where to draw; None takes standard error, or the notebook's cell
    :raises InputError: there is no such mode
    """
    if mode not in MODES:
        raise InputError(f"no progress mode {mode!r}; there are: {', '.join(MODES)}")
    if mode == "never":
        return None
    if stream is None and (notebook := _notebook()) is not None:
        return _NotebookProgress(total, notebook)
    stream = sys.stderr if stream is None else stream
    if mode == "auto" and not is_terminal(stream):
        return None
    return _TerminalProgress(total, stream)


def is_terminal(stream: TextIO) -> bool:
    """True if ``stream`` is a terminal on which lines can be redrawn."""
    try:
        return stream.isatty() and os.environ.get("TERM", "") not in {"dumb", "unknown"}
    except ValueError:  # closed
        return False


def _notebook() -> ModuleType | None:
    # Asked without importing IPython: who is in a notebook has it already.
    ipython = sys.modules.get("IPython")
    if ipython is None or not hasattr(ipython.get_ipython(), "kernel"):
        return None
    import importlib

    return importlib.import_module("IPython.display")


class _Shown(Progress):
    """Keeps what is to be drawn, and draws it as one rich renderable."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._clock = clock
        self._began = clock()
        self._newest: tuple[Counts, tuple[str, ...]] = (Counts(queued=total), ())

    def update(self, counts: Counts, running: Sequence[str]) -> None:
        # One assignment: the drawing thread sees the old pair or the new one. Of a long list only
        # the names that can be shown are kept; how many run, the counts say.
        self._newest = (counts, tuple(running[:_NAMES_SHOWN]))

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        counts, names = self._newest
        total = max(self._total, 1)
        ended = min(counts.ended, total)
        line = Table.grid(padding=(0, 1))
        line.add_row(
            ProgressBar(total=total, completed=ended, width=20),
            Text(f"{counts.ended}/{self._total}", style="bold", no_wrap=True),
            Text(_elapsed(self._clock() - self._began), no_wrap=True),
            _counts_text(counts),
        )
        if not names:
            return line
        return Group(line, Text(running_line(names, counts.running), no_wrap=True, style="dim"))


class _TerminalProgress(_Shown):
    def __init__(self, total: int, stream: TextIO) -> None:
        super().__init__(total)
        from rich.console import Console
        from rich.live import Live

        console = Console(file=stream, force_terminal=True, force_jupyter=False)
        self._live = Live(
            console=console,
            get_renderable=self._draw,
            refresh_per_second=DRAWS_PER_SECOND,
            # What the driver prints meanwhile goes above the display, but only if it would have
            # come to this very terminal: never out of a pipe.
            redirect_stdout=_same_terminal(sys.stdout, stream),
            redirect_stderr=_same_terminal(sys.stderr, stream),
        )

    def start(self) -> None:
        self._live.start()

    def stop(self) -> None:
        self._live.stop()


class _NotebookProgress(_Shown):
    # rich's own display in notebooks needs ipywidgets; a display id needs nothing.
    def __init__(self, total: int, display: ModuleType) -> None:
        super().__init__(total)
        self._display = display
        self._handle: Any = None
        self._drawn = 0.0

    def start(self) -> None:
        self._handle = self._display.display(self._bundle(), raw=True, display_id=True)

    def update(self, counts: Counts, running: Sequence[str]) -> None:
        super().update(counts, running)
        now = self._clock()
        if self._handle is not None and now - self._drawn >= 1 / DRAWS_PER_SECOND:
            self._drawn = now
            self._handle.update(self._bundle(), raw=True)

    def stop(self) -> None:
        self._handle.update(self._bundle(), raw=True)

    def _bundle(self) -> dict[str, str]:
        from io import StringIO

        from rich.console import Console

        console = Console(file=StringIO(), record=True, width=100, force_jupyter=False)
        console.print(self._draw())
        page = "<pre style='line-height:normal'>{code}</pre>"
        return {
            "text/html": console.export_html(inline_styles=True, code_format=page, clear=False),
            "text/plain": console.export_text(),
        }


def running_line(names: Sequence[str], count: int) -> str:
    """The line that names what runs: ``running: a, b and 3 more``."""
    shown = list(names[:_NAMES_SHOWN])
    more = max(count - len(shown), 0)
    return f"running: {', '.join(shown)}" + (f" and {more} more" if more else "")


def _counts_text(counts: Counts) -> RenderableType:
    from rich.text import Text

    parts = [
        ("queued", counts.queued, "yellow", True),
        ("running", counts.running, "cyan", True),
        ("done", counts.completed, "green", True),
        ("failed", counts.failed, "bold red", counts.failed > 0),
        ("cancelled", counts.cancelled, "magenta", counts.cancelled > 0),
    ]
    text = Text(no_wrap=True, overflow="ellipsis")
    for label, count, style, shown in parts:
        if shown:
            text.append(f"{label} {count}  ", style if count else "dim")
    return text


def _elapsed(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))


def _same_terminal(output: TextIO | None, stream: TextIO) -> bool:
    try:
        if output is None or not (output.isatty() and stream.isatty()):
            return False
        return os.ttyname(output.fileno()) == os.ttyname(stream.fileno())
    except (OSError, ValueError):  # closed, or no file behind it
        return False


def snapshot(runs: Iterable[Run]) -> tuple[Counts, list[str]]:
    """Counts of the newest attempts of these runs, and names of those that run."""
    newest = [run.latest for run in runs]
    states = [run.status.state for run in newest]
    counts = Counts(
        queued=states.count(State.QUEUED),
        running=states.count(State.RUNNING) + states.count(State.PAUSED),
        completed=states.count(State.COMPLETED),
        failed=sum(state in {State.FAILED, State.TIMEOUT, State.LOST} for state in states),
        cancelled=states.count(State.CANCELLED),
    )
    return counts, [run.name for run in newest if run.status.state is State.RUNNING]
