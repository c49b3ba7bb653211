"""The fake workload manager in this process, with a virtual clock and programs that only pretend:
for a hundred thousand jobs, or for days of waiting, in a moment.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from smartcore.error import ShellError
from smartcore.launch.batch.record import ExitRecord, Records, record_name
from smartcore.launch.batch.script import SECOND
from smartcore.spec import Completed, Tag
from smartcore.spec.scheduler import Invocation, Rates

from .faults import Faults
from .programs import Call, call
from .wlm import LIVE, PENDING, FakeJob, Settings, Wlm


@dataclass(frozen=True, slots=True)
class Program:
    """What a job's program does.

    :param seconds: how long it runs
    :param code: as ``subprocess`` counts
    :param on_term: its code when it is told to end; None ignores that
    """

    seconds: float = 10.0
    code: int = 0
    on_term: int | None = -signal.SIGTERM


class MemoryRecords(Records):
    """Exit records that are in no file system.

    :param lag: seconds until one can be seen
    """

    def __init__(self, clock: Callable[[], float], lag: float = 0.0) -> None:
        super().__init__(Path("/nowhere"))
        self.lag = lag
        self.ended: dict[str, float] = {}
        self._clock = clock
        self._begun: dict[str, str] = {}
        self._found: dict[str, ExitRecord] = {}
        self._stopped: set[str] = set()
        self._unseen: deque[tuple[float, str]] = deque()

    def begin(self, name: str, job: str) -> bool:
        """A program starts: what an earlier incarnation left is gone; False if another job of the
        same launch has begun.
        """
        if self._begun.setdefault(name, job) != job:
            return False
        self._found.pop(name, None)
        return True

    def end(self, name: str, record: ExitRecord) -> None:
        """A program ends."""
        self._found[name] = record
        self.ended[name] = self._clock()
        self._unseen.append((self._clock(), name))

    def look(self) -> Collection[str]:
        seen = []
        while self._unseen and self._clock() >= self._unseen[0][0] + self.lag:
            seen.append(self._unseen.popleft()[1])
        return seen

    def read(self, tag: Tag, index: int) -> ExitRecord | None:
        name = record_name(tag, index)
        record = self._found.get(name)
        if record is None or self._clock() < self.ended[name] + self.lag:
            return None
        return record

    def job_that_began(self, tag: Tag, count: int) -> str:
        return self._begun.get(record_name(tag, 0), "")

    def has_begun(self, tag: Tag, index: int) -> bool:
        return record_name(tag, index) in self._begun

    def mark_stopped(self, tag: Tag, index: int) -> None:
        self._stopped.add(record_name(tag, index))

    def was_stopped(self, tag: Tag, index: int) -> bool:
        return record_name(tag, index) in self._stopped


@dataclass
class Simulation:
    """A world for a batch launcher: its commands, its clock, its exit records.

    :param programs: what jobs run, by name; the others run ``usual``
    """

    settings: Settings = field(default_factory=Settings)
    programs: Mapping[str, Program] = field(default_factory=dict)
    usual: Program = field(default_factory=Program)
    commands: list[Invocation] = field(default_factory=list)
    environments: list[Mapping[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wlm = Wlm(self, self.settings)
        self.records = MemoryRecords(self.clock)
        self._scripts: dict[str, str] = {}

    # -- for the launcher -----------------------------------------------------------------------

    def clock(self) -> float:
        """Seconds."""
        return self.wlm.now

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.wlm.advance(self.wlm.now + seconds)

    def write(self, path: Path, text: str) -> None:
        """Keep a file in memory."""
        self._scripts[str(path)] = text

    def run(self, invocation: Invocation, env: Mapping[str, str], rates: Rates, /) -> Completed:
        """Run one of the manager's programs."""
        self.commands.append(invocation)
        self.environments.append(env)
        program, *argv = invocation.argv
        script = self._scripts.get(argv[-1], "") if argv else ""
        if script:
            argv[-1] = "-"
        reply = call(self.wlm, Call(program, argv, env, "/", script))
        limit = rates.timeout.total_seconds()
        if reply.seconds > limit:
            self.sleep(limit)
            raise ShellError(f"{program} did not answer within {limit:g} s", invocation.argv)
        self.sleep(reply.seconds)
        return Completed(invocation.argv, reply.rc, reply.out, reply.err)

    # -- for the manager ------------------------------------------------------------------------

    def start(self, job: FakeJob, /) -> None:
        """Run a job's program."""
        program = self._program(job)
        restart = job.restarts
        if not self.records.begin(_record(job), job.id):
            self.wlm.at(self.wlm.now, lambda: self.wlm.job_ended(job, SECOND))
            return
        self.wlm.at(self.wlm.now + program.seconds, lambda: self._returns(job, restart))

    def signal(self, job: FakeJob, number: int, /) -> None:
        """Send a signal to a job."""
        program = self._program(job)
        if number == signal.SIGKILL:
            self.wlm.job_ended(job, -number)
        elif number == signal.SIGTERM and program.on_term is not None:
            self._end(job, program.on_term, interrupted=True)

    def _program(self, job: FakeJob) -> Program:
        return self.programs.get(job.request.name, self.usual)

    def _returns(self, job: FakeJob, restart: int) -> None:
        if job.state in LIVE - {PENDING} and job.restarts == restart:
            self._end(job, self._program(job).code)

    def _end(self, job: FakeJob, code: int, *, interrupted: bool = False) -> None:
        elapsed = timedelta(seconds=self.wlm.now - (job.started or 0.0))
        record = ExitRecord(code, interrupted, job.id, job.restarts, job.host, elapsed)
        self.records.end(_record(job), record)
        self.wlm.job_ended(job, code if code >= 0 else 128 - code)

    # -- for tests ------------------------------------------------------------------------------

    def script(self, *faults: Mapping[str, object]) -> None:
        """Say what is to go wrong from now on; see :mod:`~.faults`."""
        self.wlm.faults = Faults(faults)

    def called(self, program: str) -> list[Invocation]:
        """The calls of one program so far."""
        return [one for one in self.commands if one.argv[0] == program]


def _record(job: FakeJob) -> str:
    return record_name(Tag(job.request.comment), job.index or 0)
