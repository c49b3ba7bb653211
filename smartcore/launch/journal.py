"""The journal: what each driver of an experiment launched, so that another process can take it up.

``<experiment>/.smartcore/journal/<host>-<pid>.jsonl``: one file for each writing process, which
holds a lock on it (flock(2)) as long as it lives; readers merge them. A line is one JSON object
with the version of the format (``v``), the time in seconds (``at``), the number of the driver
(``turn``: each counts one more than all before it, since clocks jump), and ``what`` happened::

    open      experiment, launcher, host, pid, born (start time: ticks after boot),
              adopts: true if it took up what earlier drivers left
    launch    runs: [{tag, name, kind, run_id, cwd, out, err, needs, bundle}], before it is done
    handed    tags of what the launcher is given together, before it is
    started   jobs: {tag: job}, places: {tag: [shares of nodes]} where the core planned
    ended     tag, status
    nodes     allocation, nodes: [{name, cpus, gpus, memory}] where the core plans
    database  identifier, checkpoint: of one that is about to be started
    uses      identifier, checkpoint: of one that another experiment started
    replaced  tags of shards that have ended, whose database serves again by others

A shell that ends runs is no driver and holds no lock; in ``<host>-<pid>.stops.jsonl`` it leaves::

    stopped   tags of what it is about to end

Lines are only appended, whole, in one write each; one that a full disk has torn is written again on
a line of its own. Neither arguments nor variables are in it, so
nothing secret is.
"""

from __future__ import annotations

import errno
import fcntl
import json
import mmap
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from smartcore.error import ConfigError, InputError, LauncherError, PathNotFoundError
from smartcore.launch import proc
from smartcore.launch.plain import (
    resources_to_json,
    status_to_json,
    time_of,
)
from smartcore.launch.run import Run
from smartcore.launch.story import Driver, Line, Story, apply, heed, listed, tags_of
from smartcore.log import get_logger
from smartcore.spec import Node, Tag

log = get_logger(__name__)

VERSION = 1
_TURN = re.compile(rb'"turn": (\d+),')
DIRECTORY = Path(".smartcore", "journal")
STOPS = ".stops.jsonl"


class Journal:
    """The lines of this process about one experiment.

    :param experiment: the experiment's directory; its parts are made as needed
    :raises InputError: another living process drives this experiment
    """

    def __init__(self, experiment: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        host, pid = os.uname().nodename, os.getpid()
        directory = experiment / DIRECTORY
        path = directory / f"{host}-{pid}.jsonl"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            _refuse_second_driver(experiment, path)
            self._turn = 1 + _last_turn(directory)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._file = os.open(path, flags, 0o600)
        except OSError as error:
            raise ConfigError(
                f"cannot write the journal {path}: {error.strerror}; make the experiment's"
                " directory writable"
            ) from error
        _lock(self._file)
        self._path = path
        self._unsaved: list[str] = []
        # The number of an earlier driver may have come again, and its last line be torn.
        self._torn = os.fstat(self._file).st_size > 0
        self._failing = False

    def opened(self, name: str, launcher: str, *, adopts: bool = False) -> None:
        """Write who drives which experiment.

        :param adopts: it follows what earlier drivers left
        """
        host, pid = os.uname().nodename, os.getpid()
        born = proc.birth(pid)
        who = {"host": host, "pid": pid, "born": born}
        more = {"adopts": True} if adopts else {}
        self._write("open", experiment=name, launcher=launcher, **who, **more)

    def launch(self, runs: Sequence[Run]) -> None:
        """Write what is about to be launched.

        :raises LauncherError: it cannot be written, so nobody could find it again; do not launch it
        """
        if os.fstat(self._file).st_nlink == 0:
            raise LauncherError(
                f"nothing was launched: the journal {self._path} was removed while it was in use;"
                " start an experiment in another directory"
            )
        self._unsaved.append(self._line("launch", runs=[_described(run) for run in runs]))
        if problem := self._save():
            self._unsaved.pop()
            raise LauncherError(
                f"nothing was launched: cannot write the journal {self._path}: {problem}; make room"
                " and start again"
            )

    def handed(self, runs: Sequence[Run]) -> None:
        """Write what the launcher is given now; what is not among it was never started."""
        self._write("handed", tags=[run.step.tag for run in runs])

    def started(self, runs: Sequence[Run]) -> None:
        """Write the ids of what was started."""
        jobs = {run.step.tag: run.job for run in runs if run.job is not None}
        if jobs:
            places = {run.step.tag: [asdict(share) for share in run.shares] for run in runs}
            known = {tag: shares for tag, shares in places.items() if shares}
            self._write("started", jobs=jobs, **({"places": known} if known else {}))

    def nodes(self, allocation: str, nodes: Sequence[Node]) -> None:
        """Write what an allocation grants."""
        self._write("nodes", allocation=allocation, nodes=[asdict(node) for node in nodes])

    def ended(self, run: Run) -> None:
        """Write how a run ended."""
        self._write("ended", tag=run.step.tag, status=status_to_json(run.status))

    def database(self, identifier: str, checkpoint: str) -> None:
        """Write where the checkpoint of a database is, or will be."""
        self._write("database", identifier=identifier, checkpoint=checkpoint)

    def uses(self, identifier: str, checkpoint: str) -> None:
        """Write that a database of another experiment is used."""
        self._write("uses", identifier=identifier, checkpoint=checkpoint)

    def replaced(self, runs: Sequence[Run]) -> None:
        """Write that the database of these, which have ended, serves again without them."""
        if runs:
            self._write("replaced", tags=[run.step.tag for run in runs])

    def _write(self, what: str, **fields: object) -> None:
        self._unsaved.append(self._line(what, **fields))
        problem = self._save()
        # A full disk must not take down what runs, nor fill the log.
        if problem and not self._failing:
            log.error("cannot write the journal %s: %s; trying again later", self._path, problem)
        self._failing = bool(problem)

    def _line(self, what: str, **fields: object) -> str:
        at = round(self._clock(), 6)
        return json.dumps({"v": VERSION, "at": at, "turn": self._turn, "what": what, **fields})

    def _save(self) -> str:
        text = "".join(f"{line}\n" for line in self._unsaved)
        data = (f"\n{text}" if self._torn else text).encode()
        try:
            self._torn = os.write(self._file, data) < len(data)
        except OSError as error:
            return error.strerror or str(error)
        if self._torn:
            return os.strerror(errno.ENOSPC)
        self._unsaved.clear()
        return ""

    def close(self) -> None:
        """Let another process drive."""
        if self._unsaved and (problem := self._save()):
            log.error(
                "%s lacks the last %d lines: %s; exit records may tell what they would have told",
                self._path,
                len(self._unsaved),
                problem,
            )
        os.close(self._file)


def _described(run: Run) -> dict[str, object]:
    step, job = run.step, run.bundle
    return {
        "tag": step.tag,
        "name": step.name,
        "kind": run.kind,
        "run_id": run.run_id,
        "cwd": str(step.cwd),
        "out": str(step.stdout),
        "err": str(step.stderr),
        "needs": resources_to_json(step.resources),
        **({"bundle": {"tag": job.tag, "name": job.name, "array": job.array}} if job else {}),
    }


def note_stopped(experiment: Path, runs: Iterable[Run]) -> None:
    """Write down that these are about to be ended by somebody who does not drive them, for those
    who could not tell otherwise why they ended.

    What cannot be written is told, and keeps nobody from ending them.
    """
    tags = [run.step.tag for run in runs]
    directory = experiment / DIRECTORY
    if not tags or not directory.is_dir():
        return
    path = directory / f"{os.uname().nodename}-{os.getpid()}{STOPS}"
    content = {"v": VERSION, "at": round(time.time(), 6), "what": "stopped", "tags": tags}
    try:
        with path.open("a", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(f"\n{json.dumps(content)}\n")
    except OSError as error:
        log.warning("cannot write %s: %s", path, error.strerror)


def read_stopped(experiment: Path) -> set[Tag]:
    """Tags of what was ended by somebody who did not drive it.

    :raises ConfigError: this cannot be read
    """
    files = sorted((experiment / DIRECTORY).glob(f"*{STOPS}"))
    return {tag for file in files for line in _lines(file) for tag in tags_of(line.content)}


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
            driver = drivers[turn.file] = _driver(turn.opening.content, _is_locked(turn.file))
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


def _last_turn(directory: Path) -> int:
    # All journals are looked through for it, backwards, which takes no time worth mentioning.
    return max((_last_turn_of(file) for file in directory.glob("*.jsonl")), default=0)


def _last_turn_of(file: Path) -> int:
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if not size:
            return 0
        with mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ) as text:
            end = size
            while (start := text.rfind(b'"turn": ', 0, end)) >= 0:
                if match := _TURN.match(text, start):
                    return int(match[1])
                end = start
    return 0


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


def _refuse_second_driver(experiment: Path, own: Path) -> None:
    for file in (experiment / DIRECTORY).glob("*.jsonl"):
        if file != own and _is_locked(file):
            host, _, pid = file.stem.rpartition("-")
            raise InputError(
                f"another driver of {experiment} is running: process {pid} on {host}; wait for its"
                " end, stop it, or use another experiment path"
            )


def _lock(file: int) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass  # this process drives the experiment with another object already
    except OSError as error:
        log.debug("the journal cannot be locked here: %s", error.strerror)


def _is_locked(file: Path) -> bool:
    """True if the process that writes it lives."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no locks on this file system
    finally:
        os.close(handle)
    return False
