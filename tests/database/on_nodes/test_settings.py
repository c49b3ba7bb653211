"""Settings of databases in an allocation, and what is told of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import redis

from smartcore import Experiment
from smartcore.database import read_secret
from smartcore.error import DatabaseError, InputError
from smartcore.spec import State


def test_a_database_that_other_nodes_do_not_reach_is_warned_of(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    database = exp.create_database(interface="lo")
    exp.start(database)
    (warning,) = [text for text in caplog.messages if "other nodes do not reach it" in text]
    assert "'orchestrator' listens at the loopback interface of its node" in warning
    assert "leave interface='lo' out" in warning


def test_a_setting_that_the_server_does_not_take_is_refused_before_anything_starts(
    exp: Experiment,
) -> None:
    first, database = exp.create_database(), exp.create_database(db_identifier="second")
    database.set_db_conf("maxmemory-policy", "nonsense")
    with pytest.raises(InputError, match="does not take maxmemory-policy='nonsense'"):
        exp.start(first, database)
    assert exp.statuses() == {}
    assert not Path(first.path).exists()


def test_settings_hold_on_the_nodes(exp: Experiment) -> None:
    database = exp.create_database(db_nodes=3)
    database.set_max_clients(77)
    database.enable_checkpoints(60)
    exp.start(database)
    database.set_max_memory("1gb")
    assert database.live is not None
    username, password = read_secret(database.live.admin_file)
    for shard in database.live.shards:
        where = shard.address
        with redis.Redis(where.host, where.port, username=username, password=password) as admin:
            found = admin.config_get("maxclients", "save", "maxmemory")
        assert found == {"maxclients": "77", "save": "60 1", "maxmemory": str(2**30)}


def test_a_server_that_takes_a_setting_otherwise_fails_the_start_and_does_not_stay(
    exp: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = tmp_path / "server"
    real = shutil.which("redis-server")
    server.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exec {real} --version\nexec {real} "$@" --hz 12\n'
    )
    server.chmod(0o755)
    monkeypatch.setenv("REDIS_PATH", str(server))
    database = exp.create_database(db_nodes=3)
    database.set_db_conf("hz", "33")
    with pytest.raises(DatabaseError, match=r"orchestrator_0 .*hz='33' and says it is '12'"):
        exp.start(database)
    states = {exp.statuses()[f"orchestrator_{index}"].state for index in range(3)}
    assert states == {State.CANCELLED}


def test_no_password_is_in_what_the_shards_tell(exp: Experiment) -> None:
    database = exp.create_database()
    database.set_max_clients(77)
    exp.start(database)
    assert database.live is not None
    meetings = Path(exp.exp_path) / ".smartcore/meetings"
    told = [path.read_text() for path in meetings.glob("*/*")]
    assert [text for text in told if "maxclients" in text]
    secrets = {database.live.credentials.password, database.live.credentials.admin_password}
    assert not [text for text in told for secret in secrets if secret in text]
