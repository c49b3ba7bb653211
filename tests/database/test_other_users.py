"""Another user of this host tries what can be tried with databases that run for real."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from smartcore import Experiment
from smartcore.database import Orchestrator, read_secret
from smartcore.error import InputError
from smartcore.spec.addresses import free_ports, interface_address, interface_names
from smartcore.testing.running import wait_until

NOBODY = 65534
DATA = "what-only-its-owner-may-read"
TIMEOUT = 120

# What a model does: write something that others want to read, also to disk, and go on. Its own
# command line is for everybody.
MODEL = """
import json, os, pathlib, redis, time
auth = json.load(open(os.environ["SMARTCORE_DB_AUTH"]))
address = os.environ["SSDB"]
if address.startswith("unix://"):
    client = redis.Redis(unix_socket_path=address.removeprefix("unix://"), **auth)
else:
    host, port = address.split(":")
    client = redis.Redis(host, int(port), **auth)
client.set("key", "-".join(DATA))
client.save()
pathlib.Path("address.tmp").write_text(address)
pathlib.Path("address.tmp").rename("address")
time.sleep(1000)
""".replace("DATA", repr(DATA.split("-")))

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


@dataclass(frozen=True)
class Running:
    """A database that runs.

    :param experiment: the experiment's directory
    :param directory: the database's own
    :param addresses: where its servers listen
    :param secrets: words that nobody else may see
    :param servers: its processes
    """

    experiment: Path
    directory: Path
    addresses: tuple[Where, ...]
    secrets: tuple[str, ...]
    servers: tuple[int, ...]


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
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
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


def secrets_of(*files: Path) -> tuple[str, ...]:
    """The passwords in these files, and the hashes by which servers know them."""
    passwords = [read_secret(file)[1] for file in files]
    hashes = [hashlib.sha256(password.encode()).hexdigest() for password in passwords]
    return (*passwords, *hashes)


def standalone(exp: Experiment, **options: object) -> Running:
    """Start a database with some data, also on disk."""
    database = exp.create_database(**options)  # type: ignore[arg-type]
    exp.start(database)
    return running(exp, database)


def running(exp: Experiment, database: Orchestrator) -> Running:
    """What is known of a database that was started, when it has some data, also on disk."""
    import redis

    live = database.live
    assert live is not None
    username, password = read_secret(live.auth_file)
    for shard in live.shards:
        host, port = shard.address.host, shard.address.port
        with redis.Redis(host, port, username=username, password=password) as client:
            if not shard.clustered:
                client.set("key", DATA)
            client.save()
    return Running(
        Path(exp.exp_path),
        Path(database.path),
        tuple((shard.address.host, shard.address.port) for shard in live.shards),
        (*secrets_of(live.auth_file, live.admin_file), DATA),
        tuple(int(job.partition(".")[0]) for job in live.jobs.values()),
    )


def colocated(exp: Experiment, strategy: str, **options: object) -> Running:
    """Start a model with a database next to it, which has some data, also on disk."""
    model = exp.create_model("model", exp.create_run_settings(sys.executable, ["-c", MODEL]))
    getattr(model, f"colocate_db_{strategy}")(**options)
    exp.generate(model)
    exp.start(model, block=False)
    told = Path(model.path) / "address"
    wait_until(lambda: told.exists() or exp.finished(model), "a model with its database")
    assert told.exists(), (Path(model.path) / "model.err").read_text()
    address = told.read_text()
    host, _, port = address.partition(":")
    (spec,) = (Path(exp.exp_path) / ".smartcore/scripts").glob("*.json")
    (sidecar,) = json.loads(spec.read_text())["sidecars"]
    # AUTH name password: the fourth and the sixth line of what is sent.
    admin = sidecar["ready"]["send"].split("\r\n")[6]
    digest = hashlib.sha256(admin.encode()).hexdigest()
    where = address.removeprefix("unix://") if port.startswith("//") else (host, int(port))
    conf = sidecar["argv"][-1]
    servers = tuple(
        int(entry.name)
        for entry in Path("/proc").glob("[0-9]*")
        if _command_line(entry)[-1:] == [conf]  # KeyDB and others keep their arguments
        or _listens_there(_command_line(entry), where)
    )
    secrets = (*secrets_of(Path(model.path) / "model-db.auth.json"), admin, digest, DATA)
    return Running(Path(exp.exp_path), Path(model.path), (where,), secrets, servers)


def _command_line(entry: Path) -> list[str]:
    try:
        return (entry / "cmdline").read_text().split("\0")[:-1]
    except OSError:
        return []


def _listens_there(argv: Sequence[str], where: Where) -> bool:
    # Servers of the Redis family show "<program> <address>" as their command line.
    shown = f"unixsocket:{where}" if isinstance(where, str) else f"{where[0]}:{where[1]}"
    return bool(argv) and shown in argv[0]


KINDS: dict[str, Callable[..., Running]] = {
    "standalone": standalone,
    "clustered": lambda exp, **options: standalone(exp, db_nodes=3, **options),
    "colocated by TCP": lambda exp, **options: colocated(exp, "tcp", **options),
    "colocated by unix socket": lambda exp, **options: colocated(exp, "uds", **options),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def start(open_place: Path, kind: str) -> Iterator[Callable[..., Running]]:
    """Starts a database of each kind in an experiment that ends with the test."""
    with Experiment("exp", str(open_place), launcher="local") as exp:
        yield lambda **options: KINDS[kind](exp, **options)


ALL = [
    ["GET", "key"],
    ["SET", "key", "theirs"],
    ["KEYS", "*"],
    ["DUMP", "key"],
    ["INFO"],
    ["SAVE"],
    ["FLUSHDB"],
    ["EVAL", "return redis.call('GET', 'key')", "0"],
    ["CLUSTER", "SLOTS"],
    ["MONITOR"],
    ["PSYNC", "?", "-1"],
]
ADMINISTRATION = [
    ["FLUSHALL"],
    ["SHUTDOWN", "NOSAVE"],
    ["CONFIG", "SET", "maxmemory", "1"],
    ["CONFIG", "SET", "requirepass", ""],
    ["ACL", "LIST"],
    ["ACL", "SETUSER", "default", "nopass"],
    ["DEBUG", "SEGFAULT"],
    ["REPLICAOF", "127.0.0.1", "1"],
    ["MODULE", "LIST"],
]
GUESSES = [[], ["AUTH", ""], ["AUTH", "smartcore", "smartcore"], ["AUTH", "default", "default"]]


def test_another_user_cannot_use_a_database(
    start: Callable[..., Running], other_user: OtherUser, kind: str
) -> None:
    database = start()
    attempts: list[Attempt] = [
        (where, [guess, command] if guess else [command])
        for where in database.addresses
        for command in [*ALL, *ADMINISTRATION]
        for guess in GUESSES
    ]
    answers = other_user.tries(attempts)
    if "socket" in kind:
        assert set(answers) == {"PermissionError"}
    else:
        assert {refusal(answer) for answer in answers} == {"-NOAUTH"}
    assert_unharmed(database)


def test_another_user_finds_no_secret_and_can_change_no_file(
    start: Callable[..., Running], other_user: OtherUser
) -> None:
    database = start()
    found = other_user.looks(database.experiment, database.secrets)
    assert found["found"] == []
    assert found["writable"] == []
    assert not [path for path in found["seen"] if "environ" in str(path)]
    # It did look: the command lines of our servers are among those it saw.
    assert database.servers
    assert set(database.servers) <= set(found["processes"])
    dumps = list(database.directory.glob("*.rdb"))
    assert len(dumps) == len(database.addresses)
    files = {str(path) for path in database.experiment.rglob("*") if path.is_file()}
    private = (".auth.json", ".admin.json", ".conf", ".rdb", ".jsonl", ".out", ".log")
    private_files = {path for path in files if path.endswith(private)} - models_own(database)
    assert not private_files & set(map(str, found["seen"]))


def test_another_user_can_use_an_open_database_and_not_administrate_it(
    start: Callable[..., Running], other_user: OtherUser, kind: str
) -> None:
    database = start(allow_unauthenticated=True)
    if "socket" in kind:
        attempts = [(where, [["PING"]]) for where in database.addresses]
        assert set(other_user.tries(attempts)) == {"PermissionError"}
        return
    attempts = [(where, [["PING"]]) for where in database.addresses]
    assert set(other_user.tries(attempts)) == {"+PONG"}
    attempts = [(where, [command]) for where in database.addresses for command in ADMINISTRATION]
    assert {refusal(answer, "-NOPERM") for answer in other_user.tries(attempts)} == {"-NOPERM"}
    # Bound to the interface that was chosen, and to no other.
    elsewhere: list[Attempt] = [
        ((host, where[1]), [["PING"]])
        for where in database.addresses
        for host in ("127.0.0.2", own_address())
        if not isinstance(where, str)
    ]
    assert set(other_user.tries(elsewhere)) == {"ConnectionRefusedError"}
    assert_unharmed(database)


def refusal(answer: str, usual: str = "-NOAUTH") -> str:
    """The first word of an answer; what is off for everybody counts as the usual refusal."""
    return usual if " command not allowed" in answer else answer.split(maxsplit=1)[0]


def own_address() -> str:
    """Another address of this host, if it has one besides the loopback."""
    for name in interface_names():
        with contextlib.suppress(InputError):
            if not (address := interface_address(name)).startswith("127."):
                return address
    return "127.0.0.3"


def models_own(database: Running) -> set[str]:
    """What a model writes is as public as the user has it."""
    return {str(database.directory / "model.out")}


def assert_unharmed(database: Running) -> None:
    for pid in database.servers:
        assert Path(f"/proc/{pid}/cmdline").read_text(), f"the server {pid} has gone"


# Another user's server says that it has all the data, and wants to be a part of a cluster. Servers
# give up after a second if nobody answers.
ROGUE = """
import json, os, socket, subprocess, sys, tempfile, time
program, port, own = json.load(sys.stdin)
with tempfile.TemporaryDirectory() as place:
    server = subprocess.Popen(
        [program, "--port", str(own), "--bind", "127.0.0.1", "--dir", place, "--save", "",
         "--cluster-enabled", "yes", "--cluster-node-timeout", "1000"],
        stdout=subprocess.DEVNULL)
    def ask(*words):
        with socket.create_connection(("127.0.0.1", own), 60) as client:
            text = "".join([f"*{len(words)}\\r\\n"] + [f"${len(w)}\\r\\n{w}\\r\\n" for w in words])
            client.sendall(text.encode())
            return client.recv(65536).decode()
    try:
        end = time.monotonic() + 60
        while True:
            try:
                ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
                break
            except OSError:
                assert time.monotonic() < end and server.poll() is None
                time.sleep(0.01)
        ask("CLUSTER", "SET-CONFIG-EPOCH", "9999")
        assert "OK" in ask("CLUSTER", "MEET", "127.0.0.1", str(port))
        while "cluster_known_nodes:2\\r" in ask("CLUSTER", "INFO"):
            assert time.monotonic() < end
            time.sleep(0.01)
        print([line for line in ask("CLUSTER", "INFO").split() if "known_nodes" in line][0])
    finally:
        server.kill()
        server.wait()
"""


def test_the_server_of_another_user_cannot_become_a_part_of_a_cluster(
    open_place: Path, other_user: OtherUser
) -> None:
    program = shutil.which("redis-server")
    if program is None:
        assert os.environ.get("CI") != "true", "redis-server is not installed"
        pytest.skip("redis-server is not installed")
    (own,) = free_ports(["127.0.0.1"], offsets=(0, 10000))
    with Experiment("exp", str(open_place), launcher="local") as exp:
        database = exp.create_database(db_nodes=3)
        exp.start(database)
        assert database.live is not None
        if database.live.credentials.peers is None:
            assert os.environ.get("CI") != "true", f"{program} has no TLS"
            pytest.skip(f"{program} has no TLS")
        told = other_user.run(ROGUE, [program, database.ports[0], own])
        assert told == "cluster_known_nodes:1\n"
        # All slots are still ours.
        assert database.is_active()
