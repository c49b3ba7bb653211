"""Reading the journals of an experiment, those of all its drivers as one story."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from smartcore.error import ConfigError, PathNotFoundError
from smartcore.launch.journal.files import DIRECTORY, STOPS, VERSION, is_locked
from smartcore.launch.plain import time_of
from smartcore.launch.run import Run
from smartcore.launch.story import Driver, Line, Story, apply, heed, listed, tags_of
from smartcore.log import get_logger
from smartcore.spec import Tag

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Stop:
    """What somebody has ended, or is about to, who does not drive it.

    :param by: the process
    :param tags: of the runs
    :param names: theirs, in the same order
    """

    by: str
    tags: frozenset[Tag]
    names: tuple[str, ...]


def read_stops(experiment: Path) -> list[Stop]:
    """What was ended by those who did not drive it.

    :raises ConfigError: this cannot be read
    """
    found = []
    for file in sorted((experiment / DIRECTORY).glob(f"*{STOPS}")):
        host, _, pid = file.name.removesuffix(STOPS).rpartition("-")
        for line in _lines(file):
            names = line.content.get("names")
            known = tuple(map(str, names)) if isinstance(names, list) else ()
            tags = frozenset(tags_of(line.content))
            found.append(Stop(f"process {pid} on {host}", tags, known))
    return found


def read_stopped(experiment: Path) -> set[Tag]:
    """Tags of what was ended by somebody who did not drive it.

    :raises ConfigError: this cannot be read
    """
    return {tag for stop in read_stops(experiment) for tag in stop.tags}


def stopped_by_shell(experiment: Path, run: Run) -> bool:
    """True if somebody who does not drive the experiment asked for the end of this run; it is
    False, with a warning, if that cannot be read.
    """
    try:
        return run.step.tag in read_stopped(experiment)
    except ConfigError as error:
        log.warning("%s", error)
        return False


def read(experiment: Path) -> Story:
    """Merge the journals of an experiment.

    :raises PathNotFoundError: there is none, or nothing is in it
    :raises ConfigError: one was written by a newer smartcore, is damaged, or cannot be read
    """
    files = _files(experiment)
    turns = sorted(
        (turn for file in files for turn in _turns(file)), key=lambda turn: (turn.number, turn.at)
    )
    if not turns:
        raise _nothing_in(experiment, files)
    story = Story()
    drivers: dict[Path, Driver] = {}
    runs: dict[Tag, Run] = {}
    for turn in turns:
        drivers.pop(turn.file, None)  # the number of an earlier process that came again
        with _blaming(turn.file, turn.opening):
            driver = drivers[turn.file] = _driver(turn.opening.content, is_locked(turn.file))
        launched = list(_launched(turn))
        story.hosts |= dict.fromkeys(launched, driver.host)
        if driver.living:
            story.driven |= {*launched, *(runs if turn.opening.content.get("adopts") else ())}
        for line in turn.lines:
            with _blaming(turn.file, line):
                apply(line.content, story, runs)
    story.stopped = read_stopped(experiment)
    story.runs = list(runs.values())
    for run in story.runs:
        heed(run, story.stopped)
    story.drivers = list(drivers.values())
    return story


def _files(experiment: Path) -> list[Path]:
    files = (experiment / DIRECTORY).glob("*.jsonl")
    return sorted(file for file in files if not file.name.endswith(STOPS))


def _nothing_in(experiment: Path, files: Sequence[Path]) -> ConfigError | PathNotFoundError:
    for file in files:
        # What is torn may be the first line of who was killed, or had no room, before a launch.
        if b"\n" in file.read_bytes():
            return ConfigError(
                f"{file} is damaged: no line of it can be read, or says whose it is; what it told"
                " of is not known any more, remove it to start anew"
            )
    if files:
        return PathNotFoundError(
            f"{files[-1]} is empty: nothing was started; start something first"
        )
    return PathNotFoundError(
        f"{experiment} has no journal; give the directory of an experiment that was started"
    )


@dataclass(frozen=True, slots=True)
class _Numbered:
    """One line of a file."""

    number: int
    content: Line


@contextmanager
def _blaming(file: Path, line: _Numbered) -> Iterator[None]:
    # People, and editors, change files.
    try:
        yield
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ConfigError(
            f"{file}, line {line.number} is damaged ({error!r}); restore or remove that line"
        ) from error


@dataclass(frozen=True, slots=True)
class _Turn:
    """The lines of one driver, in the order in which it wrote them."""

    number: int
    at: float
    file: Path
    opening: _Numbered
    lines: Sequence[_Numbered]


def _turns(file: Path) -> Iterator[_Turn]:
    lines: dict[int, list[_Numbered]] = {}
    for line in _lines(file):
        with _blaming(file, line):
            lines.setdefault(int(str(line.content.get("turn", 0))), []).append(line)
    for number, own in lines.items():
        opening = next((line for line in own if line.content.get("what") == "open"), None)
        if opening is not None:
            with _blaming(file, opening):
                at = float(str(opening.content["at"]))
            yield _Turn(number, at, file, opening, own)


def _driver(opening: Line, living: bool) -> Driver:
    pid, born = int(str(opening["pid"])), int(str(opening.get("born") or 0))
    opened = time_of(float(str(opening["at"])))
    return Driver(str(opening["host"]), pid, living, born, opened)


def _launched(turn: _Turn) -> Iterator[Tag]:
    for line in turn.lines:
        with _blaming(turn.file, line):
            for item in listed(line.content.get("runs")):
                yield Tag(str(item["tag"]))


def _lines(file: Path) -> Iterator[_Numbered]:
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the journal {file}: {error.strerror}") from error
    for number, line in enumerate(text.splitlines(), 1):
        try:
            content = json.loads(line)
        except ValueError:
            # The last line of a file may be torn: the machine lost power, or the disk was full.
            log.debug("%s, line %d is torn", file, number)
            continue
        if not isinstance(content, dict):
            continue
        found = _Numbered(number, content)
        with _blaming(file, found):
            version = int(content.get("v", 0))
        if version > VERSION:
            raise ConfigError(
                f"{file} was written by a newer smartcore (format {version}, this one reads"
                f" {VERSION}); upgrade smartcore to read it"
            )
        yield found
