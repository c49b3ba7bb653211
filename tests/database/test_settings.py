"""Settings of databases: refused before anything is launched, and read back from the server."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from smartcore import Experiment
from smartcore.database import LiveDatabase, Orchestrator, Runner, read_secret, start_database
from smartcore.error import DatabaseError, InputError
from smartcore.spec import DatabaseBackend, Ready, ShardPlan
from smartcore_redis.backend import RedisBackend

Make = Callable[[Orchestrator], LiveDatabase]
# What the method is given, and what the server shows of it.
SETTERS = [
    ("enable_checkpoints", (60,), {"save": "60 1"}),
    ("set_max_memory", ("100mb",), {"maxmemory": str(100 * 1024**2)}),
    ("set_eviction_strategy", ("allkeys-lfu",), {"maxmemory-policy": "allkeys-lfu"}),
    ("set_max_clients", (77,), {"maxclients": "77"}),
    ("set_max_message_size", (2**21,), {"proto-max-bulk-len": str(2**21)}),
    ("set_db_conf", ("hz", "33"), {"hz": "33"}),
    (
        "set_db_conf",
        ("client-output-buffer-limit", "pubsub 1mb 512kb 7"),
        {"client-output-buffer-limit": "pubsub 1048576 524288 7"},
    ),
    ("set_db_conf", ("notify-keyspace-events", "KEA"), {"notify-keyspace-events": "AKE"}),
    ("set_db_conf", ("save", "900 1 300 10"), {"save": "900 1 300 10"}),
    ("set_db_conf", ("save", ""), {"save": ""}),
]


def shown(live: LiveDatabase, key: str) -> list[str]:
    """What each shard says of a directive."""
    username, password = read_secret(live.admin_file)
    found = []
    for shard in live.shards:
        where = {"host": shard.address.host, "port": shard.address.port}
        with redis.Redis(**where, username=username, password=password) as admin:  # type: ignore[arg-type]
            found.append(str(admin.config_get(key)[key]))
    return found


@pytest.fixture
def start(runner: Runner, backend: DatabaseBackend, environment: Mapping[str, str]) -> Make:
    return lambda database: start_database(database, runner, backend, environment=environment)


@pytest.mark.parametrize(("method", "arguments", "expected"), SETTERS)
def test_what_is_set_before_the_start_holds_from_the_start(
    tmp_path: Path,
    start: Make,
    method: str,
    arguments: tuple[str, ...],
    expected: dict[str, str],
) -> None:
    database = Orchestrator(tmp_path)
    getattr(database, method)(*arguments)
    live = start(database)
    for key, value in expected.items():
        assert [value in found for found in shown(live, key)] == [True]


@pytest.mark.parametrize(("method", "arguments", "expected"), SETTERS)
def test_what_is_set_while_it_runs_holds_at_once(
    tmp_path: Path,
    start: Make,
    method: str,
    arguments: tuple[str, ...],
    expected: dict[str, str],
) -> None:
    database = Orchestrator(tmp_path)
    live = start(database)
    getattr(database, method)(*arguments)
    for key, value in expected.items():
        assert [value in found for found in shown(live, key)] == [True]


def test_every_shard_of_a_cluster_has_the_settings(tmp_path: Path, start: Make) -> None:
    database = Orchestrator(tmp_path, db_nodes=3)
    database.set_max_clients(77)
    live = start(database)
    assert shown(live, "maxclients") == ["77"] * 3
    database.set_max_memory("1gb")
    assert shown(live, "maxmemory") == [str(2**30)] * 3


def test_threads_are_set_before_the_start(tmp_path: Path, start: Make) -> None:
    database = Orchestrator(tmp_path)
    database.set_threads(2)
    assert shown(start(database), "io-threads") == ["2"]


def test_threads_are_changed_while_it_runs_or_refused_with_the_reason(
    tmp_path: Path, start: Make
) -> None:
    database = Orchestrator(tmp_path)
    live = start(database)
    try:
        database.set_threads(2)  # Valkey can
    except DatabaseError as error:
        assert re.search(r"io-threads='2'.* only before the start", str(error))
        assert "threads" not in database.options
    else:
        assert shown(live, "io-threads") == ["2"]


def test_what_no_running_server_changes_is_refused_with_the_reason(
    tmp_path: Path, start: Make
) -> None:
    database = Orchestrator(tmp_path)
    start(database)
    with pytest.raises(DatabaseError, match=r"databases='5'.* only before the start"):
        database.set_db_conf("databases", "5")
    assert "databases" not in database.options


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("no-such-setting", "1", "knows no setting 'no-such-setting'"),
        ("maxclients", "many", "does not take maxclients='many': .*integer"),
        ("maxmemory-policy", "allkeys-none", "maxmemory-policy='allkeys-none': .*allkeys-lru"),
        ("save", "60 x", "save='60 x': Invalid save"),
        ("io-threads", "100000", "io-threads='100000': .*between 1 and"),
        ("hz", "", "hz=''"),
    ],
)
@pytest.mark.parametrize("others", [{}, {"maxmemory": "1gb", "save": "60 1"}])
def test_what_the_server_does_not_take_is_refused_by_name_before_anything_is_launched(
    tmp_path: Path,
    runner: Runner,
    start: Make,
    others: dict[str, str],
    key: str,
    value: str,
    reason: str,
) -> None:
    database = Orchestrator(tmp_path / "db")
    for name, text in {**others, key: value}.items():
        database.set_db_conf(name, text)
    with pytest.raises(InputError, match=reason):
        start(database)
    assert not runner.jobs()
    assert not (tmp_path / "db").exists()


def stubborn(path: Path, environment: Mapping[str, str], *options: str) -> dict[str, str]:
    """Variables that lead to a server which has its own opinion on these options."""
    server = shlex.quote(environment["REDIS_PATH"])
    path.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exec {server} --version\n'
        f'exec {server} "$@" {shlex.join(options)}\n'
    )
    path.chmod(0o755)
    return {**environment, "REDIS_PATH": str(path)}


@pytest.mark.parametrize("shards", [1, 3])
def test_a_server_that_takes_a_setting_otherwise_fails_the_start_and_does_not_stay(
    tmp_path: Path,
    runner: Runner,
    backend: DatabaseBackend,
    environment: Mapping[str, str],
    shards: int,
) -> None:
    database = Orchestrator(tmp_path / "db", db_nodes=shards)
    database.set_max_clients(77)
    database.set_db_conf("hz", "33")
    mine = stubborn(tmp_path / "server", environment, "--hz", "12")
    with pytest.raises(DatabaseError, match=r"orchestrator_0 .*hz='33' and says it is '12'"):
        start_database(database, runner, backend, environment=mine)
    assert database.live is None
    assert not runner.jobs()


def test_without_settings_nothing_is_asked(
    tmp_path: Path, runner: Runner, environment: Mapping[str, str]
) -> None:
    class Silent(RedisBackend):
        def inquiry(self, shard: ShardPlan, /) -> Ready:
            question = super().inquiry(shard)
            assert not question.send
            return question

    database = Orchestrator(tmp_path)
    mine = stubborn(tmp_path / "server", environment, "--hz", "12")
    start_database(database, runner, Silent(), environment=mine)
    assert database.is_active()


def test_what_cannot_be_verified_is_told_of_once(
    tmp_path: Path, start: Make, caplog: pytest.LogCaptureFixture
) -> None:
    database = Orchestrator(tmp_path, db_nodes=3)
    # Read by all versions, and without an effect since 7.
    database.set_db_conf("list-max-ziplist-entries", "3")
    start(database)
    told = [text for text in caplog.messages if "list-max-ziplist-entries" in text]
    assert len(told) == 1
    assert "not verified" in told[0]


def test_no_secret_is_asked_for(tmp_path: Path, backend: DatabaseBackend, start: Make) -> None:
    live = start(Orchestrator(tmp_path))
    options = {"tls-key-file-pass": "hidden", "loadmodule": "/a.so", "hz": "10"}
    shard = replace(live.shards[0], options=options)
    question = backend.inquiry(shard)
    assert b"hz" in question.send
    assert b"tls-key-file-pass" not in question.send
    answer = b"+OK\r\n*2\r\n$2\r\nhz\r\n$2\r\n10\r\n+PONG\r\n"
    assert set(backend.verify(shard, answer)) == {"tls-key-file-pass"}


def test_the_users_own_checkpoints_give_way_to_those_of_the_database(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, environment: Mapping[str, str]
) -> None:
    conf = tmp_path / "own.conf"
    conf.write_text("save 77 7\n")
    database = Orchestrator(tmp_path)
    database.enable_checkpoints(60)
    mine = {**environment, "REDIS_CONF": os.fspath(conf)}
    live = start_database(database, runner, backend, environment=mine)
    assert shown(live, "save") == ["60 1"]


@pytest.fixture
def exp(
    tmp_path: Path, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Experiment]:
    monkeypatch.setenv("REDIS_PATH", environment["REDIS_PATH"])
    with Experiment("exp", str(tmp_path), launcher="local") as made:
        yield made


@pytest.mark.parametrize("strategy", ["colocate_db_tcp", "colocate_db_uds"])
def test_a_keyword_that_no_server_knows_keeps_everything_from_being_launched(
    exp: Experiment, strategy: str
) -> None:
    database = exp.create_database()
    model = exp.create_model("model", exp.create_run_settings("true"))
    getattr(model, strategy)(maxmemory="1gb", no_such_setting=3, db_identifier="near")
    with pytest.raises(InputError, match="no-such-setting"):
        exp.start(database, model)
    assert exp.statuses() == {}
    assert database.live is None


@pytest.mark.parametrize("strategy", ["colocate_db_tcp", "colocate_db_uds"])
def test_keywords_of_colocation_reach_its_server(exp: Experiment, strategy: str) -> None:
    code = """
import json, os, redis
auth, where = json.load(open(os.environ["SMARTCORE_DB_AUTH"])), os.environ["SSDB"]
client = (
    redis.Redis(unix_socket_path=where.removeprefix("unix://"), **auth)
    if where.startswith("unix")
    else redis.Redis(port=int(where.split(":")[1]), **auth)
)
print(json.dumps({name: client.config_get(name)[name] for name in ("maxclients", "io-threads")}))
"""
    model = exp.create_model("model", exp.create_run_settings(sys.executable, ["-c", code]))
    getattr(model, strategy)(maxclients=77, threads=2)
    exp.start(model)
    path = Path(model.path)
    said = (path / "model.out").read_text() or (path / "model.err").read_text()
    assert json.loads(said) == {"maxclients": "77", "io-threads": "2"}


def test_run_arguments_that_nothing_reads_are_told_of(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database()
    database.set_run_arg("exclusive")
    exp.start(database)
    assert [text for text in caplog.messages if "exclusive" in text and "no effect" in text]
