from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.launch import node as program
from smartcore.launch.beside import Elsewhere, beside_on_nodes, place_of, tasks_script
from smartcore.launch.child import SIDECAR_FAILED
from smartcore.launch.others import shell_lines
from smartcore.launch.proc import start_time
from smartcore.launch.process import write_files
from smartcore.spec import Command, Inspection, LocalRank, Ready, Sidecar
from smartcore.testing.running import wait_until

# A server that answers "pong". "late" waits until somebody writes to a named pipe first.
SERVER = """
import os, socket, sys
path, order = sys.argv[1], sys.argv[2:]
print("server is", os.getpid(), flush=True)
if "late" in order:
    open(order[order.index("late") + 1]).read()
if "fail" in order:
    sys.exit("the reason")
if path.isdecimal():
    listening = socket.create_server(("127.0.0.1", int(path)))
else:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
while True:
    connection, _ = listening.accept()
    with connection:
        if connection.recv(100):
            connection.sendall(b"pong")
"""
# Asks it. "wait" does so again when it has read a line.
CLIENT = """
import os, socket, sys
def ask():
    place = os.environ["PLACE"]
    client = socket.socket(socket.AF_INET if place.isdecimal() else socket.AF_UNIX)
    client.connect(("127.0.0.1", int(place)) if place.isdecimal() else place)
    client.sendall(b"ping")
    return client.recv(10).decode()
print(ask(), os.environ["PLACE"], os.environ["PLACE.odd-name"], os.getpid(), flush=True)
if "wait" in sys.argv:
    print(sys.stdin.readline().strip(), ask(), flush=True)
sys.exit(int(sys.argv[1]))
"""
TIMEOUT = 60
RANKS = (LocalRank("RANK_A", "SIZE_A"), LocalRank("RANK_B", listed="LIST_B"))
Task = subprocess.Popen[str]


@dataclass
class Bench:
    """A directory with what the tasks of some nodes share."""

    path: Path
    runtime: Path
    started: list[Task] = field(default_factory=list)

    def command(
        self,
        *order: str,
        app: tuple[str, ...] = ("0",),
        alone: bool = False,
        port: bool = False,
        judge: str = "",
    ) -> Command:
        socket = str(self.runtime / f"s-{program.KEY_WORD}.sock")
        at = str(program.PORT_WORD) if port else socket
        ready = (
            Ready(host="127.0.0.1", port=program.PORT_WORD, send=b"ping", expect=b"pong")
            if port
            else Ready(socket=socket, send=b"ping", expect=b"pong")
        )
        server = Sidecar(
            name="server",
            command=Command((sys.executable, "-I", "-S", "-c", SERVER, at, *order)),
            ready=ready,
            log=self.path / f"server-{program.NODE_WORD}.log",
            env={"PLACE": at, "PLACE.odd-name": f'it\'s "{at}"'},
            inspection=self.inspection(ready, judge, at) if judge else None,
        )
        where = Elsewhere(self.runtime, "MY_NODE", RANKS, alone=alone, several=True)
        made = beside_on_nodes(
            [server],
            self.path / "spec.json",
            self.path,
            where,
            port_of="127.0.0.1" if port else "",
            grace=timedelta(seconds=5),
        )
        command = made.around(Command((sys.executable, "-c", CLIENT, *app)))
        write_files(command)
        return command

    @staticmethod
    def inspection(ready: Ready, judge: str, at: str) -> Inspection:
        about = f"of {program.NODE_WORD} at {at}"
        return Inspection(ready, (sys.executable, "-I", "-S", "-c", judge), about)

    def start(self, command: Command, node: str, rank: int, size: int) -> Task:
        return self.run(command, MY_NODE=node, RANK_A=str(rank), SIZE_A=str(size))

    def run(self, command: Command, **variables: str) -> Task:
        pipe = subprocess.PIPE
        task = subprocess.Popen(
            command.argv,
            env={**os.environ, **command.env, **variables},
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        self.started.append(task)
        return task

    def log(self, node: str) -> str:
        path = self.path / f"server-{node}.log"
        return path.read_text() if path.exists() else ""

    def servers(self) -> list[int]:
        logs = self.path.glob("server-*.log")
        return [int(line.split()[2]) for log in logs for line in log.read_text().splitlines()[:1]]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    # tmp_path of a long test name may be too long for a socket.
    runtime = Path(f"/tmp/sc-node-{os.getpid()}-{time.monotonic_ns()}")
    made = Bench(tmp_path, runtime)
    yield made
    try:
        for task in made.started:
            if task.poll() is None:
                task.kill()
            task.communicate(timeout=TIMEOUT)
        wait_until(lambda: all(start_time(pid) is None for pid in made.servers()))
        # What had a server may still be about to remove its socket.
        wait_until(lambda: not runtime.exists() or not list(runtime.iterdir()))
    finally:
        shutil.rmtree(runtime, ignore_errors=True)


def end_of(task: Task) -> tuple[int, str, str]:
    out, err = task.communicate("", TIMEOUT)
    return task.returncode, out, err


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_each_node_has_one_sidecar_and_all_of_its_tasks_find_it(bench: Bench) -> None:
    command = bench.command()
    tasks = {
        (name, rank): bench.start(command, name, rank, 3)
        for rank in (2, 1, 0)  # the first task is the last to come
        for name in ("nid1", "nid2")
    }
    ends = {key: end_of(task) for key, task in tasks.items()}
    assert {code for code, _, _ in ends.values()} == {0}, ends
    for (name, rank), (_, out, _) in ends.items():
        place = str(bench.runtime / f"s-{program.key_of(name)}.sock")
        answer, found, *odd, pid = out.split()
        assert (answer, found, " ".join(odd)) == ("pong", place, f'it\'s "{place}"')
        if rank:  # nothing is between the launcher and the program
            assert int(pid) == tasks[name, rank].pid
    assert [bench.log(name).count("server is") for name in ("nid1", "nid2")] == [1, 1]


def test_a_list_of_the_nodes_tasks_tells_how_many_there_are(bench: Bench) -> None:
    command = bench.command()
    tasks = [bench.run(command, MY_NODE="nid1", RANK_B=str(rank), LIST_B="4,7") for rank in (0, 1)]
    assert [end_of(task)[:1] for task in tasks] == [(0,), (0,)]


def test_each_node_finds_a_port_of_its_own(bench: Bench) -> None:
    command = bench.command(port=True)
    tasks = [bench.start(command, name, rank, 2) for name in ("a", "b") for rank in (0, 1)]
    ends = [end_of(task) for task in tasks]
    assert {code for code, _, _ in ends} == {0}, ends
    first, second, third, fourth = (out.split()[1] for _, out, _ in ends)
    assert first == second != third == fourth


def test_no_task_of_a_node_starts_if_its_sidecar_is_not_as_it_was_asked_to_be(
    bench: Bench,
) -> None:
    code = "import sys; line = input(); sys.exit(line if 'of bad at' in line else 0)"
    command = bench.command(port=True, judge=code)
    tasks = [bench.start(command, name, rank, 2) for name in ("good", "bad") for rank in (0, 1)]
    good, also_good, bad, also_bad = (end_of(task) for task in tasks)
    assert (good[0], also_good[0]) == (0, 0)
    assert (bad[:2], also_bad) == ((SIDECAR_FAILED, ""), (SIDECAR_FAILED, "", ""))
    assert re.search(r"smartcore: of bad at \d{4,5}; .*/server-bad\.log ends with:", bad[2])


def test_it_serves_until_the_last_task_has_ended_whichever_that_is(bench: Bench) -> None:
    command = bench.command(app=("0", "wait"))
    first, second = (bench.start(command, "nid1", rank, 2) for rank in (0, 1))
    assert first.stdin and first.stdout and second.stdout
    first.stdout.readline()
    first.stdin.write("now\n")
    first.stdin.flush()
    assert first.stdout.readline() == "now pong\n"
    second.stdout.readline()
    # Its program has ended, and only what has the sidecar is left. The task has not ended: a step
    # without tasks would take the sidecar away.
    wait_until(lambda: len(children(first.pid)) == 1)
    out, err = second.communicate("then", TIMEOUT)
    assert (second.returncode, out) == (0, "then pong\n"), err
    assert end_of(first)[0] == 0


def test_a_task_may_come_when_the_first_has_ended(bench: Bench) -> None:
    command = bench.command()
    first = bench.start(command, "nid1", 0, 2)
    assert first.stdout
    first.stdout.readline()
    wait_until(lambda: len(children(first.pid)) == 1)
    second = bench.start(command, "nid1", 1, 2)
    code, out, err = end_of(second)
    assert (code, out[:4]) == (0, "pong"), err
    assert end_of(first)[0] == 0


def test_the_failure_of_the_first_task_is_not_kept_from_an_mpi(bench: Bench) -> None:
    command = bench.command(app=("3", "wait"))
    first, second = (bench.start(command, "nid1", rank, 2) for rank in (0, 1))
    assert second.stdout
    second.stdout.readline()
    out, err = first.communicate("x\n", TIMEOUT)
    assert (first.returncode, out.splitlines()[1]) == (3, "x pong"), err
    # The other one goes on with what it had.
    out, err = second.communicate("y\n", TIMEOUT)
    assert (second.returncode, out) == (3, "y pong\n"), err


def test_a_task_that_dies_keeps_nobody_waiting(bench: Bench) -> None:
    command = bench.command(app=("0", "wait"))
    first, second = (bench.start(command, "nid1", rank, 2) for rank in (0, 1))
    assert second.stdout
    second.stdout.readline()
    second.kill()
    assert second.wait(TIMEOUT) == -signal.SIGKILL
    assert end_of(first)[0] == 0


def test_a_sidecar_that_fails_lets_no_task_start_and_says_why_once(bench: Bench) -> None:
    command = bench.command("fail")
    tasks = [bench.start(command, "nid1", rank, 3) for rank in range(3)]
    ends = [end_of(task) for task in tasks]
    assert [(code, out) for code, out, _ in ends] == [(125, "")] * 3
    assert ["the reason" in err for _, _, err in ends] == [True, False, False]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_it_serves_ends_all(bench: Bench, number: signal.Signals) -> None:
    pipe = bench.path / "pipe"
    os.mkfifo(pipe)
    command = bench.command("late", str(pipe))
    tasks = [bench.start(command, "nid1", rank, 2) for rank in (0, 1)]
    wait_until(lambda: bench.log("nid1"))
    tasks[0].send_signal(number)
    assert [end_of(task)[0] for task in tasks] == [-number, 125]


def test_if_what_has_the_sidecars_is_killed_the_tasks_do_not_start(bench: Bench) -> None:
    pipe = bench.path / "pipe"
    os.mkfifo(pipe)
    command = bench.command("late", str(pipe))
    tasks = [bench.start(command, "nid1", rank, 3) for rank in range(3)]
    wait_until(lambda: bench.log("nid1"))
    wait_until(lambda: _reads(tasks[1].pid) and _reads(tasks[2].pid))
    (host,) = children(tasks[0].pid)
    os.kill(host, signal.SIGKILL)
    ends = [end_of(task) for task in tasks]
    assert [(code, out) for code, out, _ in ends] == [(125, "")] * 3
    assert "first task of this node" in ends[1][2]
    wait_until(lambda: all(start_time(pid) is None for pid in bench.servers()))
    for path in bench.runtime.iterdir():  # nobody was left to remove them
        path.unlink()


def _reads(pid: int) -> bool:
    # The shell's child is timeout(1), and its child dd(1), which has opened the pipe.
    for reader in (child for watch in children(pid) for child in children(watch)):
        files = Path(f"/proc/{reader}/fd/0")
        if os.path.realpath(files).endswith(".go"):
            return True
    return False


def test_if_the_first_task_is_killed_nothing_is_left(bench: Bench) -> None:
    command = bench.command(app=("0", "wait"))
    first, second = (bench.start(command, "nid1", rank, 2) for rank in (0, 1))
    assert first.stdout and second.stdout
    first.stdout.readline()
    second.stdout.readline()
    first.kill()
    first.wait(TIMEOUT)
    out, err = second.communicate("z\n", TIMEOUT)
    assert (second.returncode, out) == (0, "z pong\n"), err


def test_what_an_earlier_attempt_left_does_not_matter(bench: Bench) -> None:
    command = bench.command()
    bench.runtime.mkdir(mode=0o700)
    place = f"{place_of(bench.runtime, bench.path / 'spec.json')}-nid1"
    os.mkfifo(f"{place}.go")
    os.mkfifo(f"{place}.come")
    Path(f"{place}.env").write_text("exit 99\n")
    tasks = [bench.start(command, "nid1", rank, 2) for rank in (1, 0)]
    assert [end_of(task)[0] for task in tasks] == [0, 0]


def test_without_a_variable_an_only_task_starts_and_one_of_several_does_not(bench: Bench) -> None:
    code, out, _ = end_of(bench.run(bench.command(alone=True), MY_NODE="nid1"))
    assert (code, out[:4]) == (0, "pong")
    code, out, err = end_of(bench.run(bench.command(alone=False), MY_NODE="nid1"))
    assert (code, out) == (125, "")
    assert "RANK_A, RANK_B" in err


def test_a_directory_of_others_is_not_used(bench: Bench) -> None:
    bench.runtime.symlink_to(bench.path)
    command = bench.command()
    tasks = [bench.start(command, "nid1", rank, 2) for rank in (0, 1)]
    ends = [end_of(task) for task in tasks]
    bench.runtime.unlink()
    assert [code for code, _, _ in ends] == [125, 125], ends
    assert "somebody else's" in ends[0][2]
    assert "not this user's own" in ends[1][2]


def test_arguments_and_variables_reach_all_tasks_unchanged(bench: Bench) -> None:
    nasty = ["a b", "q\"'", "new\nline", "", "$HOME", "ü€", "*", "-n"]
    code = "import sys, os; print(ascii([sys.argv[1:], os.environ['A'], os.environ['b.c']]))"
    where = Elsewhere(bench.runtime, "MY_NODE", RANKS)
    made = beside_on_nodes([], bench.path / "spec.json", bench.path, where)
    env = {"A": nasty[2], "b.c": nasty[1]}
    command = made.around(Command((sys.executable, "-c", code, *nasty), env))
    write_files(command)
    tasks = [bench.start(command, "nid1", rank, 2) for rank in (0, 1)]
    ends = [end_of(task) for task in tasks]
    assert [out.strip() for _, out, _ in ends] == [ascii([nasty, nasty[2], nasty[1]])] * 2, ends


@given(
    st.dictionaries(
        st.sampled_from(["A", "b_c", "d.e", "f-g"]),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9),
    )
)
def test_variables_survive_the_shell(env: dict[str, str]) -> None:
    script = shell_lines(env) + 'exec "$@"\n'
    show = (
        "import os; print(ascii({k: v for k, v in os.environ.items()"
        " if k in ('A', 'b_c', 'd.e', 'f-g')}))"
    )
    argv = ["/bin/sh", "-c", script, "sh", sys.executable, "-I", "-S", "-c", show]
    done = subprocess.run(argv, capture_output=True, text=True, env={}, timeout=TIMEOUT, check=True)
    assert eval(done.stdout) == env


def test_the_script_holds_nothing_that_a_user_said() -> None:
    where = Elsewhere(Path("/the user's/$(own)"), "MY_NODE", RANKS)
    assert "own)" not in tasks_script(where).replace("user's own", "")
    assert "${RANK_A-${RANK_B-}}" in tasks_script(where)


@pytest.mark.parametrize("text", ["", "{}", '{"version": 2}'])
def test_a_spec_that_cannot_be_used_starts_nothing(tmp_path: Path, text: str) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(text)
    argv = (sys.executable, "-I", "-S", program.__file__, str(spec), "touch", "started")
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 125
    assert b"cannot use" in done.stderr
    assert not (tmp_path / "started").exists()
