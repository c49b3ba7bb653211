"""Exit records: where they are, and what they say."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from smartcore.launch.batch.ids import plain
from smartcore.launch.batch.script import VERSION
from smartcore.launch.process import signal_name
from smartcore.spec import Tag

STOPPED = ".stopped"
BEGUN = ".begun"


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """What the wrapper wrote when its program had ended.

    :param returncode: as ``subprocess`` counts
    :param interrupted: a signal came to the job meanwhile, so that the scheduler's word may tell
        more than the code
    :param job: the scheduler's id as the job knew it
    :param restarts: how often the job had been requeued, if it knew
    :param host: where it ran
    :param elapsed: how long it ran, by the file server's clock
    :param unsure: it may also have died of signal ``returncode - 128``: the job's shell could not
        tell
    """

    returncode: int
    interrupted: bool = False
    job: str = ""
    restarts: int | None = None
    host: str = ""
    elapsed: timedelta | None = None
    unsure: bool = False

    @property
    def conclusive(self) -> bool:
        """True if no word of a scheduler could change what this says."""
        return self.returncode == 0 and not self.interrupted


def record_name(tag: Tag, index: int) -> str:
    """Name of a step's record in the directory of records."""
    return f"{plain(tag)}.{index}"


def parse_record(text: str, elapsed: timedelta | None = None) -> ExitRecord | None:
    """Read a record; None if it is torn, or of a version that we do not know."""
    facts = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    try:
        if int(facts["version"]) != VERSION:
            return None
        code = int(facts["code"])
        died, met = facts["died"], facts["met"]
    except (KeyError, ValueError):
        return None
    restarts = facts.get("restarts", "")
    # A shell that did not say whether the program died of a signal was sent the same one itself.
    unsure = died == "?" and signal_name(code - 128) != f"SIG{met}"
    return ExitRecord(
        code if died == "0" or unsure else 128 - code,
        bool(met),
        facts.get("job", ""),
        int(restarts) if restarts.isdigit() else None,
        facts.get("host", ""),
        elapsed,
        unsure,
    )


class Records:
    """The directory of exit records of one experiment.

    :param path: the directory
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names: frozenset[str] = frozenset()

    def look(self) -> Collection[str]:
        """Read the names that are there, and return those that are new. Listing also refreshes what
        NFS clients remember.
        """
        before = self._names
        try:
            self._names = frozenset(os.listdir(self.path))  # noqa: PTH208 -- names only, and quick
        except FileNotFoundError:
            self._names = frozenset()
        return self._names - before

    def read(self, tag: Tag, index: int) -> ExitRecord | None:
        """The record of a step, if there was one at the last look."""
        name = record_name(tag, index)
        if name not in self._names:
            return None
        try:
            with (self.path / name).open("rb") as file:
                text = file.read(4096).decode(errors="replace")
                ended = os.fstat(file.fileno()).st_mtime
            begun = (self.path / (name + BEGUN)).stat().st_mtime
        except FileNotFoundError:  # a new incarnation has just begun
            return None
        return parse_record(text, timedelta(seconds=max(0.0, ended - begun)))

    def job_that_began(self, tag: Tag, count: int) -> str:
        """The scheduler's id of the job with this tag, or of the whole array where its members know
        that, as one of its steps knew it; empty if none has begun.
        """
        for index in range(count):
            try:
                text = (self.path / (record_name(tag, index) + BEGUN)).read_text(errors="replace")
            except FileNotFoundError:
                continue
            facts = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
            return facts.get("array") or facts.get("job", "")
        return ""

    def mark_stopped(self, tag: Tag, index: int) -> None:
        """Note that its end was asked for, so that every process calls it a stop."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.path / (record_name(tag, index) + STOPPED)).touch(mode=0o600)

    def has_begun(self, tag: Tag, index: int) -> bool:
        """True if it had begun before the last look."""
        return record_name(tag, index) + BEGUN in self._names

    def was_stopped(self, tag: Tag, index: int) -> bool:
        """True if its end was asked for before the last look."""
        return record_name(tag, index) + STOPPED in self._names
