from __future__ import annotations

import contextlib
import json
import os
import queue
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from smartcore.error import LauncherError
from smartcore.launch import keeper, proc, spawn
from smartcore.launch.keeping import KeeperProcesses
from smartcore.launch.ledger import RecordFile
from smartcore.launch.ledger_reader import read_records
from smartcore.launch.link import Place, host_name, read_facts
from smartcore.spec import (
    ABSENT,
    Answer,
    Cause,
    Command,
    File,
    JobId,
    Source,
    State,
    Status,
    Step,
    Tag,
)

GRACE = timedelta(seconds=0.3)


@dataclass
class Driver:
    """One user of a keeper in this process."""

    processes: KeeperProcesses
    events: queue.SimpleQueue[tuple[JobId, Status]]
    jobs: list[JobId] = field(default_factory=list)

    def start(self, *steps: Step) -> list[JobId]:
        started = self.processes.start(steps)
        assert [one.error for one in started] == [""] * len(steps)
        jobs = [one.id for one in started if one.id is not None]
        self.jobs += jobs
        return jobs

    def next(self) -> tuple[JobId, Status]:
        return self.events.get(timeout=20)


@dataclass
class Home:
    """An experiment's directory, and who uses it."""

    path: Path
    drivers: list[Driver]

    def driver(self) -> Driver:
        events: queue.SimpleQueue[tuple[JobId, Status]] = queue.SimpleQueue()
        driver = Driver(KeeperProcesses(self.path, self.path, GRACE), events)
        driver.processes.watch(lambda job, status: events.put((job, status)))
        self.drivers.append(driver)
        return driver

    @property
    def place(self) -> Place:
        return Place(self.path, self.path)

    def keeper(self) -> int:
        facts = read_facts(self.place)
        assert facts is not None
        return facts.pid

    def step(self, *argv: str, name: str = "m", **env: str) -> Step:
        out, err = self.path / f"{name}.out", self.path / f"{name}.err"
        return Step(name, Tag(f"{name}-1"), Command(argv, env), self.path, out, err)

    def gate(self, name: str, code: int) -> tuple[Step, Callable[[], None]]:
        """A step that ends with ``code`` when the gate is opened."""
        path = self.path / name
        os.mkfifo(path)

        def open_gate() -> None:
            os.close(os.open(path, os.O_WRONLY))

        return self.step("sh", "-c", f"read x < {path}; exit {code}", name=name), open_gate


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    path = tmp_path / "e"
    path.mkdir()
    home = Home(path, [])
    yield home
    for driver in home.drivers:
        driver.processes.stop(driver.jobs)
        driver.processes.close()


def wait_gone(pid: int, pidfd: int | None = None) -> None:
    try:
        fd = os.pidfd_open(pid) if pidfd is None else pidfd
    except ProcessLookupError:
        return
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    gone = poller.poll(20_000)
    os.close(fd)
    assert gone, f"{pid} lives on"


def halt(pid: int) -> None:
    # The signal takes its time on a busy host, and nobody but a parent is told.
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline, f"{pid} does not stop"
        time.sleep(0.001)


def pid_of(job: JobId) -> int:
    return int(job.partition(".")[0])


def one(answers: object, job: JobId) -> Status:
    assert isinstance(answers, dict)
    answer: Answer = answers[job]
    assert isinstance(answer, Status)
    return answer


# -- who outlives whom ------------------------------------------------------------------------

DRIVER = """
import sys, time
from pathlib import Path
from smartcore.launch.keeping import KeeperProcesses
from smartcore.spec import Command, Step, Tag
path = Path(sys.argv[1])
step = Step(
    "m", Tag("m-1"), Command(tuple(sys.argv[2:])), path, path / "m.out", path / "m.err"
)
(started,) = KeeperProcesses(path, path).start([step])
print(started.id, flush=True)
time.sleep(1000)
"""


def killed_driver(home: Home, step: Step) -> JobId:
    command = [sys.executable, "-c", DRIVER, str(home.path), *step.command.argv]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        job = JobId(driver.stdout.readline().strip())
        driver.kill()
    return job


def test_what_a_killed_driver_started_goes_on_and_another_process_sees_its_end(home: Home) -> None:
    step, open_gate = home.gate("g", 7)
    job = killed_driver(home, step)
    later = home.driver()
    assert one(later.processes.attach([job]), job).state is State.RUNNING
    open_gate()
    ended, status = later.next()
    assert (ended, status.state, status.returncode) == (job, State.FAILED, 7)
    assert status.source is Source.PROCESS


def test_the_true_exit_code_is_known_when_driver_and_keeper_have_gone(home: Home) -> None:
    step, open_gate = home.gate("g", 7)
    job = killed_driver(home, step)
    kept_by = home.keeper()
    pidfd = os.pidfd_open(kept_by)
    open_gate()
    wait_gone(kept_by, pidfd)
    status = one(home.driver().processes.attach([job]), job)
    assert (status.state, status.returncode) == (State.FAILED, 7)
    assert status.cause is Cause.EXIT_CODE
    assert status.source is Source.RECORD
    assert status.elapsed is not None


def test_a_keeper_with_nothing_to_keep_ends_and_leaves_only_its_records(home: Home) -> None:
    driver = home.driver()
    driver.start(home.step("true"))
    driver.next()
    pid = home.keeper()
    pidfd = os.pidfd_open(pid)
    driver.processes.close()
    wait_gone(pid, pidfd)
    assert not home.place.info.exists()
    assert not list(home.path.glob("keeper-*"))
    assert home.place.errors.read_text() == ""
    assert len(list(home.place.records.iterdir())) == 1


def test_the_keeper_stays_while_a_child_runs_and_ends_with_it(home: Home) -> None:
    driver = home.driver()
    step, open_gate = home.gate("g", 0)
    (job,) = driver.start(step)
    pid = home.keeper()
    pidfd = os.pidfd_open(pid)
    driver.processes.close()
    assert one(home.driver().processes.status([job]), job).state is State.RUNNING
    home.drivers[-1].processes.close()
    open_gate()
    wait_gone(pid, pidfd)
    assert one(home.driver().processes.status([job]), job).state is State.COMPLETED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_signals_end_neither_the_keeper_nor_its_children(home: Home, number: int) -> None:
    driver = home.driver()
    step, open_gate = home.gate("g", 3)
    (job,) = driver.start(step)
    pid = home.keeper()
    os.kill(pid, number)
    assert one(driver.processes.status([job]), job).state is State.RUNNING
    open_gate()
    assert driver.next()[1].returncode == 3
    if number == signal.SIGTERM:  # it leaves as soon as it may, whoever is connected
        wait_gone(pid)
        (job,) = driver.start(home.step("true"))
        assert driver.next() == (job, one(driver.processes.status([job]), job))


def test_children_have_no_signal_ignored_or_blocked(home: Home) -> None:
    driver = home.driver()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        driver.start(home.step("grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    assert driver.next()[1].returncode == 0
    lines = (home.path / "m.out").read_text().split()
    # 32 and 33 are the C library's own (signal(7)), and who runs us may have them ignored.
    usual = (1 << 31) - 1
    assert [int(mask, 16) & usual for mask in lines[1::2]] == [0, 0]


# -- a keeper killed --------------------------------------------------------------------------


def kill_keeper(home: Home) -> int:
    pid = home.keeper()
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    wait_gone(pid, pidfd)
    return pid


def test_what_a_killed_keeper_kept_runs_on_and_is_lost_only_when_it_ends(home: Home) -> None:
    driver = home.driver()
    step, open_gate = home.gate("g", 0)
    (job,) = driver.start(step)
    killed = kill_keeper(home)
    assert one(driver.processes.status([job]), job).state is State.RUNNING
    open_gate()
    ended, status = driver.next()
    assert (ended, status.state, status.cause) == (job, State.LOST, Cause.UNSEEN)
    assert status.returncode is None
    assert f"keeper {killed} was killed" in status.reason


def test_another_process_follows_what_a_killed_keeper_left(home: Home) -> None:
    step, open_gate = home.gate("g", 0)
    job = killed_driver(home, step)
    killed = kill_keeper(home)
    later = home.driver()
    assert one(later.processes.attach([job]), job).state is State.RUNNING
    open_gate()
    status = later.next()[1]
    assert (status.state, status.cause) == (State.LOST, Cause.UNSEEN)
    assert f"keeper {killed} was killed" in status.reason


def test_an_end_that_a_killed_keeper_wrote_down_is_not_lost(home: Home) -> None:
    driver = home.driver()
    (first,) = driver.start(home.step("sh", "-c", "exit 5"))
    driver.next()
    step, open_gate = home.gate("g", 0)
    (second,) = driver.start(step)
    kill_keeper(home)
    later = home.driver()
    answers = later.processes.attach([first, second])
    assert one(answers, first).returncode == 5
    assert one(answers, second).state is State.RUNNING
    open_gate()
    assert driver.next()[0] == later.next()[0] == second


def test_what_a_killed_keeper_left_can_be_stopped_and_is_cancelled(home: Home) -> None:
    driver = home.driver()
    (job,) = driver.start(home.step("sleep", "1000"))
    kill_keeper(home)
    driver.processes.stop([job])
    status = driver.next()[1]
    assert (status.state, status.cause) == (State.CANCELLED, Cause.STOPPED)
    assert proc.start_time(pid_of(job)) is None


def test_a_child_that_dies_with_its_keeper_is_lost(home: Home) -> None:
    driver = home.driver()
    (job,) = driver.start(home.step("sleep", "1000"))
    pid = home.keeper()
    halt(pid)
    os.kill(pid_of(job), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    status = driver.next()[1]
    assert (status.state, status.cause) == (State.LOST, Cause.UNSEEN)
    assert f"keeper {pid} was killed" in status.reason


def test_the_next_start_makes_a_new_keeper_and_removes_what_the_old_one_left(home: Home) -> None:
    driver = home.driver()
    driver.start(home.step("true"))
    driver.next()
    killed = kill_keeper(home)
    (left,) = home.path.glob("keeper-*.*")
    (job,) = driver.start(home.step("sh", "-c", "exit 4"))
    assert driver.next() == (job, one(driver.processes.status([job]), job))
    assert home.keeper() != killed
    assert not left.exists()


def test_a_keeper_killed_in_the_middle_of_a_start_loses_and_doubles_nothing(home: Home) -> None:
    driver = home.driver()
    mark = f"1000.{os.getpid()}"
    killer = home.step("sh", "-c", f"kill -KILL $PPID; exec sleep {mark}999", name="killer")
    steps = [home.step("sleep", f"{mark}{i:03}", name=f"s{i}") for i in range(100)]
    steps.insert(20, killer)
    started = driver.processes.start(steps)
    jobs = [one.id for one in started if one.id is not None]
    doubtful = [one.error for one in started if one.id is None]
    for job in jobs:
        wait_for_program(job)
    running = [line for _, line in command_lines() if line.startswith(f"sleep\0{mark}")]
    driver.processes.stop(jobs)
    for pid, line in command_lines():
        if mark in line:
            os.kill(pid, signal.SIGKILL)
    # The one that was being started just then is in doubt, and said to be.
    assert len(doubtful) <= 1
    assert all("may be running" in error for error in doubtful)
    assert len(jobs) + len(doubtful) == len(steps)
    assert len(set(running)) == len(running) >= len(jobs) - 1
    assert {driver.next()[0] for _ in jobs} == set(jobs)


def wait_for_program(job: JobId) -> None:
    # Whoever starts a process hears of its execve(2) a moment before it has its arguments.
    with contextlib.suppress(OSError):
        while spawn.alive(job) and not Path(f"/proc/{pid_of(job)}/cmdline").read_bytes():
            pass


def command_lines() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                yield int(entry.name), (entry / "cmdline").read_text()


# -- several clients --------------------------------------------------------------------------


def test_a_second_client_sees_and_stops_what_the_first_started(home: Home) -> None:
    first, second = home.driver(), home.driver()
    (job,) = first.start(home.step("sleep", "1000"))
    assert one(second.processes.attach([job]), job).state is State.RUNNING
    second.processes.stop([job])
    for driver in (first, second):
        ended, status = driver.next()
        assert (ended, status.state, status.cause) == (job, State.CANCELLED, Cause.STOPPED)


def test_a_client_is_not_told_of_what_it_does_not_follow(home: Home) -> None:
    first, second = home.driver(), home.driver()
    first.start(home.step("true"))
    first.next()
    second.start(home.step("true", name="n"))
    assert second.next()[1].state is State.COMPLETED
    first.start(home.step("false"))
    first.next()
    for driver in (first, second):
        driver.processes.status([JobId("1.1")])  # what was told before is heard by now
        assert driver.events.empty()


def test_drivers_that_start_at_the_same_time_share_one_keeper(home: Home) -> None:
    command = [sys.executable, "-c", DRIVER, str(home.path), "sleep", "1000"]
    drivers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    jobs = []
    for driver in drivers:
        assert driver.stdout is not None
        jobs.append(JobId(driver.stdout.readline().strip()))
    for driver in drivers:
        driver.kill()
        driver.communicate()
    parents = {Path(f"/proc/{pid_of(job)}/stat").read_text().split()[3] for job in jobs}
    home.driver().processes.stop(jobs)
    assert len(parents) == 1


def test_a_client_that_talks_nonsense_is_dropped_and_nobody_else(home: Home) -> None:
    driver = home.driver()
    driver.start(home.step("true"))
    driver.next()
    facts = read_facts(home.place)
    assert facts is not None
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(facts.socket)
        with connection.makefile("rwb") as stream:
            assert json.loads(stream.readline())["keeper"] == facts.pid
            stream.write(b"[1]\n")
            stream.flush()
            assert stream.readline() == b""
    driver.start(home.step("true"))
    assert driver.next()[1].state is State.COMPLETED


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_refused(home: Home) -> None:
    # In a directory which, by somebody's mistake, everybody can enter.
    runtime = Path(tempfile.mkdtemp(prefix="k"))
    processes = KeeperProcesses(home.path, runtime, GRACE)
    try:
        (started,) = processes.start([home.step("sleep", "1000")])
        assert started.id is not None
        facts = read_facts(home.place)
        assert facts is not None
        runtime.chmod(0o755)
        Path(facts.socket).chmod(0o777)
        code = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
            "sys.exit(len(s.recv(100)))"
        )
        command = ["/usr/bin/env", "python3", "-c", code, facts.socket]
        assert subprocess.run(command, user=65534, timeout=20, check=False).returncode == 0
        assert subprocess.run(command, timeout=20, check=False).returncode > 0
        processes.stop([started.id])
    finally:
        processes.close()
        shutil.rmtree(runtime)


# -- records ----------------------------------------------------------------------------------


def test_ends_that_are_met_together_are_one_write(home: Home) -> None:
    driver = home.driver()
    gates = [home.gate(f"g{i}", i) for i in range(12)]
    jobs = driver.start(*(step for step, _ in gates))
    children = [os.pidfd_open(pid_of(job)) for job in jobs]
    pid = home.keeper()
    halt(pid)
    before = writes(pid)
    for _, open_gate in gates:
        open_gate()
    for job, pidfd in zip(jobs, children, strict=True):
        wait_gone(pid_of(job), pidfd)
    os.kill(pid, signal.SIGCONT)
    codes = {driver.next()[1].returncode for _ in jobs}
    assert codes == set(range(12))
    assert writes(pid) - before == 1
    (path,) = home.place.records.iterdir()
    assert len(path.read_text().splitlines()) == len(jobs)


def writes(pid: int) -> int:
    # Calls of write(2); what goes to sockets by send(2) does not count.
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("syscw")))


def test_a_record_says_what_ended_how_and_when(home: Home) -> None:
    driver = home.driver()
    (job,) = driver.start(home.step("sh", "-c", "kill -SEGV $$"))
    before = time.time()
    driver.next()
    (path,) = home.place.records.iterdir()
    assert path.name == f"{host_name()}-{home.keeper()}.jsonl"
    assert path.stat().st_mode & 0o077 == 0
    record = json.loads(path.read_text())
    assert abs(record.pop("time") - before) < 20
    assert 0 < record.pop("elapsed") < 20
    assert record == {
        "v": 1,
        "id": job,
        "tag": "m-1",
        "name": "m",
        "returncode": -11,
        "stopped": False,
    }


def test_a_torn_last_line_costs_only_that_record(home: Home) -> None:
    driver = home.driver()
    jobs = [driver.start(home.step("sh", "-c", f"exit {code}"))[0] for code in (3, 4)]
    for _ in jobs:
        driver.next()
    (path,) = home.place.records.iterdir()
    text = path.read_bytes()
    path.write_bytes(text[:-20])
    records = read_records(home.place.records, host_name())
    assert len(records) == 1
    assert set(records) < set(jobs)
    # A later keeper with the same number writes on behind it.
    file = RecordFile(str(path))
    file.save([{"v": 1, "id": "1.2"}])
    assert set(read_records(home.place.records, host_name())) == {*records, JobId("1.2")}


def test_records_of_a_newer_version_or_another_host_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "n-1.jsonl").write_text('{"v": 1, "id": "1.1"}\n')
    (tmp_path / "n-gpu-1.jsonl").write_text('{"v": 1, "id": "2.2"}\n')
    assert set(read_records(tmp_path, "n")) == {"1.1"}
    (tmp_path / "n-2.jsonl").write_text('{"v": 2, "what": "is this", "id": "3.3"}\n')
    with pytest.raises(LauncherError, match=r"n-2\.jsonl is of a newer smartcore"):
        read_records(tmp_path, "n")


def test_ends_that_cannot_be_written_are_told_and_written_later(home: Home) -> None:
    driver = home.driver()
    step, open_gate = home.gate("g", 6)
    driver.start(home.step("true"))
    driver.next()
    (job,) = driver.start(step)
    pid = home.keeper()
    (path,) = home.place.records.iterdir()
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (path.stat().st_size + 9, hard))
    open_gate()
    assert driver.next()[1].returncode == 6
    assert one(home.driver().processes.attach([job]), job).returncode == 6
    assert job not in read_records(home.place.records, host_name())
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
    (other,) = driver.start(home.step("true"))
    driver.next()
    records = read_records(home.place.records, host_name())
    assert records[job]["returncode"] == 6
    assert records[other]["returncode"] == 0


# -- limits and leaks -------------------------------------------------------------------------


def test_a_start_beyond_the_limit_of_open_files_names_the_limit(home: Home) -> None:
    driver = home.driver()
    driver.processes.start([home.step("true")])
    driver.next()
    _, hard = resource.prlimit(home.keeper(), resource.RLIMIT_NOFILE)
    resource.prlimit(home.keeper(), resource.RLIMIT_NOFILE, (keeper.SPARE + 6, hard))
    started = driver.processes.start([home.step("sleep", "1000", name=f"s{i}") for i in range(5)])
    assert [bool(one.error) for one in started] == [False] * 3 + [True] * 2
    assert "RLIMIT_NOFILE" in started[3].error
    assert "ulimit -n" in started[3].error
    driver.processes.stop([one.id for one in started if one.id is not None])
    assert {driver.next()[1].state for _ in range(3)} == {State.CANCELLED}


def test_a_keeper_has_no_descriptors_or_zombies_left_after_many_ends(home: Home) -> None:
    driver = home.driver()
    driver.start(home.step("true"))
    driver.next()
    pid = home.keeper()
    before = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    jobs = driver.start(*[home.step("true")] * 100, *[home.step("sleep", "1000")] * 20)
    driver.processes.stop(jobs[100:])
    for _ in jobs:
        driver.next()
    assert len(list(Path(f"/proc/{pid}/fd").iterdir())) == before
    assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""


def test_a_driver_has_no_threads_descriptors_or_children_left_after_close(home: Home) -> None:
    code = (
        "import os, queue, sys, threading; from pathlib import Path;"
        "from smartcore.launch.keeping import KeeperProcesses;"
        "from smartcore.spec import Command, Step, Tag; path = Path(sys.argv[1]);"
        "step = Step('m', Tag('m-1'), Command(('true',)), path, path / 'm.out', path / 'm.err')\n"
        "def fds(): return len(os.listdir('/proc/self/fd'))\n"
        "for _ in range(3):\n"
        "    before = fds(); service = KeeperProcesses(path, path); events = queue.SimpleQueue()\n"
        "    service.watch(lambda job, status: events.put(status))\n"
        "    service.start([step]); events.get(timeout=20); service.close(); service.close()\n"
        "    assert fds() == before, os.listdir('/proc/self/fd')\n"
        "    assert threading.active_count() == 1\n"
        "try:\n    os.wait()\nexcept ChildProcessError:\n    print('fine')\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(home.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("fine\n", "")


def test_the_keeper_holds_nothing_of_the_drivers(home: Home, tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(handle, True)
    os.environ["SECRET_TOKEN_OF_THE_DRIVER"] = "1"
    try:
        driver = home.driver()
        (job,) = driver.start(home.step("sh", "-c", "test $SECRET_TOKEN_OF_THE_DRIVER = 1"))
        pid = home.keeper()
        held = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}
        assert driver.next()[1].state is State.COMPLETED
    finally:
        os.close(handle)
        del os.environ["SECRET_TOKEN_OF_THE_DRIVER"]
    assert str(tmp_path) not in held
    assert b"SECRET_TOKEN" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert os.getsid(pid) not in {os.getsid(0), pid_of(job)}
    assert str(Path(f"/proc/{pid}/cwd").readlink()) == "/"


# -- beginning --------------------------------------------------------------------------------


def test_a_warm_keeper_is_there_before_the_first_start(home: Home) -> None:
    driver = home.driver()
    driver.processes.warm_up()
    deadline = time.monotonic() + 20
    while not home.place.info.exists():  # it tells nobody but its own client
        assert time.monotonic() < deadline
        time.sleep(0.005)
    pid = home.keeper()
    driver.start(home.step("true"))
    assert driver.next()[1].state is State.COMPLETED
    assert home.keeper() == pid


def test_nothing_is_started_by_asking(home: Home) -> None:
    processes = home.driver().processes
    assert set(processes.attach([JobId("1.1")]).values()) == {ABSENT}
    assert set(processes.status([JobId("1.1")]).values()) == {ABSENT}
    processes.stop([JobId("999999999.1")])
    assert not home.place.info.exists()


def test_a_keeper_that_cannot_start_says_why(home: Home) -> None:
    runtime = home.path / ("x" * 100)
    runtime.mkdir()
    with pytest.raises(LauncherError, match=r"the keeper did not start: .*too long; see .*\.err"):
        KeeperProcesses(home.path, runtime).start([home.step("true")])


def test_files_of_a_command_are_written_before_it_runs_and_stay_private(home: Home) -> None:
    driver = home.driver()
    secret = File(home.path / "conf", "a\nb")
    step = home.step("cat", "conf")
    command = Command(step.command.argv, files=(secret,))
    driver.start(Step("m", step.tag, command, step.cwd, step.stdout, step.stderr))
    assert driver.next()[1].returncode == 0
    assert (home.path / "m.out").read_text() == "a\nb"
    assert secret.path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_fails_its_own_step_only(home: Home) -> None:
    driver = home.driver()
    bad = home.step("true")
    blocked = File(home.path / "m.err" / "conf", "")
    (home.path / "m.err").touch()
    command = Command(("true",), files=(blocked,))
    first, second = driver.processes.start(
        [Step("m", bad.tag, command, bad.cwd, bad.stdout, bad.stderr), home.step("true", name="n")]
    )
    assert first.id is None
    assert first.error
    assert driver.next()[0] == second.id
