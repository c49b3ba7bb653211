"""Writing the journal: lines of this process, whole and in order."""

from __future__ import annotations

import errno
import json
import mmap
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from smartcore.error import ConfigError, InputError, LauncherError
from smartcore.launch import proc
from smartcore.launch.journal.files import DIRECTORY, STOPS, VERSION, is_locked, lock
from smartcore.launch.plain import resources_to_json, status_to_json
from smartcore.launch.run import Run
from smartcore.log import get_logger
from smartcore.spec import Node

log = get_logger(__name__)

_TURN = re.compile(rb'"turn": (\d+),')


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
        lock(self._file)
        self._path = path
        self._unsaved: deque[str] = deque()
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
        line = self._line("launch", runs=[_described(run) for run in runs])
        if problem := self._save(line):
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
        line = self._line(what, **fields)
        if problem := self._save(line):
            self._unsaved.append(line)
        # A full disk must not take down what runs, nor fill the log.
        if problem and not self._failing:
            log.error("cannot write the journal %s: %s; trying again later", self._path, problem)
        self._failing = bool(problem)

    def _line(self, what: str, **fields: object) -> str:
        at = round(self._clock(), 6)
        return json.dumps({"v": VERSION, "at": at, "turn": self._turn, "what": what, **fields})

    def _save(self, *new: str) -> str:
        # Users' threads and the engine's write: each line is in the hands of one of them. A lock
        # could be held by a thread whose handler of a signal waits for another one.
        earlier = list(self._take_unsaved())
        problem = self._append("".join(f"{line}\n" for line in (*earlier, *new)))
        if problem:
            self._unsaved.extendleft(reversed(earlier))
        return problem

    def _take_unsaved(self) -> Iterator[str]:
        with suppress(IndexError):
            while True:
                yield self._unsaved.popleft()

    def _append(self, text: str) -> str:
        data = (f"\n{text}" if self._torn else text).encode()
        try:
            self._torn = os.write(self._file, data) < len(data)
        except OSError as error:
            return error.strerror or str(error)
        return os.strerror(errno.ENOSPC) if self._torn else ""

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


def _refuse_second_driver(experiment: Path, own: Path) -> None:
    for file in (experiment / DIRECTORY).glob("*.jsonl"):
        if file != own and is_locked(file):
            host, _, pid = file.stem.rpartition("-")
            raise InputError(
                f"another driver of {experiment} is running: process {pid} on {host}; wait for its"
                " end, stop it, or use another experiment path"
            )


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


def note_stopped(experiment: Path, runs: Iterable[Run]) -> None:
    """Write down that these are about to be ended by somebody who does not drive them, for those
    who could not tell otherwise why they ended.

    What cannot be written is told, and keeps nobody from ending them.
    """
    about = {run.step.tag: run.name for run in runs}
    directory = experiment / DIRECTORY
    if not about or not directory.is_dir():
        return
    path = directory / f"{os.uname().nodename}-{os.getpid()}{STOPS}"
    at, what = round(time.time(), 6), {"tags": [*about], "names": [*about.values()]}
    content = {"v": VERSION, "at": at, "what": "stopped", **what}
    try:
        with path.open("a", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(f"\n{json.dumps(content)}\n")
    except OSError as error:
        log.warning("cannot write %s: %s", path, error.strerror)
