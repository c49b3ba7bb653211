"""A world for one round of chaos: an experiment, drivers to kill, and the children's own truth."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from smartcore.launch import proc

HERE = Path(__file__).parent
# What a busy host may take for anything that is waited for here.
PATIENCE = 60.0
# In the environment of all that a round starts but the keeper, whose own is its own.
MARK = "SMARTCORE_CHAOS_MARK"
GATED = ("gated", "graceful", "stubborn", "forking")
TRUTH = re.compile(r"(?P<name>[^@]+)@(?P<pid>\d+)\.(?P<born>\d+)(=(?P<end>-?\d+))?")


@dataclass(frozen=True)
class Child:
    """What a child wrote about itself.

    :param end: its exit code, or minus a signal, as it meant to end; None if it did not get there
    :param alive: whether it lived when this was read
    """

    name: str
    pid: int
    born: int
    end: int | None
    alive: bool

    @property
    def job(self) -> str:
        return f"{self.pid}.{self.born}"


class Driver:
    """A driver in a process of its own."""

    def __init__(self, world: World, how: str, max_running: int) -> None:
        self._errors = world.root / f"driver-{uuid.uuid4().hex[:8]}.err"
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "driver.py"), how, str(world.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={
                    **os.environ,
                    **world.environment,
                    "SMARTCORE_MAX_RUNNING": str(max_running),
                },
                text=True,
            )
        self.answer()

    @property
    def said(self) -> str:
        """What it logged."""
        return self._errors.read_text(errors="replace")

    def send(self, order: dict[str, object]) -> None:
        """Give an order, and do not wait."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()

    def answer(self) -> dict[str, object]:
        """What it says next; nothing if it was killed."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        assert ready, f"the driver does not answer; it said:\n{self.said}"
        line = self.process.stdout.readline()
        if not line.endswith("\n"):
            return {}
        answer: dict[str, object] = json.loads(line)
        return answer

    def ask(self, order: dict[str, object]) -> dict[str, object]:
        """Give an order and wait for the answer."""
        self.send(order)
        return self.answer()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.end()

    def end(self) -> int:
        """Let it end, which it does when there are no more orders."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        code = self.process.wait(PATIENCE)
        self.process.stdout.close()
        return code


@dataclass
class World:
    """Everything of one round.

    :param root: for what is not the experiment's
    :param path: the experiment
    """

    root: Path
    path: Path
    runtime: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    drivers: list[Driver] = field(default_factory=list)
    gates: dict[str, int] = field(default_factory=dict)

    @property
    def truth(self) -> Path:
        return self.root / "truth"

    @property
    def environment(self) -> dict[str, str]:
        return {
            MARK: self.mark,
            "SMARTCORE_RUNTIME_DIR": str(self.runtime),
            "SMARTCORE_STOP_GRACE": "0.3",
            "SMARTCORE_PROGRESS": "never",
        }

    def driver(self, how: str = "new", max_running: int = 32) -> Driver:
        """A new driver, ready for orders."""
        self.drivers.append(Driver(self, how, max_running))
        return self.drivers[-1]

    # -- the truth ------------------------------------------------------------------------------

    def children(self) -> list[Child]:
        """What all children wrote."""
        begun = {match[0]: match for match in self._marks() if match["end"] is None}
        living = {job for job, one in begun.items() if is_alive(int(one["pid"]), int(one["born"]))}
        # After that: who had ended by then has left word, unless it was killed.
        ends = {
            match[0].split("=")[0]: int(match["end"]) for match in self._marks() if match["end"]
        }
        return [
            Child(one["name"], int(one["pid"]), int(one["born"]), ends.get(job), job in living)
            for job, one in begun.items()
        ]

    def _marks(self) -> list[re.Match[str]]:
        matches = [TRUTH.fullmatch(entry.name) for entry in self.truth.iterdir()]
        return [match for match in matches if match is not None]

    def processes(self) -> list[int]:
        """Every living process that this round brought about, but its drivers."""
        drivers = {driver.process.pid for driver in self.drivers} | {os.getpid()}
        mine = f"{MARK}={self.mark}".encode()
        return [pid for pid, text in environments() if mine in text and pid not in drivers]

    def start_order(self, *models: tuple[str, str, int]) -> dict[str, object]:
        """An order to start children: name, kind and end of each; gates are made as needed."""
        for name, kind, _ in models:
            if kind in GATED:
                self.make_gate(name)
        named = [(name, [kind, str(end), "0"]) for name, kind, end in models]
        return {"do": "start", "truth": str(self.truth), "models": named}

    def command_lines(self) -> list[str]:
        """The same, for people."""
        lines = []
        for pid in self.processes():
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_text()
                lines.append(f"{pid} {line}".replace("\0", " "))
        return lines

    def jobs(self) -> set[str]:
        """Ids of the living processes that lead a session: models and shards."""
        leaders = [pid for pid in self.processes() if leads_session(pid)]
        births = {pid: proc.start_time(pid) for pid in leaders}
        return {f"{pid}.{born}" for pid, born in births.items() if born is not None}

    def shards(self) -> list[int]:
        """The living servers."""
        pids = [int(job.split(".")[0]) for job in self.jobs()]
        return [pid for pid in pids if "server" in command_name(pid)]

    def keepers(self) -> list[int]:
        """Living keepers of the experiment."""
        mine = f"KEEPER_PLACE={self.path}/.smartcore".encode()
        return [pid for pid, text in environments() if mine in text]

    # -- what is done to it ---------------------------------------------------------------------

    def gc(self) -> None:
        """``smartcore gc``, as a user calls it."""
        subprocess.run(
            [sys.executable, "-m", "smartcore", "gc", "--yes", str(self.path)],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=True,
        )

    def make_gate(self, name: str) -> None:
        """A child of that name can wait at it from now on."""
        gate = self.truth / "gates" / name
        os.mkfifo(gate)
        self.gates[name] = os.open(gate, os.O_RDWR)

    def open_gate(self, name: str, end: int) -> None:
        """Let a child end like this; also one that is only going to be started."""
        os.write(self.gates[name], f"{end}\n".encode())

    def kill(self, pid: int) -> bool:
        """kill -9, and wait for its end; False if it has gone before."""
        return kill(pid)

    def wait_gone(self, pid: int) -> None:
        """Wait for the end of a process."""
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(pid)
            wait_for_end(pidfd)
            os.close(pidfd)

    def wait_begun(self, *names: str) -> None:
        """Wait until these children have written that they have begun."""
        deadline = time.monotonic() + PATIENCE
        while set(names) - {child.name for child in self.children()}:
            assert time.monotonic() < deadline, f"not begun: {names}"
            time.sleep(0.005)

    def wait_quiet(self) -> None:
        """Wait until nothing is left but what the keeper and the drivers are.

        A child that was killed leaves its ``sleep``, which ends by itself.
        """
        deadline = time.monotonic() + PATIENCE
        while left := self.command_lines():
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.01)

    def clean(self) -> None:
        """End all of it by force."""
        for driver in self.drivers:
            driver.kill()
        deadline = time.monotonic() + PATIENCE
        while left := [*self.keepers(), *self.processes()]:
            for pid in left:
                kill(pid)
            assert time.monotonic() < deadline, f"processes survive: {left}"
        for gate in self.gates.values():
            os.close(gate)


def environments() -> Iterator[tuple[int, list[bytes]]]:
    """The variables of every process of ours, as it was started with them."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                yield int(entry.name), Path(entry.path, "environ").read_bytes().split(b"\0")


def is_alive(pid: int, born: int) -> bool:
    """Whether this very process is there and no zombie."""
    return proc.start_time(pid) == born


def command_name(pid: int) -> str:
    """What a process is called; nothing if it has gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def leads_session(pid: int) -> bool:
    """Whether a process is the first of its session; False if it has gone."""
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def kill(pid: int) -> bool:
    """Kill a process and wait for its end; False if it has gone before."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        wait_for_end(pidfd)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


def wait_for_end(pidfd: int) -> None:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    assert poller.poll(PATIENCE * 1000)


MakeWorld = Callable[[Path], World]


@pytest.fixture
def make_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeWorld]:
    """Makes worlds that leave no process, whatever the test does; given the experiment's path."""
    made: list[World] = []

    def make(path: Path) -> World:
        (tmp_path / "truth" / "gates").mkdir(parents=True)
        path.mkdir(exist_ok=True)
        # Paths of sockets are short.
        made.append(World(tmp_path, path, Path(tempfile.mkdtemp(prefix="chaos-"))))
        for name, value in made[-1].environment.items():
            monkeypatch.setenv(name, value)
        return made[-1]

    yield make
    for world in made:
        try:
            world.clean()
        finally:
            shutil.rmtree(world.runtime, ignore_errors=True)


@pytest.fixture
def world(tmp_path: Path, make_world: MakeWorld) -> World:
    """A world with an experiment."""
    return make_world(tmp_path / "exp")
