from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from smartcore.launch import sidecar as program
from smartcore.launch.beside import spec_text
from smartcore.launch.child import NOT_EXECUTABLE, NOT_FOUND, SIDECAR_FAILED
from smartcore.launch.death import told_deaths
from smartcore.launch.proc import start_time
from smartcore.launch.report import TAIL_LINES
from smartcore.spec import Command, Inspection, Ready, Sidecar
from smartcore.testing.running import wait_until

# A server that answers "pong" to whatever it is sent; "late" waits for a file to appear first.
SERVER = """
import os, signal, socket, sys
path, order = sys.argv[1], sys.argv[2:]
print("server is", os.getpid(), "in session", os.getsid(0), "on", sorted(os.sched_getaffinity(0)))
print("descriptors:", sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1], flush=True)
if "deaf" in order:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "late" in order:
    open(order[order.index("late") + 1]).read()  # a named pipe: returns when somebody wrote
listening = socket.socket(socket.AF_UNIX)
listening.bind(path)
listening.listen()
if "once" in order:
    connection, _ = listening.accept()
    connection.recv(100)
    connection.sendall(b"pong")
    sys.exit(7)
while True:
    connection, _ = listening.accept()
    with connection:
        if connection.recv(100):
            connection.sendall(b"pong")
"""
TIMEOUT = 30


@dataclass(frozen=True)
class Bench:
    """A directory with a spec, and what is run with it."""

    path: Path
    socket: Path

    @property
    def log(self) -> str:
        return (self.path / "s.log").read_text()

    def sidecar(self, *order: str, inspection: Inspection | None = None) -> Sidecar:
        argv = (sys.executable, "-I", "-S", "-c", SERVER, str(self.socket), *order)
        return Sidecar(
            name="server",
            command=Command(argv),
            ready=Ready(socket=str(self.socket), send=b"ping\xff\n", expect=b"pong"),
            log=self.path / "s.log",
            inspection=inspection,
        )

    def inspected(self, code: str) -> Sidecar:
        question = Ready(socket=str(self.socket), send=b"how?", expect=b"po", ends=b"g")
        return self.sidecar(
            inspection=Inspection(question, (sys.executable, "-I", "-S", "-c", code), "secret")
        )

    def argv(self, *sidecars: Sidecar, app: tuple[str, ...], grace: float = 5.0) -> tuple[str, ...]:
        spec = self.path / "spec.json"
        spec.write_text(spec_text(sidecars, self.path, timedelta(seconds=grace)))
        return (sys.executable, "-I", "-S", program.__file__, str(spec), *app)

    def run(
        self, *sidecars: Sidecar, app: tuple[str, ...], grace: float = 5.0
    ) -> subprocess.CompletedProcess[str]:
        argv = self.argv(*sidecars, app=app, grace=grace)
        return subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=False)

    def start(self, *sidecars: Sidecar, app: tuple[str, ...]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(*sidecars, app=app), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def server_pid(self) -> int:
        return int(self.log.split()[2])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    # tmp_path of a long test name may be too long for a socket.
    place = Path(f"/tmp/sc-{os.getpid()}-{time.monotonic_ns()}")
    place.mkdir(mode=0o700)
    made = Bench(tmp_path, place / "s.sock")
    yield made
    left = [path.name for path in place.iterdir()]
    for path in place.iterdir():
        path.unlink()
    place.rmdir()
    pid = made.server_pid() if (tmp_path / "s.log").exists() and made.log else 0
    assert not left, "a socket was left"
    assert not pid or start_time(pid) is None, "a sidecar was left"


SAY = ("sh", "-c", 'echo out; echo err >&2; exit "$0"')


@pytest.mark.parametrize("code", [0, 1, 125, 255])
def test_the_exit_code_and_the_output_are_the_applications(bench: Bench, code: int) -> None:
    done = bench.run(bench.sidecar(), app=(*SAY, str(code)))
    assert (done.returncode, done.stdout, done.stderr) == (code, "out\n", "err\n")


def test_the_application_starts_only_when_the_sidecar_serves(bench: Bench) -> None:
    pipe = bench.path / "pipe"
    os.mkfifo(pipe)
    touch = ("touch", str(bench.path / "started"))
    with bench.start(bench.sidecar("late", str(pipe)), app=touch) as supervisor:
        wait_until(lambda: (bench.path / "s.log").exists() and bench.log.count("\n") == 2)
        assert not (bench.path / "started").exists()
        pipe.write_text("go")
        assert supervisor.wait(TIMEOUT) == 0
    assert (bench.path / "started").exists()


def test_the_application_finds_the_sidecar_serving(bench: Bench) -> None:
    code = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "s.sendall(b'x'); print(s.recv(10))"
    )
    done = bench.run(bench.sidecar(), app=(sys.executable, "-c", code, str(bench.socket)))
    assert done.stdout == "b'pong'\n", done.stderr


def test_the_application_starts_if_the_judge_is_content_and_what_he_says_is_told(
    bench: Bench,
) -> None:
    code = "import sys; sys.stderr.write(f'judged {sys.stdin.read()!r}')"
    done = bench.run(bench.inspected(code), app=("echo", "started"))
    assert (done.returncode, done.stdout) == (0, "started\n")
    assert done.stderr == "smartcore: judged 'secret\\npong'\n"
    assert bench.run(bench.inspected("pass"), app=("true",)).stderr == ""


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; sys.exit('it is blue, not green')", "it is blue, not green; "),
        ("import os; os.kill(os.getpid(), 9)", "whether server is as it should be cannot be told"),
    ],
)
def test_the_application_does_not_start_if_the_judge_refuses_or_breaks(
    bench: Bench, code: str, words: str
) -> None:
    done = bench.run(bench.inspected(code), app=("echo", "started"))
    assert (done.returncode, done.stdout) == (SIDECAR_FAILED, "")
    assert f"smartcore: {words}" in done.stderr
    assert f"{bench.path / 's.log'} ends with:" in done.stderr


def test_a_judge_who_cannot_be_run_or_does_not_end_keeps_the_application_from_starting(
    bench: Bench,
) -> None:
    gone = replace(bench.inspected("").inspection, judge=("/no/judge",))  # type: ignore[type-var]
    done = bench.run(bench.sidecar(inspection=gone), app=("echo", "started"))
    assert (done.returncode, done.stdout) == (SIDECAR_FAILED, "")
    assert "/no/judge: No such file" in done.stderr
    endless = bench.inspected("import signal; signal.pause()").inspection
    assert endless is not None
    question = replace(endless.question, timeout=timedelta(seconds=0.5))
    endless = replace(endless, question=question)
    done = bench.run(bench.sidecar(inspection=endless), app=("echo", "started"))
    assert (done.returncode, done.stdout) == (SIDECAR_FAILED, "")
    assert "cannot be told" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP])
def test_the_supervisor_dies_by_the_applications_signal(bench: Bench, number: int) -> None:
    done = bench.run(bench.sidecar(), app=("sh", "-c", f"ulimit -c 0; kill -{int(number)} $$"))
    assert done.returncode == -number


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]
)
def test_signals_are_passed_on_to_the_application_once(
    bench: Bench, number: signal.Signals
) -> None:
    name = number.name.removeprefix("SIG")
    code = (
        f"trap 'n=x$n' {name}; echo ready; while [ -z $n ]; do sleep 0.05; done; sleep 0.1; echo $n"
    )
    with bench.start(bench.sidecar(), app=("sh", "-c", f"{code}; exit 9")) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "ready\n"
        supervisor.send_signal(number)
        assert supervisor.wait(TIMEOUT) == 9
        assert supervisor.stdout.read() == "x\n"


def test_a_signal_that_was_ignored_stays_ignored(bench: Bench) -> None:
    argv = bench.argv(bench.sidecar(), app=("sh", "-c", "kill -HUP $$; kill -PIPE $$"))
    shell = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")
    done = subprocess.run((*shell, *argv), timeout=TIMEOUT, check=False)
    # HUP was ignored by who started us; PIPE, which Python ignores for itself, was not.
    assert done.returncode == -signal.SIGPIPE


def test_a_signal_before_readiness_ends_all_and_starts_nothing(bench: Bench) -> None:
    pipe = bench.path / "pipe"
    os.mkfifo(pipe)
    touch = ("touch", str(bench.path / "started"))
    with bench.start(bench.sidecar("late", str(pipe)), app=touch) as supervisor:
        wait_until(lambda: (bench.path / "s.log").exists() and bench.log.count("\n") == 2)
        supervisor.terminate()
        assert supervisor.wait(TIMEOUT) == -signal.SIGTERM
    assert not (bench.path / "started").exists()


def test_a_sidecar_that_ends_before_it_serves_is_a_failure_with_its_log(bench: Bench) -> None:
    wordy = "seq 20; echo the reason >&2; exit 3"
    failing = replace(bench.sidecar(), command=Command(("sh", "-c", wordy)))
    done = bench.run(failing, app=("touch", str(bench.path / "started")))
    assert done.returncode == SIDECAR_FAILED == 125
    assert "server ended with exit code 3 before it served" in done.stderr
    assert "the reason" in done.stderr
    # Who is shown the end of the application's errors is shown the first line of it.
    assert len(done.stderr.splitlines()) < TAIL_LINES
    assert not (bench.path / "started").exists()
    (bench.path / "s.log").unlink()


def test_a_sidecar_that_does_not_serve_in_time_is_a_failure_and_ended(bench: Bench) -> None:
    wrong = replace(bench.sidecar().ready, expect=b"gnop", timeout=timedelta(seconds=0.3))
    done = bench.run(replace(bench.sidecar(), ready=wrong), app=("true",))
    assert done.returncode == 125
    assert "did not serve at" in done.stderr and "within 0.3 s" in done.stderr


def test_of_several_sidecars_all_are_ended_if_one_fails(bench: Bench) -> None:
    ready = Ready(socket=str(bench.socket.with_name("other.sock")))
    other = Sidecar("other", Command(("/nonexistent",)), ready, log=bench.path / "other.log")
    done = bench.run(bench.sidecar(), other, app=("true",))
    assert done.returncode == 125
    assert "other: /nonexistent: No such file or directory" in done.stderr
    assert "\nsmartcore" not in done.stderr.strip()


def test_a_sidecar_that_ignores_term_is_killed_after_the_grace_period(bench: Bench) -> None:
    began = time.monotonic()
    done = bench.run(bench.sidecar("deaf"), app=("true",), grace=0.3)
    assert done.returncode == 0
    assert 0.3 < time.monotonic() - began < 5


def test_an_application_goes_on_without_a_sidecar_that_died(bench: Bench) -> None:
    code = "read line; echo went on"
    with subprocess.Popen(
        bench.argv(bench.sidecar("once"), app=("sh", "-c", code)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as supervisor:
        assert supervisor.stderr is not None and supervisor.stdin is not None
        assert "server ended with exit code 7, and the application goes on" in (
            supervisor.stderr.readline()
        )
        out, _ = supervisor.communicate("\n", TIMEOUT)
        assert (supervisor.returncode, out) == (0, "went on\n")


def test_a_sidecar_that_died_just_before_the_application_is_told_of(bench: Bench) -> None:
    # The supervisor sees both ends at once.
    code = f'kill -STOP $PPID; kill -9 $(cut -d" " -f3 {bench.path}/s.log | head -n1); exit 3'
    with bench.start(bench.sidecar(), app=("sh", "-c", code)) as supervisor:
        wait_until(
            lambda: (
                (bench.path / "s.log").exists()
                and bool(bench.log)
                and start_time(bench.server_pid()) is None
            )
        )
        (application,) = (
            pid
            for pid in psutil.Process(supervisor.pid).children()
            if pid.pid != bench.server_pid()
        )
        wait_until(lambda: application.status() == psutil.STATUS_ZOMBIE)
        supervisor.send_signal(signal.SIGCONT)
        _, err = supervisor.communicate(timeout=TIMEOUT)
        assert supervisor.returncode == 3
        assert "server was killed by SIGKILL, before the application ended; " in err


@pytest.mark.parametrize(("number", "news"), [(signal.SIGUSR1, 1), (signal.SIGTERM, 0)])
def test_a_death_is_no_news_after_a_signal_that_asks_for_an_end(
    bench: Bench, number: int, news: int
) -> None:
    code = (
        f"trap got=1 {int(number)}; kill -{int(number)} $PPID\n"
        'until [ "$got" ]; do sleep 0.01; done\n'
        f'server=$(cut -d" " -f3 {bench.path}/s.log | head -n1); kill -9 $server\n'
        "while kill -0 $server 2>/dev/null; do sleep 0.01; done"
    )
    spec, place = bench.path / "spec.json", bench.path / "notes"
    argv = bench.argv(bench.sidecar(), app=("bash", "-c", code))
    spec.write_text(spec_text([bench.sidecar()], bench.path, timedelta(seconds=5), place / "l-1"))
    subprocess.run(argv, timeout=TIMEOUT, check=True, capture_output=True)
    assert len(told_deaths(str(place), {"l-1"})) == news


def test_children_die_with_a_supervisor_that_is_killed(bench: Bench) -> None:
    with bench.start(bench.sidecar(), app=("sh", "-c", "echo $$; exec sleep 100")) as supervisor:
        assert supervisor.stdout is not None
        application = int(supervisor.stdout.readline())
        server = bench.server_pid()
        supervisor.kill()
        supervisor.wait(TIMEOUT)
        for pid in (application, server):
            wait_until(lambda pid=pid: start_time(pid) is None)  # type: ignore[misc]
    # Nobody was left to remove it.
    bench.socket.unlink()


def test_what_a_sidecar_started_ends_with_it(bench: Bench) -> None:
    serve = bench.sidecar()
    child = '(trap "" TERM; exec sleep 100)'
    argv = ("sh", "-c", f'{child} & echo $! > {bench.path}/pid; exec "$@"', "sh")
    forking = replace(serve, command=Command((*argv, *serve.command.argv)))
    assert bench.run(forking, app=("true",)).returncode == 0
    assert start_time(int((bench.path / "pid").read_text())) is None


def test_only_the_sidecar_is_pinned_and_it_gets_a_session_and_descriptors_of_its_own(
    bench: Bench,
) -> None:
    cores = sorted(os.sched_getaffinity(0))
    pinned = replace(bench.sidecar(), cpus=(cores[0], 100_000))
    code = (
        "import os; print(sorted(os.sched_getaffinity(0)), os.getsid(0) == os.getsid(os.getppid()))"
    )
    with open(os.devnull) as inherited:  # noqa: PTH123
        os.set_inheritable(inherited.fileno(), True)
        done = subprocess.run(
            bench.argv(pinned, app=(sys.executable, "-c", code)),
            pass_fds=[inherited.fileno()],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    assert done.stdout == f"{cores} True\n", done.stderr
    pid = bench.server_pid()
    assert f"in session {pid} on [{cores[0]}]\n" in bench.log
    assert "descriptors: [0, 1, 2]\n" in bench.log


def test_it_is_pinned_to_cores_that_its_application_is_kept_from(bench: Bench) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("one core is all there is")
    argv = bench.argv(
        replace(bench.sidecar(), cpus=(cores[0],)),
        app=(sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"),
    )
    bound = ("taskset", "--cpu-list", str(cores[1]), *argv)
    done = subprocess.run(bound, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    assert done.stdout == f"[{cores[1]}]\n"
    assert f"on [{cores[0]}]\n" in bench.log


def test_cores_that_are_not_there_leave_it_unpinned_and_say_so(bench: Bench) -> None:
    done = bench.run(replace(bench.sidecar(), cpus=(100_000,)), app=("true",))
    assert done.returncode == 0
    assert "server is not pinned" in done.stderr


def test_a_socket_on_which_somebody_listens_is_left_alone(bench: Bench) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(bench.socket))
        stranger.listen()
        done = bench.run(bench.sidecar(), app=("true",))
        assert done.returncode == 125
        assert "somebody listens there" in done.stderr
        assert bench.socket.exists()
    bench.socket.unlink()


def test_a_file_where_the_socket_should_be_is_left_alone(bench: Bench) -> None:
    bench.socket.write_text("precious")
    done = bench.run(bench.sidecar(), app=("true",))
    assert done.returncode == 125
    assert bench.socket.read_text() == "precious"
    bench.socket.unlink()


def test_a_port_on_which_somebody_listens_is_left_alone(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        ready = Ready(host="127.0.0.1", port=port, expect=b"x")
        done = bench.run(replace(bench.sidecar(), ready=ready), app=("true",))
    assert done.returncode == 125
    assert f"cannot listen at 127.0.0.1:{port}: Address already in use" in done.stderr


def test_an_application_that_is_not_there_ends_as_in_a_shell(bench: Bench) -> None:
    done = bench.run(bench.sidecar(), app=("/nonexistent/program",))
    assert (done.returncode, NOT_FOUND) == (127, 127)
    assert "/nonexistent/program: No such file or directory" in done.stderr


def test_an_application_that_may_not_be_run_ends_as_in_a_shell(bench: Bench) -> None:
    plain = bench.path / "plain"
    plain.write_text("text")
    done = bench.run(bench.sidecar(), app=(str(plain),))
    assert done.returncode == NOT_EXECUTABLE
    assert "Permission denied" in done.stderr


def test_arguments_and_environment_arrive_unchanged(bench: Bench) -> None:
    nasty = ["a b", "q\"'", "new\nline", "", "$HOME", "ü€", "*"]
    code = "import sys, os, json; print(json.dumps([sys.argv[1:], os.environ['PYTHONPATH']]))"
    argv = bench.argv(bench.sidecar(), app=(sys.executable, "-S", "-c", code, *nasty))
    env = {**os.environ, "PYTHONPATH": "/some where"}
    done = subprocess.run(argv, env=env, capture_output=True, timeout=TIMEOUT, check=True)
    assert json.loads(done.stdout) == [nasty, "/some where"]


@pytest.mark.parametrize("text", ["", "{}", '{"version": 2}'])
def test_a_spec_that_cannot_be_used_starts_nothing(tmp_path: Path, text: str) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(text)
    argv = (sys.executable, "-I", "-S", program.__file__, str(spec), "touch", "started")
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 125
    assert b"cannot use" in done.stderr
    assert not (tmp_path / "started").exists()
