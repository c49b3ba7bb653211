"""Another user of this host tries what can be tried with databases that run for real."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smartcore import Experiment
from smartcore.database import Orchestrator, read_secret
from smartcore.error import InputError
from smartcore.spec.addresses import interface_address, interface_names
from smartcore.testing.running import wait_until

if TYPE_CHECKING:
    from tests.database.conftest import Attempt, OtherUser, Where

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
