from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from smartcore.database import LiveDatabase, Orchestrator, client_environment, planned_shards
from smartcore.database.credentials import new_credentials, read_secret, write_secret
from smartcore.database.live import is_step_of
from smartcore.database.ports import choose_ports, listen_hosts, port_owner
from smartcore.error import DatabaseError, DatabaseFileError, InputError
from smartcore.spec import Credentials, DatabaseBackend, Server, ShardAddress, ShardPlan

LOOPBACK = ["127.0.0.1"]


def live(identifier: str, *ports: int) -> LiveDatabase:
    peers = tuple(ShardAddress("127.0.0.1", port) for port in ports)
    shards = tuple(
        ShardPlan(f"{identifier}_{index}", Path("/db"), peer, peers, index, Credentials("admin"))
        for index, peer in enumerate(peers)
    )
    server = Server("/bin/server", "1", "PATH")
    auth, admin = Path(f"/db/{identifier}.auth.json"), Path(f"/db/{identifier}.admin.json")
    return LiveDatabase(identifier, "redis", server, shards, (), auth, admin)


def test_models_find_each_database_by_its_identifier() -> None:
    assert client_environment([live("orchestrator", 1), live("two", 2, 3, 4)]) == {
        "SSDB": "127.0.0.1:1",
        "SR_DB_TYPE": "Standalone",
        "SMARTCORE_DB_AUTH": "/db/orchestrator.auth.json",
        "SSDB_two": "127.0.0.1:2,127.0.0.1:3,127.0.0.1:4",
        "SR_DB_TYPE_two": "Clustered",
        "SMARTCORE_DB_AUTH_two": "/db/two.auth.json",
    }


def test_a_secret_survives_the_way_through_its_file(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    path.write_text("old")
    path.chmod(0o644)
    write_secret(path, "default", "pass word")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_secret(path) == ("default", "pass word")
    assert os.listdir(tmp_path) == ["auth.json"]  # noqa: PTH208


@pytest.mark.parametrize("text", ["", "[]", '{"username": "default"}'])
def test_a_file_without_a_secret_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "auth.json"
    path.write_text(text)
    with pytest.raises(DatabaseFileError, match="no username and password"):
        read_secret(path)


def test_a_secret_that_was_removed_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(DatabaseFileError, match="No such file or directory; smartcore gc removes"):
        read_secret(tmp_path / "auth.json")


def test_a_secret_where_nothing_can_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatabaseFileError, match="cannot write"):
        write_secret(tmp_path / "missing" / "auth.json", "default", "x")


def test_passwords_are_never_the_same_and_never_shown() -> None:
    one, other = new_credentials(), new_credentials()
    words = {one.password, one.admin_password, other.password, other.admin_password}
    assert len(words) == 4
    assert not [word for word in words if word in repr((one, other))]


def test_free_ports_leave_room_for_the_second_ports_of_a_cluster() -> None:
    ports = choose_ports(LOOPBACK, None, 16, (0, 10000))
    needed = {*ports, *(port + 10000 for port in ports)}
    assert len(needed) == 32
    assert max(needed) < 32768


def test_ports_beyond_what_there_is_are_refused() -> None:
    with pytest.raises(InputError, match="port=55534 with 3"):
        choose_ports(LOOPBACK, 55534, 3, (0, 10000))
    with pytest.raises(InputError, match="65535 is the highest"):
        choose_ports(LOOPBACK, 65534, 3, (0,))


def test_the_owner_of_a_port_is_named(stranger: socket.socket) -> None:
    port = stranger.getsockname()[1]
    assert f"pid {os.getpid()}" in port_owner(port)
    with pytest.raises(DatabaseError, match=f"port {port} is in use.*pid {os.getpid()}"):
        choose_ports(LOOPBACK, port, 1)


def test_a_port_nobody_listens_on_has_no_visible_owner(stranger: socket.socket) -> None:
    port = stranger.getsockname()[1]
    stranger.close()
    assert "cannot be seen" in port_owner(port)


def test_the_default_interface_is_the_loopback() -> None:
    assert listen_hosts(None) == listen_hosts("lo") == listen_hosts(["lo", "lo"]) == LOOPBACK


def test_a_plan_starts_nothing_and_holds_no_secret(
    tmp_path: Path, backend: DatabaseBackend, bundled: Mapping[str, str]
) -> None:
    database = Orchestrator(tmp_path / "db", db_nodes=3)
    steps = planned_shards(database, backend, environment=bundled)
    assert [step.name for step in steps] == [f"orchestrator_{index}" for index in range(3)]
    for step in steps:
        conf = tmp_path / "db" / f"{step.name}.conf"
        assert step.command.argv == (bundled["REDIS_PATH"], str(conf))
        assert {file.mode for file in step.command.files} == {0o600}
    assert not (tmp_path / "db").exists()


@pytest.mark.parametrize("name", ["db", "db_0", "db_12"])
def test_the_steps_of_a_database_bear_its_name(name: str) -> None:
    assert is_step_of("db", name)


@pytest.mark.parametrize("name", ["db_x_0", "db_", "other_db", "db0", "dbs_0", ""])
def test_the_steps_of_others_do_not(name: str) -> None:
    assert not is_step_of("db", name)
