"""Processes of this host that a keeper runs, so that their ends are known whoever is killed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from smartcore.error import LauncherError
from smartcore.launch import link, spawn
from smartcore.launch.connection import Connection
from smartcore.launch.ledger_reader import read_begun, read_notes, read_records
from smartcore.launch.process import require_pidfd, survival, verdict, write_files
from smartcore.launch.search import find_started, find_tagged
from smartcore.launch.unkept import UnkeptProcesses
from smartcore.log import get_logger
from smartcore.spec import (
    ABSENT,
    Absent,
    Answer,
    EventSink,
    JobId,
    Source,
    Started,
    State,
    Status,
    Step,
    Tag,
)

if TYPE_CHECKING:
    from smartcore.launch.lines import Message

log = get_logger(__name__)

# The keeper answers within milliseconds; a host that swaps, or a file system that hangs, does not.
ANSWER = timedelta(seconds=60)
# How many keepers may be killed during one start.
ATTEMPTS = 3
# What a note of a start has when it is no longer in doubt.
_ANSWERS = {"id", "error"}


class KeeperProcesses:
    """Runs processes of this host through a keeper, which outlives this process; an implementation
    of ``spec.Processes``.

    The keeper is started with the first process, or with :meth:`warm_up`; if this experiment has
    one on this host already, that is used. If it is killed, what it kept goes on and is followed
    here, but exit codes are lost; the next start makes a new one.

    :param path: the experiment's directory; made when needed
    :param runtime: directory for the keeper's socket, which nobody else can enter
    :param grace: how long a stopped process has between TERM and KILL
    :raises UnsupportedError: the system has no pidfd
    """

    def __init__(self, path: Path, runtime: Path, grace: timedelta = timedelta(seconds=5)) -> None:
        require_pidfd()
        self.grace = grace
        self._place = link.Place(path, runtime)
        self._host = link.host_name()
        self._sink: EventSink | None = None
        self._keeper = Connection(self._place, self._keeps, self._keeper_told, self._link_broke)
        self._closed = False
        # Below: what is known about processes; with a lock of its own.
        self._lock = threading.Lock()
        self._kept: set[JobId] = set()
        self._ended: dict[JobId, Status] = {}
        self._stopping: set[JobId] = set()
        self._insists = False
        # Those that have no living keeper, and the number of the one that they had.
        self._unkept: dict[JobId, int | None] = {}
        self._follower: UnkeptProcesses | None = None

    # -- the contract ---------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Begin to start the keeper, so that a start need not wait for it."""
        threading.Thread(target=self._warm_up, name="smartcore-warm-up", daemon=True).start()

    def _warm_up(self) -> None:
        try:
            self._keeper.needed()
        except LauncherError as error:  # the start that needs it says so, too
            log.debug("warm-up: %s", error)

    def start(self, steps: Sequence[Step], /) -> Sequence[Started]:
        """Spawn every step, in order.

        :raises LauncherError: there is no keeper, and none can be started
        """
        answers: list[Started | None] = [_prepare(step) for step in steps]
        wanted = [index for index, answer in enumerate(answers) if answer is None]
        if wanted:
            found = self._start([steps[index] for index in wanted])
            for index, answer in zip(wanted, found, strict=True):
                answers[index] = answer
        return [answer for answer in answers if answer is not None]

    def _start(self, steps: Sequence[Step]) -> list[Started]:
        answers: dict[int, Started] = {}
        for _ in range(ATTEMPTS):
            left = [index for index in range(len(steps)) if index not in answers]
            if not left:
                break
            found = self._try_to_start([steps[index] for index in left])
            answers |= {left[index]: answer for index, answer in found.items()}
        never = Started(error="keeper after keeper was killed before it could start this")
        return [answers.get(index, never) for index in range(len(steps))]

    def _try_to_start(self, steps: Sequence[Step]) -> dict[int, Started]:
        # What has no answer was not started: the keeper was killed before.
        key = f"{os.getpid()}.{time.monotonic_ns()}"
        request = {"do": "start", "key": key, "env": dict(os.environ)}
        found: list[Started] = []
        linked = self._keeper.needed()
        try:
            for reply in linked.request(request | {"steps": [*map(_message, steps)]}, ANSWER):
                found += map(_started, reply["started"])
            return dict(enumerate(found))
        except link.BrokenLinkError as error:
            late = error.late
            if not error.sent:
                return {}
        try:
            if not late:
                link.wait_gone(linked.identity)
                return self._begun(linked.pid, key) | dict(enumerate(found))
        except LauncherError as error:
            log.debug("%s", error)
        doubt = Started(error=f"the keeper {linked.pid} does not answer; this may be running")
        return dict.fromkeys(range(len(steps)), doubt) | dict(enumerate(found))

    def _begun(self, killed: int, key: str) -> dict[int, Started]:
        notes = read_begun(self._place.begun(killed), key)
        doubtful = {Tag(note["tag"]) for note in notes.values() if not note.keys() & _ANSWERS}
        living = find_tagged(doubtful)
        found = {}
        for index, note in notes.items():
            tag = Tag(note["tag"])
            # Of one that has no id and is not there nobody knows whether it began: it is lost.
            job = living.get(tag, JobId(f"unknown-{tag}"))
            found[index] = _started({"id": job} | note) if tag in doubtful else _started(note)
        self._take_over([answer.id for answer in found.values() if answer.id], killed)
        return found

    def status(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        """Answer for processes of this host, also for those that another process started."""
        answers: dict[JobId, Answer] = {}
        with self._lock:
            answers.update((job, self._ended[job]) for job in ids if job in self._ended)
            asked = [job for job in ids if job not in answers]
        running, records = self._ask(asked)
        return answers | {job: self._judge(job, running, records) for job in asked}

    def _ask(self, ids: Sequence[JobId]) -> tuple[set[JobId], dict[JobId, Message]]:
        # What the keeper says is running, and then, if that is not all, what has been written down.
        reply: Message = {"running": [], "ended": []}
        for _ in range(2):
            found = self._keeper.living() if ids else None
            if found is None:
                break
            try:
                (reply,) = found.request({"do": "status", "ids": ids}, ANSWER)
                break
            except link.BrokenLinkError as error:
                if error.late:
                    raise
        running = set(map(JobId, reply["running"]))
        if len(running) == len(ids):
            return running, {}
        records = read_records(self._place.records, self._host)
        return running, records | {JobId(record["id"]): record for record in reply["ended"]}

    def find(self, tags: Collection[Tag]) -> Mapping[Tag, JobId]:
        """Ids of what was started under these tags by a driver that did not hear of them, being
        killed; what is not found was never started.
        """
        found: dict[Tag, JobId] = {}
        linked = self._keeper.living() if tags else None
        if linked is not None:
            try:
                # Its answer comes after it has given up what the killed driver had asked for.
                (reply,) = linked.request({"do": "find", "tags": [*tags]}, ANSWER)
                found = {Tag(tag): JobId(job) for tag, job in reply["found"].items()}
            except link.BrokenLinkError as error:
                if error.late:
                    raise
        left = set(tags) - found.keys()
        return found | find_started(self._place, left) if left else found

    def _judge(
        self, job: JobId, running: Collection[JobId], records: Mapping[JobId, Message]
    ) -> Answer:
        if job in running or (job not in records and spawn.alive(job)):
            return Status(State.RUNNING, source=Source.PROCESS, host=self._host)
        if job in records:
            return self._status_of(records[job], Source.RECORD)
        return ABSENT

    def _status_of(self, record: Message, source: Source) -> Status:
        status = verdict(record["returncode"], record["stopped"], self._host)
        return replace(
            status,
            source=source,
            seen=datetime.fromtimestamp(record["time"], UTC),
            elapsed=timedelta(seconds=record["elapsed"]),
        )

    def attach(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        """Follow processes that another process started; ends that nobody here saw are answered
        from the records, with their exit codes.
        """
        return self._attach(ids, None)

    def _attach(self, ids: Collection[JobId], killed: int | None) -> dict[JobId, Answer]:
        # An end may come while we ask: followed first, it is not missed.
        with self._lock:
            new = {job for job in ids if job not in self._ended and job not in self._unkept}
            self._kept |= new
        running, records = self._ask([*new])
        answers = dict(self.status([job for job in ids if job not in new]))
        unkept = new - running
        keepers = self._keepers_of(unkept - records.keys()) if killed is None else {}
        for job in new:
            answers[job] = self._judge(job, running, records)
            if job in unkept:
                keeper = keepers.get(job, killed)
                with self._lock:
                    self._kept.discard(job)
                if _is_running(answers[job]):
                    answers[job] = self._follow(job, keeper)
                if isinstance(answers[job], Absent) and job in keepers:
                    answers[job] = self._unseen(job, keeper)
        return answers

    def _keepers_of(self, ids: Collection[JobId]) -> dict[JobId, int]:
        # The keepers that were killed before these ended: others leave no notes.
        notes = read_notes(self._place.info.parent, self._host) if ids else ()
        return {JobId(note["id"]): keeper for keeper, note in notes if note.get("id") in ids}

    def _follow(self, job: JobId, killed: int | None) -> Answer:
        with self._lock:
            if job in self._ended:
                return self._ended[job]
            self._unkept[job] = killed
        if self._unkept_processes().follow(job):
            return Status(State.RUNNING, source=Source.PROCESS, host=self._host)
        with self._lock:
            self._unkept.pop(job, None)
        return ABSENT

    def _unkept_processes(self) -> UnkeptProcesses:
        with self._lock:
            if self._follower is None:
                self._follower = UnkeptProcesses(self.grace, self._unkept_ended)
            return self._follower

    def watch(self, sink: EventSink, /) -> None:
        """Tell ``sink`` of every end."""
        self._sink = sink

    def stop(self, ids: Collection[JobId], /) -> None:
        """TERM to each process group, KILL to what is left of its session after the grace period.

        :raises LauncherError: naming the processes that survived
        """
        with self._lock:
            left = {job for job in ids if job not in self._ended}
            # All: a killed keeper's are followed by nobody for a moment.
            self._stopping |= left
            unkept = {job for job in left if job in self._unkept}
        found = self._keeper.living() if left - unkept else None
        if found is not None:
            try:
                self._stop_kept(found, left - unkept)
            except link.BrokenLinkError as error:
                log.warning("%s: stopping what it kept from here", error)
            else:
                left = unkept
        if left:
            self._unkept_processes().stop(left)

    def announce(self, ids: Collection[JobId]) -> None:
        """Note that these will be asked to end by other means than a signal: their ends are told
        like those of a stop.
        """
        with self._lock:
            self._stopping |= {job for job in ids if job not in self._ended}
        found = self._keeper.living()
        if found is not None:
            try:
                for _ in found.request({"do": "mark", "ids": [*ids]}, ANSWER):
                    pass
            except link.BrokenLinkError as error:
                log.debug("%s", error)

    def insist(self, ids: Collection[JobId]) -> None:
        """KILL at once, also in the stops that follow, until :meth:`relent`; from any thread, also
        beside a stop that waits.
        """
        self._insists = True
        with self._lock:
            left = {job for job in ids if job not in self._ended}
            self._stopping |= left
        found = self._keeper.living() if left else None
        if found is None:
            return
        try:
            self._stop_kept(found, left, grace=0.0)
        except LauncherError as error:
            log.warning("%s", error)

    def relent(self) -> None:
        """Give what is stopped from now on its grace period again."""
        self._insists = False

    def _stop_kept(
        self, found: link.Link, ids: Collection[JobId], grace: float | None = None
    ) -> None:
        if grace is None:
            grace = 0.0 if self._insists else self.grace.total_seconds()
        timeout = ANSWER + timedelta(seconds=grace + spawn.KILL_DEADLINE)
        request = {"do": "stop", "ids": [*ids], "grace": grace}
        for reply in found.request(request, timeout):
            if "error" in reply:
                raise LauncherError(reply["error"])
            if reply["survivors"]:
                raise survival(reply["survivors"])

    def close(self) -> None:
        """Leave the keeper, which goes on while something runs; nothing is told afterwards."""
        self._closed = True
        self._keeper.close()
        with self._lock:
            follower, self._follower = self._follower, None
        if follower is not None:
            follower.close()

    # -- called from the listening thread ---------------------------------------------------------

    def _keeps(self, ids: Sequence[str]) -> None:
        with self._lock:
            self._kept.update(map(JobId, ids))

    def _keeper_told(self, records: Sequence[Message]) -> None:
        for record in records:
            job = JobId(record["id"])
            with self._lock:
                followed = job in self._kept
            if followed:
                self._tell(job, self._status_of(record, Source.PROCESS))

    def _link_broke(self, broken: link.Link) -> None:
        # The keeper was killed, or has thrown us out.
        with self._lock:
            kept = list(self._kept)
            self._kept.clear()
        if not kept or self._closed:
            return
        log.warning("the keeper %d has gone; following its %d from here", broken.pid, len(kept))
        self._take_over(kept, broken.pid)

    def _take_over(self, ids: Collection[JobId], killed: int) -> None:
        for job, answer in self._attach(ids, killed).items():
            if isinstance(answer, Absent):
                self._tell(job, self._unseen(job, killed))
            elif answer.is_terminal:
                self._tell(job, answer)

    def _unkept_ended(self, job: JobId) -> None:
        with self._lock:
            killed = self._unkept.pop(job, None)
        self._tell(job, self._unseen(job, killed))

    def _unseen(self, job: JobId, killed: int | None) -> Status:
        with self._lock:
            stopped = job in self._stopping
        status = verdict(None, stopped, self._host)
        if stopped:
            return status
        if killed is None:
            # It was kept from elsewhere, and that keeper may well have seen it end.
            reason = "its exit code is known to the experiment that started it, if to anybody"
        else:
            reason = f"the keeper {killed} was killed before it, and its exit code is lost"
        return replace(status, reason=reason)

    def _tell(self, job: JobId, status: Status) -> None:
        with self._lock:
            if job in self._ended:
                return
            self._ended[job] = status
            self._kept.discard(job)
            self._stopping.discard(job)
        if self._sink is not None and not self._closed:
            self._sink(job, status)


def _is_running(answer: Answer) -> bool:
    return not isinstance(answer, Absent) and not answer.is_terminal


def _prepare(step: Step) -> Started | None:
    # What may be secret is written here and never sent.
    try:
        write_files(step.command)
    except OSError as error:
        return Started(error=spawn.explain(step.command.argv[0], error))
    return None


def _message(step: Step) -> Message:
    command = step.command
    return {
        "name": step.name,
        "tag": step.tag,
        "argv": command.argv,
        "env": {**command.env, spawn.TAG_VARIABLE: step.tag},
        "cwd": str(step.cwd),
        "stdin": None if command.stdin is None else str(command.stdin),
        "stdout": str(step.stdout),
        "stderr": str(step.stderr),
        "private": step.private,
    }


def _started(answer: Message) -> Started:
    return Started(JobId(answer["id"])) if "id" in answer else Started(error=answer["error"])
