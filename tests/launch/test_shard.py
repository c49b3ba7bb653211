"""The program that runs one shard on its node, with real servers on this host."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from smartcore.database import Orchestrator
from smartcore.database.credentials import new_credentials
from smartcore.database.nodes import Ground, node_steps, template_shards
from smartcore.error import InputError, UnsupportedError
from smartcore.launch import shard as program
from smartcore.launch.child import Failure
from smartcore.launch.death import read_death, told_deaths
from smartcore.launch.filling import filled
from smartcore.launch.process import write_files
from smartcore.spec import Certificate, Command, File, Placement, Resources, Server, Step
from smartcore.spec.addresses import interface_address, interface_names
from smartcore.testing.running import lacks, wait_until
from smartcore_redis.backend import RedisBackend

if TYPE_CHECKING:
    from smartcore.launch.shard import Roll

LIMIT = 30
TAG = "db-1"


def front(argv: Sequence[str], cwd: Path, placement: Placement) -> Command:
    return Command(tuple(argv))


@dataclass
class Shards:
    """Shards of a database that run as children of this process."""

    path: Path
    children: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    timeout: float = 20
    certificate: Certificate | None = None

    @property
    def meeting(self) -> Path:
        return self.path / "meetings" / TAG

    def steps(
        self, database: Orchestrator, server: str = "", *, open_access: bool = True
    ) -> tuple[Step, ...]:
        backend = RedisBackend()
        credentials = replace(
            new_credentials(open_access=open_access), certificate=self.certificate
        )
        ground = Ground(self.path, front, (Resources(),) * database.num_shards)
        found = backend.find(os.environ)
        used = Server(server, "", "") if server else found
        shards = template_shards(database, backend, credentials)
        limit = timedelta(seconds=self.timeout)
        return node_steps(database, backend, used, shards, TAG, ground, limit)

    def start(self, step: Step, node: str = "", **changes: object) -> subprocess.Popen[str]:
        write_files(step.command)
        spec = step.command.files[0].path
        if changes:
            spec.write_text(json.dumps(json.loads(spec.read_text()) | changes))
        step.cwd.mkdir(exist_ok=True)
        argv = (*step.command.argv, *([node] if node else []))
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.children[step.name] = child
        return child

    def ready(self, name: str) -> dict[str, object]:
        path = self.meeting / f"{name}.ready"
        wait_until(lambda: path.exists() or self.children[name].poll() is not None)
        child = self.children[name]
        assert path.exists(), child.communicate(timeout=LIMIT)
        found = json.loads(path.read_text())
        assert isinstance(found, dict)
        return found


@pytest.fixture
def shards(tmp_path: Path) -> Iterator[Shards]:
    if shutil.which("redis-server") is None:
        lacks("redis-server is not installed")
    made = Shards(tmp_path)
    yield made
    for child in made.children.values():
        if child.poll() is None:
            child.kill()  # the kernel kills the server
        child.communicate(timeout=LIMIT)


def client(found: dict[str, object]) -> redis.Redis:
    (host, *_) = found["addresses"] if isinstance(found["addresses"], list) else [""]
    return redis.Redis(host=str(host), port=int(str(found["port"])))


def died(child: subprocess.Popen[str]) -> str:
    _, said = child.communicate(timeout=LIMIT)
    return said


def test_a_shard_tells_where_it_serves_and_ends_when_it_is_told_to(
    shards: Shards, tmp_path: Path
) -> None:
    database = Orchestrator(tmp_path / "db")
    (step,) = shards.steps(database)
    child = shards.start(step)
    found = shards.ready(step.name)
    assert found["node"] == os.uname().nodename
    assert 10000 <= int(str(found["port"])) < 22000
    with client(found) as connected:
        assert connected.ping()
        assert connected.set("key", "value")
        assert connected.save()
    # Data are for their owner only, whatever the umask.
    assert stat.S_IMODE((tmp_path / "db/orchestrator_0.rdb").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "db/orchestrator_0.conf").stat().st_mode) == 0o600
    assert stat.S_IMODE(shards.meeting.stat().st_mode) == 0o700
    child.terminate()
    assert died(child) == ""
    assert child.returncode == 0
    assert "Received SIGTERM" in (tmp_path / "db/orchestrator_0.out").read_text()
    assert not shards.meeting.exists()
    assert not told_deaths(str(step.cwd), {step.tag})


def test_it_listens_where_the_name_of_its_node_leads(shards: Shards, tmp_path: Path) -> None:
    # Any address of 127.0.0.0/8 is this host; a node's name may be one.
    (step,) = shards.steps(Orchestrator(tmp_path / "db"))
    shards.start(step, "127.0.3.7")
    found = shards.ready(step.name)
    assert (found["node"], found["addresses"]) == ("127.0.3.7", ["127.0.3.7"])
    with client(found) as connected:
        assert connected.ping()
    with socket.socket() as elsewhere:
        assert elsewhere.connect_ex(("127.0.0.1", int(str(found["port"])))) != 0


def test_a_variable_may_tell_the_name_of_the_node(
    shards: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_NODE", "127.0.3.8")
    (step,) = shards.steps(Orchestrator(tmp_path / "db"))
    shards.start(step, node_variable="MY_NODE")
    assert shards.ready(step.name)["addresses"] == ["127.0.3.8"]


def test_three_shards_meet_and_form_a_cluster(shards: Shards, tmp_path: Path) -> None:
    database = Orchestrator(tmp_path / "db", db_nodes=3, interface=["lo", "lo"])
    steps = shards.steps(database)
    # Of an earlier launch, whose files nobody took away.
    shards.meeting.mkdir(parents=True)
    stale = {"tag": "db-0", "node": "n", "addresses": ["127.0.0.1"], "port": 1}
    for step in steps:
        (shards.meeting / f"{step.name}.here").write_text(json.dumps(stale))
        shards.start(step)
    found = [shards.ready(step.name) for step in steps]
    assert len({where["port"] for where in found}) == 3
    port = int(str(found[1]["port"]))
    with redis.RedisCluster(host="127.0.0.1", port=port) as cluster:
        assert all(cluster.set(f"key{number}", number) for number in range(50))
        assert cluster.cluster_info(target_nodes="random")["cluster_state"] == "ok"
    for child in shards.children.values():
        child.terminate()
    assert {died(child) for child in shards.children.values()} == {""}


def test_encrypted_shards_are_found_serving_by_those_who_trust_them(
    shards: Shards, tmp_path: Path
) -> None:
    backend = RedisBackend()
    file = tmp_path / "ca.pem"
    try:
        certificate = backend.certificate(backend.find(os.environ), file, clients=True)
    except UnsupportedError as error:
        lacks(str(error))
    file.write_text(certificate.authority)
    shards.certificate = certificate
    steps = shards.steps(Orchestrator(tmp_path / "db", db_nodes=3))
    assert certificate.key not in " ".join(word for step in steps for word in step.command.argv)
    for step in steps:
        shards.start(step)
    found = [shards.ready(step.name) for step in steps]
    with redis.Redis(
        port=int(str(found[0]["port"])),
        host=_host(found[0]),
        ssl=True,
        ssl_ca_certs=str(file),
        ssl_check_hostname=False,
    ) as connected:
        assert connected.ping()
        assert "cluster_state:ok" in str(connected.execute_command("CLUSTER", "INFO"))
    assert stat.S_IMODE((tmp_path / "db/orchestrator_0.pem").stat().st_mode) == 0o600


def test_a_shard_is_not_taken_to_serve_if_another_authority_signed_for_it(
    shards: Shards, tmp_path: Path
) -> None:
    backend = RedisBackend()
    try:
        one, other = (
            backend.certificate(backend.find(os.environ), tmp_path, clients=True) for _ in range(2)
        )
    except UnsupportedError as error:
        lacks(str(error))
    shards.certificate, shards.timeout = one, 1.0
    (step,) = shards.steps(Orchestrator(tmp_path / "db"))
    question = json.loads(step.command.files[0].text)["ready"] | {"authority": other.authority}
    child = shards.start(step, ready=question)
    assert "did not serve" in died(child)


def test_a_shard_whose_sisters_do_not_come_says_so(shards: Shards, tmp_path: Path) -> None:
    one, *_ = shards.steps(Orchestrator(tmp_path / "db", db_nodes=3))
    child = shards.start(one, patience=0.2)
    said = died(child)
    assert re.search(r"waited 0.2 s .* for orchestrator_1, orchestrator_2", said), said
    assert child.returncode == 125
    assert not shards.meeting.exists()


def test_one_that_waits_for_its_sisters_ends_when_it_is_told_to(
    shards: Shards, tmp_path: Path
) -> None:
    one, *_ = shards.steps(Orchestrator(tmp_path / "db", db_nodes=3))
    child = shards.start(one)
    wait_until((shards.meeting / f"{one.name}.here").exists)
    child.terminate()
    assert died(child) == ""
    assert child.returncode == -signal.SIGTERM


def test_a_port_that_was_asked_for_and_is_in_use_is_an_error(
    shards: Shards, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        (step,) = shards.steps(Orchestrator(tmp_path / "db", port=port, interface="lo"))
        child = shards.start(step)
        said = died(child)
    assert f"port {port} of 127.0.0.1" in said and "in use" in said
    assert f" (pid {os.getpid()}) of the user with uid {os.getuid()};" in said
    assert child.returncode == 125
    assert not (tmp_path / "db/orchestrator_0.out").exists()


def test_ports_that_others_have_are_passed_over(shards: Shards, tmp_path: Path) -> None:
    (step,) = shards.steps(Orchestrator(tmp_path / "db", interface="lo"))
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        shards.start(step, ports=(taken, taken + 3))
        assert shards.ready(step.name)["port"] in (taken + 1, taken + 2)


def test_a_port_that_somebody_takes_at_the_last_moment_is_given_up_for_another(
    shards: Shards, tmp_path: Path
) -> None:
    # A server that meets somebody at its port the first time it is started.
    server = tmp_path / "server"
    real = RedisBackend().find(os.environ).executable
    server.write_text(
        f'#!/bin/sh\n[ -e {tmp_path}/met ] && exec {real} "$@"\n'
        f'touch {tmp_path}/met\necho "bind: Address already in use"\nexit 1\n'
    )
    server.chmod(0o755)
    steps = shards.steps(Orchestrator(tmp_path / "db", db_nodes=3), str(server))
    for step in steps:
        shards.start(step)
    found = [shards.ready(step.name) for step in steps]
    with redis.RedisCluster(host=_host(found[0]), port=int(str(found[0]["port"]))) as cluster:
        assert all(cluster.set(f"key{number}", number) for number in range(50))


def _host(found: dict[str, object]) -> str:
    addresses = found["addresses"]
    assert isinstance(addresses, list)
    return str(addresses[0])


@pytest.mark.parametrize(("ending", "code"), [("exit 3", 3), ("kill -9 $$", -9), ("exit 0", 125)])
def test_a_server_that_ends_at_once_is_told_of_with_its_last_words(
    shards: Shards, tmp_path: Path, ending: str, code: int
) -> None:
    server = tmp_path / "server"
    server.write_text(f"#!/bin/sh\necho not today\n{ending}\n")
    server.chmod(0o755)
    (step,) = shards.steps(Orchestrator(tmp_path / "db"), str(server))
    child = shards.start(step)
    said = died(child)
    assert "before it served" in said and "not today" in said
    assert child.returncode == code


def test_a_server_that_never_serves_is_ended(shards: Shards, tmp_path: Path) -> None:
    server = tmp_path / "server"
    server.write_text("#!/bin/sh\necho $$\nexec sleep 1000\n")
    server.chmod(0o755)
    shards.timeout = 0.2
    (step,) = shards.steps(Orchestrator(tmp_path / "db"), str(server))
    child = shards.start(step)
    assert "did not serve at" in died(child)
    pid = int((tmp_path / "db/orchestrator_0.out").read_text())
    assert not Path(f"/proc/{pid}").exists()


def test_a_server_that_dies_later_is_the_end_of_the_shard(shards: Shards, tmp_path: Path) -> None:
    (step,) = shards.steps(Orchestrator(tmp_path / "db"))
    child = shards.start(step)
    shards.ready(step.name)
    (server,) = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    os.kill(int(server), signal.SIGKILL)
    said = died(child)
    assert "orchestrator_0 on " in said
    assert "was killed by SIGKILL; " in said
    assert "Ready to accept connections" in said
    assert child.returncode == -signal.SIGKILL
    assert not shards.meeting.exists()
    (file,) = told_deaths(str(step.cwd), {step.tag})
    assert not told_deaths(str(step.cwd), {TAG})
    death = read_death(str(step.cwd), file)
    assert death is not None
    assert (death["name"], death["returncode"]) == ("orchestrator_0", -signal.SIGKILL)
    assert Path(death["output"]).read_text().count("Ready to accept connections") == 1


def test_a_signal_that_asks_for_no_end_does_not_hide_a_death(
    shards: Shards, tmp_path: Path
) -> None:
    (step,) = shards.steps(Orchestrator(tmp_path / "db"))
    child = shards.start(step)
    shards.ready(step.name)
    child.send_signal(signal.SIGUSR2)  # by which the server dies
    died(child)
    assert child.returncode == -signal.SIGUSR2
    assert told_deaths(str(step.cwd), {step.tag})


def test_a_server_dies_with_the_program_that_started_it(shards: Shards, tmp_path: Path) -> None:
    (step,) = shards.steps(Orchestrator(tmp_path / "db"))
    child = shards.start(step)
    shards.ready(step.name)
    (server,) = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    child.kill()
    wait_until(lambda: not Path(f"/proc/{server}").exists())


def test_it_listens_on_each_interface_that_it_was_given(shards: Shards, tmp_path: Path) -> None:
    others = [name for name in interface_names() if name != "lo" and has_address(name)]
    if not others:
        pytest.skip("there is no network interface with an IPv4 address but lo")
    names = ["lo", others[0]]
    (step,) = shards.steps(Orchestrator(tmp_path / "db", interface=names), open_access=False)
    shards.start(step)
    found = shards.ready(step.name)
    assert found["addresses"] == [interface_address(name) for name in names]
    for name in names:
        where = {"addresses": [interface_address(name)], "port": found["port"]}
        with client(where) as connected, pytest.raises(redis.AuthenticationError):
            connected.ping()


def has_address(name: str) -> bool:
    try:
        return bool(interface_address(name))
    except InputError:
        return False


def test_an_unknown_interface_is_an_error_that_lists_those_there_are(
    shards: Shards, tmp_path: Path
) -> None:
    (step,) = shards.steps(Orchestrator(tmp_path / "db", interface="nosuch0"))
    said = died(shards.start(step))
    assert re.search(r"no network interface 'nosuch0' .*\blo\b", said), said


def test_no_secret_is_on_the_command_line(shards: Shards, tmp_path: Path) -> None:
    (step,) = shards.steps(Orchestrator(tmp_path / "db"))
    (spec,) = step.command.files
    login = json.loads(spec.text)["ready"]["send"].split("\r\n")[6]
    assert len(login) >= 32
    assert spec.mode == 0o600
    assert login not in repr(step)
    assert login not in (json.dumps(json.loads(spec.text)["files"]))


def test_a_spec_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"version": 99}))
    for arguments in ([str(spec)], [str(tmp_path / "none")], []):
        argv = (sys.executable, "-I", "-S", program.__file__, *arguments)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=False)
        assert done.returncode == 125
        assert done.stderr.startswith("smartcore: ")


@given(st.integers(1, 40), st.data())
def test_words_of_one_shard_are_never_a_part_of_anothers(count: int, data: st.DataObject) -> None:
    database = Orchestrator("/nowhere", db_nodes=3 if count == 2 else count)
    backend = RedisBackend()
    shards = template_shards(database, backend, new_credentials())
    offsets = [0, 10000] if len(shards) > 1 else [0]
    ports = data.draw(st.lists(st.integers(1, 55535), min_size=len(shards), max_size=len(shards)))
    words = {}
    expected = []
    for shard, port in zip(shards, ports, strict=True):
        words[shard.address.host] = f"host{port}"
        for offset in offsets:
            words[str(shard.address.port + offset)] = str(port + offset)
        expected.append(f"host{port}:{port}@{port + offsets[-1]}")
    text = " ".join(
        f"{shard.address.host}:{shard.address.port}@{shard.address.port + offsets[-1]}"
        for shard in shards
    )
    assert filled(text, words) == " ".join(expected)


def test_each_task_takes_the_place_of_its_rank(
    shards: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RANK_A", raising=False)
    monkeypatch.setenv("RANK_B", "2")
    specs = [step.command.files[0] for step in shards.steps(Orchestrator(tmp_path, db_nodes=3))]
    roll: Roll = {
        "version": program.VERSION,
        "rank_variables": ["RANK_A", "RANK_B"],
        "specs": [str(file.path) for file in specs],
    }
    write_files(Command((), files=(*specs, File(tmp_path / "roll.json", json.dumps(roll)))))
    assert program.load(str(tmp_path / "roll.json"))["index"] == 2
    monkeypatch.setenv("RANK_A", "1")
    assert program.load(str(tmp_path / "roll.json"))["index"] == 1


@pytest.mark.parametrize(
    ("rank", "told"), [("3", "number 3"), ("", "unknown"), ("-1", "number -1")]
)
def test_a_task_without_a_place_says_so(
    monkeypatch: pytest.MonkeyPatch, rank: str, told: str
) -> None:
    monkeypatch.setenv("MY_RANK", rank)
    specs = ["a", "b", "c"]
    roll: Roll = {"version": program.VERSION, "rank_variables": ["MY_RANK"], "specs": specs}
    with pytest.raises(Failure, match=rf"of 3 shards this is .*{told}, as MY_RANK told"):
        program.rank_of(roll)
