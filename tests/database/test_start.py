from __future__ import annotations

import json
import re
import socket
import stat
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from smartcore.database import (
    LiveDatabase,
    Orchestrator,
    Runner,
    client_environment,
    read_secret,
    start_database,
)
from smartcore.error import DatabaseError, InputError, ReservedKeywordError
from smartcore.spec import DatabaseBackend, Step

ONCE = Retry(NoBackoff(), 0)


def client(live: LiveDatabase) -> redis.Redis:
    username, password = read_secret(live.auth_file)
    address = live.shards[0].address
    return redis.Redis(host=address.host, port=address.port, username=username, password=password)


def test_one_shard_serves_those_who_know_the_password(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, environment: Mapping[str, str]
) -> None:
    database = Orchestrator(tmp_path / "db")
    live = start_database(database, runner, backend, environment=environment)
    assert database.is_active()
    assert database.get_address() == [f"127.0.0.1:{database.ports[0]}"]
    assert database.hosts == ["127.0.0.1"]
    with client(live) as connected:
        assert connected.set("key", "value")
        assert connected.get("key") == b"value"
    anonymous = redis.Redis(port=database.ports[0], retry=ONCE)
    with pytest.raises(redis.exceptions.AuthenticationError):
        anonymous.ping()
    runner.stop()
    assert not database.is_active()
    with pytest.raises(DatabaseError, match="does not answer"):
        database.get_address()


def test_secrets_are_in_files_of_mode_0600_only(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, environment: Mapping[str, str]
) -> None:
    database = Orchestrator(tmp_path / "db")
    live = start_database(database, runner, backend, environment=environment)
    secrets = {live.credentials.password, live.credentials.admin_password}
    assert all(len(secret) >= 32 for secret in secrets)
    holding = {
        path.name
        for path in (tmp_path / "db").iterdir()
        if any(secret in path.read_text() for secret in secrets)
    }
    assert holding == {"orchestrator.auth.json", "orchestrator.admin.json"}
    for name in (*holding, "orchestrator_0.conf"):
        assert stat.S_IMODE((tmp_path / "db" / name).stat().st_mode) == 0o600
    (pid,) = runner.jobs().values()
    shown = [Path(f"/proc/{pid}/cmdline").read_text(), Path(f"/proc/{pid}/environ").read_text()]
    shown += [repr(live), str(client_environment([live])), repr(live.steps[0].command.argv)]
    assert not [text for text in shown for secret in secrets if secret in text]


@pytest.mark.parametrize(
    "command",
    [
        "SHUTDOWN NOSAVE",
        "CONFIG SET maxmemory 1",
        "ACL LIST",
        "FLUSHALL",
        "MODULE LIST",
        "REPLICAOF NO ONE",
        "MONITOR",
        "CLIENT KILL ID 1",
    ],
)
def test_the_models_user_may_not_administrate(shared: LiveDatabase, command: str) -> None:
    with client(shared) as connected, pytest.raises(redis.exceptions.NoPermissionError):
        connected.execute_command(*command.split())


@pytest.mark.parametrize(
    "command", ["INFO EVERYTHING", "CONFIG GET maxmemory", "FLUSHDB", "KEYS *", "SAVE", "DBSIZE"]
)
def test_the_models_user_may_do_what_clients_need(shared: LiveDatabase, command: str) -> None:
    with client(shared) as connected:
        connected.execute_command(*command.split())


def test_three_shards_on_one_host_form_a_cluster(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, environment: Mapping[str, str]
) -> None:
    database = Orchestrator(tmp_path / "db", db_nodes=3, db_identifier="big")
    live = start_database(database, runner, backend, environment=environment)
    assert database.is_active()
    assert len(set(database.ports)) == 3
    assert [node.name for node in database] == ["big_0", "big_1", "big_2"]
    username, password = read_secret(live.auth_file)
    with redis.RedisCluster(
        host="127.0.0.1", port=database.ports[1], username=username, password=password
    ) as cluster:
        for number in range(100):
            assert cluster.set(f"key{number}", number)
        assert [cluster.get(f"key{number}") for number in range(100)] == [
            str(number).encode() for number in range(100)
        ]
        sizes = [
            redis.Redis(port=port, username=username, password=password).dbsize()
            for port in database.ports
        ]
    assert sum(sizes) == 100 and all(sizes)
    variables = client_environment([live])
    assert variables["SR_DB_TYPE_big"] == "Clustered"
    assert variables["SSDB_big"] == ",".join(f"127.0.0.1:{port}" for port in database.ports)
    runner.stop()
    assert not database.is_active()


def test_an_open_database_asks_nobody_and_protects_itself_all_the_same(
    tmp_path: Path,
    runner: Runner,
    backend: DatabaseBackend,
    environment: Mapping[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = Orchestrator(tmp_path / "db")
    start_database(database, runner, backend, environment=environment, allow_unauthenticated=True)
    assert [record.getMessage() for record in caplog.records if "no password" in record.msg]
    with redis.Redis(port=database.ports[0]) as anonymous:
        assert anonymous.set("key", "value")
        with pytest.raises(redis.exceptions.NoPermissionError):
            anonymous.shutdown()


def test_what_the_database_says_about_passwords_wins_over_the_default(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, bundled: Mapping[str, str]
) -> None:
    database = Orchestrator(tmp_path / "db", allow_unauthenticated=False)
    live = start_database(
        database, runner, backend, environment=bundled, allow_unauthenticated=True
    )
    assert not live.credentials.open


def test_a_port_in_use_is_an_error_with_its_owner_who_is_left_alone(
    tmp_path: Path,
    runner: Runner,
    make_runner: Callable[[], Runner],
    backend: DatabaseBackend,
    environment: Mapping[str, str],
) -> None:
    other = start_database(
        Orchestrator(tmp_path / "other"), make_runner(), backend, environment=environment
    )
    port = other.shards[0].address.port
    (pid,) = other.jobs.values()
    with client(other) as connected:
        connected.set("key", "theirs")
        with pytest.raises(DatabaseError, match=rf"port {port} is in use .*pid {pid}\b"):
            database = Orchestrator(tmp_path / "db", port=port)
            start_database(database, runner, backend, environment=environment)
        assert connected.get("key") == b"theirs"
    assert not runner.jobs()


def test_a_cluster_needs_its_second_ports_too(
    tmp_path: Path,
    runner: Runner,
    backend: DatabaseBackend,
    bundled: Mapping[str, str],
    stranger: socket.socket,
) -> None:
    taken = stranger.getsockname()[1]
    database = Orchestrator(tmp_path / "db", port=taken - 10000, db_nodes=3)
    with pytest.raises(DatabaseError, match=f"port {taken}, which the shard at {taken - 10000}"):
        start_database(database, runner, backend, environment=bundled)
    assert not runner.jobs()


class Robber:
    """Takes the port of the first start away at the last moment."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.loot: list[socket.socket] = []
        self.starts = 0

    def start(self, steps: Sequence[Step]) -> None:
        self.starts += 1
        if self.starts == 1:
            port = re.search(r"^port (\d+)$", steps[0].command.files[0].text, re.M)
            assert port is not None
            taken = socket.create_server(("127.0.0.1", int(port[1])))
            self.loot.append(taken)
        self.runner.start(steps)

    def jobs(self) -> Mapping[str, str]:
        return self.runner.jobs()

    def failure(self) -> str:
        return self.runner.failure()

    def waits(self) -> bool:
        return self.runner.waits()

    def stop(self) -> None:
        self.runner.stop()


def test_a_free_port_that_somebody_takes_at_the_last_moment_is_given_up_for_another(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, environment: Mapping[str, str]
) -> None:
    robber = Robber(runner)
    database = Orchestrator(tmp_path / "db")
    start_database(database, robber, backend, environment=environment)
    assert robber.starts == 2
    assert database.is_active()
    (taken,) = robber.loot
    assert database.ports != [taken.getsockname()[1]]
    taken.close()


def test_a_stranger_who_answers_is_never_taken_for_ours(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, bundled: Mapping[str, str]
) -> None:
    received: list[bytes] = []

    def answer(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            received.append(connection.recv(4096))
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    class Impostor(Robber):
        def start(self, steps: Sequence[Step]) -> None:
            super().start(steps)
            for listening in self.loot[self.starts - 1 :]:
                threading.Thread(target=answer, args=[listening], daemon=True).start()

    impostor = Impostor(runner)
    database = Orchestrator(tmp_path / "db")
    start_database(database, impostor, backend, environment=bundled)
    assert impostor.starts == 2
    impostor.loot[0].close()
    assert not any(b"SHUTDOWN" in data for data in received)


def test_settings_made_before_the_start_hold_and_those_after_it_are_read_back(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, environment: Mapping[str, str]
) -> None:
    database = Orchestrator(tmp_path / "a directory, with 'quotes' and ü")
    database.set_max_memory("100mb")
    database.enable_checkpoints(60)
    database.set_db_conf("hz", "20")
    live = start_database(database, runner, backend, environment=environment)
    database.set_max_memory("1gb")
    database.set_eviction_strategy("allkeys-lru")
    database.set_max_clients(100)
    database.set_max_message_size(2**30)
    wanted = {
        "maxmemory": str(2**30),
        "save": "60 1",
        "hz": "20",
        "maxmemory-policy": "allkeys-lru",
        "maxclients": "100",
        "proto-max-bulk-len": str(2**30),
        "dir": str(tmp_path / "a directory, with 'quotes' and ü"),
    }
    with client(live) as connected:
        assert {key: connected.config_get(key)[key] for key in wanted} == wanted
    with pytest.raises(DatabaseError, match=r"nonsense.*Un(known|supported)"):
        database.set_db_conf("nonsense", "1")
    with pytest.raises(DatabaseError, match="must be one of"):
        database.set_eviction_strategy("bogus")
    with pytest.raises(ReservedKeywordError, match="protected-mode"):
        database.set_db_conf("protected-mode", "no")
    assert "nonsense" not in database.options


@pytest.mark.parametrize("key", ["user", "port", "requirepass", "INCLUDE", "bad key", "x\ny"])
def test_a_setting_that_would_undo_the_protection_is_refused(
    tmp_path: Path,
    runner: Runner,
    backend: DatabaseBackend,
    bundled: Mapping[str, str],
    key: str,
) -> None:
    database = Orchestrator(tmp_path / "db")
    database.set_db_conf(key, "value")
    with pytest.raises(InputError, match=re.escape(repr(key))):
        start_database(database, runner, backend, environment=bundled)


def test_the_users_own_configuration_is_read_and_loses_where_protection_is_at_stake(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, environment: Mapping[str, str]
) -> None:
    conf = tmp_path / "my own.conf"
    conf.write_text("hz 33\nprotected-mode no\nbind 0.0.0.0\nrequirepass open\nport 1\nsave 77 7\n")
    database = Orchestrator(tmp_path / "db")
    with_conf = {**environment, "REDIS_CONF": str(conf)}
    live = start_database(database, runner, backend, environment=with_conf)
    with client(live) as connected:
        shown = {
            key: connected.config_get(key)[key] for key in ("hz", "protected-mode", "bind", "save")
        }
    assert shown == {"hz": "33", "protected-mode": "yes", "bind": "127.0.0.1", "save": "77 7"}
    guessing = redis.Redis(port=database.ports[0], password="open", retry=ONCE)
    with pytest.raises(redis.exceptions.AuthenticationError):
        guessing.ping()


def test_a_server_that_ends_at_once_is_an_error_with_its_last_words(
    tmp_path: Path,
    runner: Runner,
    backend: DatabaseBackend,
    fake_server: Callable[[str], Mapping[str, str]],
) -> None:
    environment = fake_server("echo not today\nexit 3\n")
    database = Orchestrator(tmp_path / "db")
    with pytest.raises(DatabaseError, match=r"exit code 3(.|\n)*not today"):
        start_database(database, runner, backend, environment=environment)
    assert not runner.jobs()


def test_a_server_that_never_serves_is_ended_after_the_time_given(
    tmp_path: Path,
    runner: Runner,
    backend: DatabaseBackend,
    fake_server: Callable[[str], Mapping[str, str]],
) -> None:
    environment = fake_server("echo I think\nexec sleep 100\n")
    database = Orchestrator(tmp_path / "db")
    began = time.monotonic()
    with pytest.raises(DatabaseError, match=r"did not serve within 0.3 s(.|\n)*I think"):
        start_database(
            database,
            runner,
            backend,
            environment=environment,
            timeout=timedelta(seconds=0.3),
        )
    assert 0.3 <= time.monotonic() - began < 10
    assert not runner.jobs()


def test_an_unknown_interface_is_an_error_that_lists_those_there_are(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, bundled: Mapping[str, str]
) -> None:
    database = Orchestrator(tmp_path / "db", interface="nosuch0")
    with pytest.raises(InputError, match=r"no network interface 'nosuch0'.*\blo\b"):
        start_database(database, runner, backend, environment=bundled)


def test_a_running_database_cannot_be_started_again(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, bundled: Mapping[str, str]
) -> None:
    database = Orchestrator(tmp_path / "db")
    start_database(database, runner, backend, environment=bundled)
    with pytest.raises(DatabaseError, match="is running"):
        start_database(database, runner, backend, environment=bundled)
    with pytest.raises(DatabaseError, match="is running"):
        database.remove_stale_files()
    runner.stop()
    database.unbind()
    before = json.loads((tmp_path / "db/orchestrator.auth.json").read_text())
    start_database(database, runner, backend, environment=bundled)
    assert database.is_active()
    assert json.loads((tmp_path / "db/orchestrator.auth.json").read_text()) != before


def test_stale_files_go_and_data_stays(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, bundled: Mapping[str, str]
) -> None:
    directory = tmp_path / "db"
    database = Orchestrator(directory)
    start_database(database, runner, backend, environment=bundled)
    (node,) = database
    assert {path.name for path in directory.glob("*.conf")} == {"orchestrator_0.conf"}
    runner.stop()
    database.unbind()
    node.remove_stale_dbnode_files()
    assert {path.suffix for path in directory.iterdir()} == {".json"}
    # Another process knows of them, too, also of those that an earlier start with TLS left.
    for name in ("orchestrator_0.conf", "orchestrator_0.pem", "orchestrator_0.rdb", "mine"):
        (directory / name).touch()
    Orchestrator(directory).remove_stale_files()
    assert {path.name for path in directory.iterdir()} == {"orchestrator_0.rdb", "mine"}
    Orchestrator(directory).remove_stale_files()  # nothing is left to go
