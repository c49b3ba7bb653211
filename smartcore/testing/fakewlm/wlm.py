"""The workload manager itself: jobs, and what becomes of them. Touches nothing but its executor."""

from __future__ import annotations

import heapq
import itertools
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .faults import Fault, Faults

PENDING, RUNNING, SUSPENDED, ENDING = "PENDING", "RUNNING", "SUSPENDED", "ENDING"
DONE, FAILED, CANCELLED, TIMEOUT = "DONE", "FAILED", "CANCELLED", "TIMEOUT"
MEMORY, NODE, PREEMPTED = "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED"
LIVE = frozenset({PENDING, RUNNING, SUSPENDED, ENDING})


@dataclass(slots=True)
class Request:
    """What a submit asked for."""

    name: str
    comment: str
    script: str
    env: Mapping[str, str]
    cwd: str
    log: str
    limit: float | None = None
    requeue: bool = True
    members: tuple[int, ...] = ()
    nodes: int = 1


@dataclass(slots=True, eq=False)
class FakeJob:
    """A job, or a member of an array. Times are of the manager's clock."""

    number: int
    index: int | None
    request: Request
    submitted: float
    listed: float
    state: str = PENDING
    restarts: int = 0
    verdict: str = ""
    reason: str = "Priority"
    host: str = ""
    code: int | None = None
    signal: int = 0
    started: float | None = None
    ended: float | None = None
    forgotten: bool = False

    @property
    def id(self) -> str:
        """``12`` or ``12_3``."""
        return str(self.number) if self.index is None else f"{self.number}_{self.index}"


class Executor(Protocol):
    """What runs jobs; tells of ends by ``Wlm.job_ended``."""

    def start(self, job: FakeJob, /) -> None:
        """Run a job's script."""

    def signal(self, job: FakeJob, number: int, /) -> None:
        """Send a signal to all processes of a job."""


@dataclass(slots=True)
class Settings:
    """How this manager is set up; a test may change it at any time.

    :param cluster: name of the cluster; ids carry it if it is not empty
    :param slots: jobs that run at once
    :param start_delay: seconds from the submit to the start
    :param keep: seconds that an ended job stays in the queue's answers
    :param accounting: ``on`` or ``off``
    :param accounting_lag: seconds until an ended job is in the accounting
    :param kill_wait: seconds between TERM and KILL
    :param quota: jobs that a user may have; 0 is no limit
    :param requeue: jobs that lost their nodes are begun again, if they may be
    :param queues: names of queues
    :param ban_after: requests in a minute that make the manager refuse all; 0 is no limit
    :param ban_for: seconds that this lasts
    :param most_ids: ids that one command takes
    :param most_members: members of one array
    :param nodes: that there are; a job that asks for more waits for ever; 0 is no limit
    """

    cluster: str = ""
    slots: int = 1000
    start_delay: float = 0.0
    keep: float = 0.0
    accounting: str = "on"
    accounting_lag: float = 0.0
    kill_wait: float = 1.0
    quota: int = 0
    requeue: bool = True
    queues: Sequence[str] = ("main",)
    ban_after: int = 0
    ban_for: float = 60.0
    most_ids: int = 100
    most_members: int = 1001
    nodes: int = 0


@dataclass
class Wlm:
    """Keeps jobs and lets time pass.

    :param executor: runs them
    :param now: seconds; :meth:`advance` moves it
    """

    executor: Executor
    settings: Settings = field(default_factory=Settings)
    faults: Faults = field(default_factory=Faults)
    now: float = 0.0
    jobs: dict[str, FakeJob] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._pending: deque[FakeJob] = deque()
        self._using = 0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._recent: deque[float] = deque()
        self._banned_until = float("-inf")
        self._shown: dict[str, FakeJob] = {}

    # -- time -----------------------------------------------------------------------------------

    @property
    def next_event(self) -> float | None:
        """When something happens by itself; None if nothing will."""
        return self._timers[0][0] if self._timers else None

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        heapq.heappush(self._timers, (time, next(self._order), action))

    def advance(self, now: float) -> None:
        """Let time pass up to ``now``, and happen what is due."""
        while self._timers and self._timers[0][0] <= now:
            time, _, action = heapq.heappop(self._timers)
            self.now = max(self.now, time)
            action()
        self.now = max(self.now, now)

    # -- what the commands do -------------------------------------------------------------------

    def admits(self) -> bool:
        """Count a request; False if the user is banned for asking too often."""
        now, limit = self.now, self.settings.ban_after
        self._recent.append(now)
        while self._recent and self._recent[0] <= now - 60:
            self._recent.popleft()
        if limit and len(self._recent) > limit and now >= self._banned_until:
            self._banned_until = now + self.settings.ban_for
        return now >= self._banned_until

    @property
    def living(self) -> int:
        """Jobs that have not ended."""
        return self._using + len(self._pending)

    def submit(self, request: Request, hidden: float = 0.0) -> int:
        """Take a job; its number."""
        number = next(self._numbers)
        indices: Iterable[int | None] = request.members or (None,)
        for index in indices:
            job = FakeJob(number, index, request, self.now, self.now + hidden)
            self.jobs[job.id] = self._shown[job.id] = job
            if request.nodes > (self.settings.nodes or request.nodes):
                job.reason = "NodeLimit"
            else:
                self._pending.append(job)
        if self.settings.start_delay:
            self.at(self.now + self.settings.start_delay, self._fill)
        else:
            self._fill()
        return number

    def select(self, word: str) -> list[FakeJob]:
        """The jobs that an id names: itself, or all members of an array."""
        if word in self.jobs:
            return [self.jobs[word]]
        return [job for job in self.jobs.values() if job.index is not None and _of(job, word)]

    def queue(self) -> Iterator[FakeJob]:
        """The jobs that a query shows."""
        for job in list(self._shown.values()):
            if job.ended is not None and self.now > job.ended + self.settings.keep:
                del self._shown[job.id]
            elif self.now >= job.listed and not job.forgotten:
                yield job

    def in_queue(self, job: FakeJob) -> bool:
        """True if a query shows the job."""
        gone = job.ended is not None and self.now > job.ended + self.settings.keep
        return not gone and self.now >= job.listed and not job.forgotten

    def accounted(self, job: FakeJob) -> bool:
        """True if the accounting knows the job."""
        lag = self.settings.accounting_lag
        return not job.forgotten and job.ended is not None and self.now >= job.ended + lag

    def cancel(self, job: FakeJob) -> None:
        """End a job because its user wants it."""
        if job.state == PENDING:
            if job in self._pending:
                self._pending.remove(job)
            self._finish(job, CANCELLED)
        elif job.state in LIVE:
            self.end(job, CANCELLED)

    # -- what becomes of jobs -------------------------------------------------------------------

    def _fill(self) -> None:
        due = self.now - self.settings.start_delay
        while self._pending and self._using < self.settings.slots:
            if self._pending[0].submitted > due:
                break
            self._start(self._pending.popleft())

    def _start(self, job: FakeJob) -> None:
        self._using += 1
        job.state, job.started, job.reason, job.verdict = RUNNING, self.now, "", ""
        job.host = f"fake{job.number % 4:03d}"
        self.executor.start(job)
        restart = job.restarts
        if job.request.limit is not None:
            end = self.now + job.request.limit
            self.at(end, lambda: self._unless_over(job, restart, TIMEOUT))
        fault = self.faults.of_job(job.request.name, restart)
        if fault is not None:
            self.at(self.now + fault.seconds, lambda: self._strike(job, restart, fault))

    def _unless_over(self, job: FakeJob, restart: int, verdict: str) -> None:
        if job.state in {RUNNING, SUSPENDED} and job.restarts == restart:
            self.end(job, verdict)

    def _strike(self, job: FakeJob, restart: int, fault: Fault) -> None:
        if job.state != RUNNING or job.restarts != restart:
            return
        if fault.do == "vanish":
            job.forgotten = True
        elif fault.do == "suspend":
            job.state = SUSPENDED
            self.executor.signal(job, signal.SIGSTOP)
        else:
            words = {"preempt": PREEMPTED, "node": NODE, "memory": MEMORY, "limit": TIMEOUT}
            self.end(job, words[fault.do])

    def end(self, job: FakeJob, verdict: str) -> None:
        """End a running job for a reason: politely, unless nobody is left to be polite."""
        if job.state not in LIVE - {PENDING}:
            return
        suspended = job.state == SUSPENDED
        job.verdict, job.state = verdict, ENDING
        if verdict in {NODE, MEMORY}:
            self.executor.signal(job, signal.SIGKILL)
            return
        restart = job.restarts
        self.at(self.now + self.settings.kill_wait, lambda: self._kill(job, restart))
        self.executor.signal(job, signal.SIGTERM)
        if suspended:
            self.executor.signal(job, signal.SIGCONT)

    def _kill(self, job: FakeJob, restart: int) -> None:
        if job.state == ENDING and job.restarts == restart:
            self.executor.signal(job, signal.SIGKILL)

    def job_ended(self, job: FakeJob, code: int) -> None:
        """The job's script has ended.

        :param code: as ``subprocess`` counts
        """
        self._using -= 1
        job.code, job.signal = (0, -code) if code < 0 else (code, 0)
        again = self.settings.requeue and job.request.requeue
        if job.verdict in {PREEMPTED, NODE} and again:
            job.state, job.reason, job.submitted = PENDING, "Requeued", self.now
            job.restarts += 1
            self._pending.append(job)
        else:
            self._finish(job, job.verdict or (DONE if code == 0 else FAILED))
        if self.settings.start_delay:
            self.at(self.now + self.settings.start_delay, self._fill)
        else:
            self._fill()

    def _finish(self, job: FakeJob, state: str) -> None:
        job.state, job.ended, job.reason = state, self.now, ""


def _of(job: FakeJob, word: str) -> bool:
    return str(job.number) == word
