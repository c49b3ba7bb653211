"""What the models' user may do, as the servers themselves tell it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from smartcore.database import LiveDatabase, Orchestrator, Runner, read_secret, start_database
from smartcore.spec import DatabaseBackend
from smartcore_redis.resp import Connection, Reply

Ask = Callable[..., Reply]

# All that the servers count as administration or as dangerous and models may do nevertheless.
EXCEPTIONS = {"config|get", "flushdb", "info", "keys", "lastsave", "save", "sort"}
DENIED = [
    ["FLUSHALL"],
    ["SHUTDOWN", "NOSAVE"],
    ["CONFIG", "SET", "maxmemory", "1"],
    ["ACL", "SETUSER", "default", "allcommands"],
    ["DEBUG", "OBJECT", "key"],
    ["MODULE", "LIST"],
    ["REPLICAOF", "NO", "ONE"],
    ["MIGRATE", "127.0.0.1", "1", "key", "0", "10"],
    ["RESTORE", "key", "0", "x"],
    ["SWAPDB", "0", "1"],
    ["CLIENT", "LIST"],
    ["SLOWLOG", "GET"],
]


@pytest.fixture
def model(shared: LiveDatabase) -> Iterator[redis.Redis]:
    with connect(shared, shared.auth_file) as client:
        yield client


@pytest.fixture
def admin(shared: LiveDatabase) -> Iterator[Ask]:
    with Connection(shared.shards[0].address, timedelta(seconds=60)) as connection:

        def ask(*words: str) -> Reply:
            return connection.ask(words)[0]

        assert ask("AUTH", *read_secret(shared.admin_file)) == "OK"
        yield ask


def connect(live: LiveDatabase, file: Path) -> redis.Redis:
    username, password = read_secret(file)
    address = live.shards[0].address
    return redis.Redis(address.host, address.port, username=username, password=password)


def test_models_may_do_nothing_dangerous_but_what_clients_need(admin: Ask) -> None:
    categories = ("admin", "dangerous")
    lists = [admin("COMMAND", "LIST", "FILTERBY", "ACLCAT", each) for each in categories]
    listed = {str(name) for names in lists if isinstance(names, list) for name in names}
    assert {"shutdown", "flushall", "config|set", "acl|setuser", "cluster|reset"} <= listed
    allowed = set()
    for name in listed:
        match admin("COMMAND", "INFO", name):
            case [[_, int(arity), *_]]:
                words = name.split("|")
                words += ["1"] * (abs(arity) - len(words))
            case other:
                pytest.fail(f"{name}: {other}")
        if admin("ACL", "DRYRUN", "default", *words) == "OK":
            allowed.add(name)
    assert allowed == EXCEPTIONS


def test_scripts_may_do_no_more_than_who_runs_them(model: redis.Redis) -> None:
    for command in DENIED:
        call = ",".join(f"'{word}'" for word in command)
        with pytest.raises(redis.exceptions.ResponseError, match=r"permission|can't run|not allow"):
            model.eval(f"return redis.call({call})", 0)
    assert model.eval("return redis.call('SET', 'key', 'value')", 0)


def test_functions_may_do_no_more_than_who_calls_them(model: redis.Redis) -> None:
    for number, command in enumerate(DENIED):
        call = ",".join(f"'{word}'" for word in command)
        code = f"redis.register_function('f{number}', function() return redis.call({call}) end)"
        model.function_load(f"#!lua name=lib{number}\n{code}", replace=True)
        with pytest.raises(redis.exceptions.ResponseError, match=r"permission|can't run|not allow"):
            model.fcall(f"f{number}", 0)
        model.function_delete(f"lib{number}")


def test_what_models_read_of_the_configuration_has_no_secret(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, environment: Mapping[str, str]
) -> None:
    conf = tmp_path / "mine.conf"
    conf.write_text("requirepass an-old-password\nmasterauth an-old-password\n")
    with_conf = {**environment, "REDIS_CONF": str(conf)}
    live = start_database(Orchestrator(tmp_path / "db"), runner, backend, environment=with_conf)
    passwords = [read_secret(file)[1] for file in (live.auth_file, live.admin_file)]
    hashes = [hashlib.sha256(password.encode()).hexdigest() for password in passwords]
    with connect(live, live.auth_file) as client:
        shown = str(client.config_get("*")) + str(client.info("everything"))
    assert "requirepass" in shown
    assert not [word for word in (*passwords, *hashes, "an-old-password") if word in shown]
