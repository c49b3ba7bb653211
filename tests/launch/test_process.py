from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from smartcore.launch import proc
from smartcore.launch.keeping import KeeperProcesses
from smartcore.launch.process import LocalProcesses, write_files
from smartcore.spec import ABSENT, Cause, Command, File, JobId, Processes, State, Status, Step, Tag

Events = queue.SimpleQueue[tuple[JobId, Status]]
MakeStep = Callable[..., Step]


@pytest.fixture(params=["by itself", "through a keeper"])
def processes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Processes, Events]]:
    grace = timedelta(seconds=0.3)
    service: Processes = LocalProcesses(grace)
    if request.param == "through a keeper":
        place = tmp_path_factory.mktemp("exp")
        service = KeeperProcesses(place, place, grace)
    events: Events = queue.SimpleQueue()
    service.watch(lambda job, status: events.put((job, status)))
    yield service, events
    service.close()


@pytest.fixture
def step(tmp_path: Path) -> MakeStep:
    def make(*argv: str, **env: str) -> Step:
        command = Command(argv, env)
        return Step("m", Tag("m-1"), command, tmp_path, tmp_path / "m.out", tmp_path / "m.err")

    return make


def run(processes: tuple[Processes, Events], step: Step) -> Status:
    service, events = processes
    (started,) = service.start([step])
    assert started.id is not None, started.error
    job, status = events.get(timeout=20)
    assert job == started.id
    return status


@pytest.mark.parametrize("code", [0, 1, 2, 127, 255])
def test_the_exit_code_is_the_programs_own(
    processes: tuple[Processes, Events], step: MakeStep, code: int
) -> None:
    status = run(processes, step("sh", "-c", f"exit {code}"))
    assert status.returncode == code
    assert status.state is (State.FAILED if code else State.COMPLETED)


def test_death_by_a_signal_is_a_failure_that_names_it(
    processes: tuple[Processes, Events], step: MakeStep
) -> None:
    status = run(processes, step("sh", "-c", "kill -SEGV $$"))
    assert (status.state, status.returncode) == (State.FAILED, -signal.SIGSEGV)
    assert status.cause is Cause.SIGNAL
    assert "SIGSEGV" in status.reason


def test_arguments_and_environment_arrive_unchanged(
    processes: tuple[Processes, Events], step: MakeStep, tmp_path: Path
) -> None:
    nasty = ["a b", "q\"'", "new\nline", "", "$HOME", "a|b", "ü€", "*", "--x=1,2"]
    code = "import sys, os; print(repr((sys.argv[1:], os.environ['V'])))"
    assert run(processes, step(sys.executable, "-c", code, *nasty, V="x,y = 'z'\n")).returncode == 0
    assert eval((tmp_path / "m.out").read_text()) == (nasty, "x,y = 'z'\n")


def test_output_and_errors_go_to_their_own_files_whole(
    processes: tuple[Processes, Events], step: MakeStep, tmp_path: Path
) -> None:
    code = "import sys; sys.stdout.write('o' * 5_000_000); sys.stderr.write('e' * 3_000_000)"
    run(processes, step(sys.executable, "-c", code))
    assert (tmp_path / "m.out").read_text() == "o" * 5_000_000
    assert (tmp_path / "m.err").read_text() == "e" * 3_000_000


def test_a_child_has_its_own_session_directory_and_no_input_or_descriptors(
    processes: tuple[Processes, Events], step: MakeStep, tmp_path: Path
) -> None:
    code = (
        "import os, sys; fds = [int(f) for f in os.listdir('/proc/self/fd')];"
        "print(os.getsid(0) == os.getpid(), os.getcwd(), repr(sys.stdin.read()),"
        " sum(fd > 2 for fd in fds) - 1)"
    )
    handle = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(handle, True)
    try:
        run(processes, step(sys.executable, "-c", code))
    finally:
        os.close(handle)
    assert (tmp_path / "m.out").read_text().split() == ["True", str(tmp_path), "''", "0"]


def test_what_cannot_be_spawned_is_an_answer_and_the_others_start(
    processes: tuple[Processes, Events], step: MakeStep
) -> None:
    service, events = processes
    bad, good = service.start([step("/no/such/program"), step("true")])
    assert bad.id is None
    assert "/no/such/program" in bad.error
    assert good.id is not None
    assert events.get(timeout=20)[1].state is State.COMPLETED


def test_an_unknown_id_is_absent_and_not_done(processes: tuple[Processes, Events]) -> None:
    service, _ = processes
    own = JobId(f"{os.getpid()}.1")  # the pid lives, but was born at another time
    ids = [JobId("nonsense"), JobId("999999999.5"), own]
    assert set(service.status(ids).values()) == {ABSENT}
    service.stop(ids)


def test_stop_is_polite_first(
    processes: tuple[Processes, Events], step: MakeStep, tmp_path: Path
) -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3));"
        "open('ready', 'w').close(); signal.pause()"
    )
    service, events = processes
    (started,) = service.start([step(sys.executable, "-c", code)])
    assert started.id is not None
    wait_for(tmp_path / "ready")
    service.stop([started.id])
    status = events.get(timeout=20)[1]
    assert (status.state, status.returncode, status.cause) == (State.CANCELLED, 3, Cause.STOPPED)


def test_stop_insists_and_takes_the_whole_session_along(
    processes: tuple[Processes, Events], step: MakeStep, tmp_path: Path
) -> None:
    # The grandchild ignores TERM and has a process group of its own, as the ranks of an MPI have.
    code = (
        "import os, signal, subprocess, sys, time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "p = subprocess.Popen(['sleep', '1000'], process_group=0);"
        "open('pid', 'w').write(str(p.pid)); os.rename('pid', 'ready'); time.sleep(1000)"
    )
    service, events = processes
    (started,) = service.start([step(sys.executable, "-c", code)])
    assert started.id is not None
    wait_for(tmp_path / "ready")
    grandchild = int((tmp_path / "ready").read_text())
    assert proc.start_time(grandchild) is not None
    service.stop([started.id])
    status = events.get(timeout=20)[1]
    assert (status.state, status.returncode) == (State.CANCELLED, -signal.SIGKILL)
    assert proc.start_time(grandchild) is None


def test_an_end_before_the_stop_stays_what_it_was(
    processes: tuple[Processes, Events], step: MakeStep
) -> None:
    service, events = processes
    (started,) = service.start([step("false")])
    assert started.id is not None
    events.get(timeout=20)
    service.stop([started.id, started.id])
    answer = service.status([started.id])[started.id]
    assert isinstance(answer, Status)
    assert answer.state is State.FAILED


def test_a_process_of_somebody_else_can_be_followed_and_stopped(
    processes: tuple[Processes, Events], step: MakeStep
) -> None:
    other = LocalProcesses(timedelta(seconds=1))
    first, second = other.start([step("sleep", "1000"), step("sleep", "1000")])
    service, events = processes
    assert first.id is not None
    assert second.id is not None
    answers = service.attach([first.id, second.id])
    assert {answer.state for answer in answers.values() if isinstance(answer, Status)} == {
        State.RUNNING
    }
    service.stop([first.id])
    assert events.get(timeout=20)[1].state is State.CANCELLED
    os.kill(int(second.id.partition(".")[0]), signal.SIGKILL)
    lost = events.get(timeout=20)[1]
    assert (lost.state, lost.cause, lost.returncode) == (State.LOST, Cause.UNSEEN, None)
    other.close()


def test_nothing_is_left_open_after_many_ends(
    processes: tuple[Processes, Events], step: MakeStep
) -> None:
    service, events = processes
    run(processes, step("true"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    started = service.start([step("true")] * 50)
    for _ in started:
        events.get(timeout=20)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_files_with_secrets_are_never_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "secret.conf"
    write_files(Command(("true",), files=(File(path, "a\nb"),)))
    assert path.read_text() == "a\nb"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    assert [entry.name for entry in path.parent.iterdir()] == ["secret.conf"]


def test_a_process_is_named_by_its_birth_and_a_zombie_is_not_alive() -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert proc.start_time(child.pid) is None
        assert proc.birth(child.pid) is not None
    assert proc.birth(child.pid) is None
    assert proc.start_time(os.getpid()) == proc.birth(os.getpid())


def wait_for(path: Path, seconds: float = 20) -> None:
    # Only for what a child writes by itself: nobody can tell us but the file.
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.005)
