from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smartcore.database import Orchestrator
from smartcore.error import DatabaseError, InputError, InputTypeError, UnsupportedError


def test_the_defaults_choose_port_and_interface_at_the_start(tmp_path: Path) -> None:
    database = Orchestrator(tmp_path)
    assert (database.port, database.interface, database.ports) == (None, None, [])
    assert (database.db_identifier, database.db_nodes, database.batch) == ("orchestrator", 1, False)
    assert database.checkpoint_file == str(tmp_path / "smartcore_db.json")
    assert not database.telemetry.is_enabled


def test_a_database_that_was_never_started_is_not_active(tmp_path: Path) -> None:
    database = Orchestrator(tmp_path)
    assert not database.is_active()
    assert database.live is None
    with pytest.raises(DatabaseError, match="start it first"):
        database.get_address()
    with pytest.raises(DatabaseError, match="start it first"):
        print(database.hosts)


def test_shards_take_the_ports_after_the_one_given() -> None:
    assert Orchestrator(port=6379, db_nodes=3).ports == [6379, 6380, 6381]
    assert Orchestrator(port=0).ports == []


def test_two_shards_are_refused_with_the_reason() -> None:
    with pytest.raises(UnsupportedError, match="majority"):
        Orchestrator(db_nodes=2)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"db_nodes": 0}, InputError),
        ({"db_nodes": -3}, InputError),
        ({"db_nodes": 1.5}, InputTypeError),
        ({"db_nodes": True}, InputTypeError),
        ({"port": 65536}, InputError),
        ({"port": -1}, InputError),
        ({"port": "6379"}, InputTypeError),
        ({"interface": ["lo", 1]}, InputTypeError),
        ({"interface": ""}, InputTypeError),
        ({"db_identifier": "a=b"}, InputError),
        ({"db_identifier": ""}, InputError),
        ({"batch": "yes"}, InputTypeError),
        ({"allow_unauthenticated": 1}, InputTypeError),
        ({"time": "soon"}, InputError),
        ({"hosts": []}, InputError),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        Orchestrator(**arguments)


def test_an_unknown_argument_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="'prot'"):
        Orchestrator(prot=6379)


def test_arguments_of_an_inference_module_are_ignored_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = Orchestrator(
        threads_per_queue=2, inter_op_threads=1, gpus_per_shard=1, cpus_per_shard=4
    )
    (record,) = caplog.records
    assert "gpus_per_shard, inter_op_threads, threads_per_queue" in record.getMessage()
    assert database.resources().cpus_per_task == 4


def test_arguments_of_batch_jobs_are_told_of_where_there_is_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Orchestrator(batch=True, time="01:00:00", queue="debug")
    assert not caplog.records
    Orchestrator(time="01:00:00", queue="debug")
    (record,) = caplog.records
    assert record.getMessage().startswith("time, queue: for batch jobs")
    with pytest.raises(InputTypeError, match="account"):
        Orchestrator(batch=True, account=7)  # type: ignore[arg-type]


def test_settings_are_kept_until_the_start(tmp_path: Path) -> None:
    database = Orchestrator(tmp_path)
    database.set_max_memory("3gb")
    database.set_max_clients()
    database.set_max_message_size()
    database.set_eviction_strategy("noeviction")
    database.enable_checkpoints(30)
    database.set_db_conf("hz", "20")
    assert database.options == {
        "maxmemory": "3gb",
        "maxclients": "50000",
        "proto-max-bulk-len": "1073741824",
        "maxmemory-policy": "noeviction",
        "save": "30 1",
        "hz": "20",
    }


@pytest.mark.parametrize(
    "call",
    [
        lambda database: database.set_max_memory("much"),
        lambda database: database.set_max_memory(5),
        lambda database: database.set_max_clients(0),
        lambda database: database.set_max_message_size(1),
        lambda database: database.enable_checkpoints(-1),
        lambda database: database.set_db_conf("hz", 20),
        lambda database: database.set_cpus(0),
        lambda database: database.set_hosts(["a b"]),
        lambda database: database.set_run_arg("n", 3),
    ],
)
def test_bad_settings_are_refused(call: Callable[[Any], None]) -> None:
    with pytest.raises((InputError, InputTypeError)):
        call(Orchestrator())


def test_what_only_batch_jobs_have_is_refused_for_others() -> None:
    database = Orchestrator()
    with pytest.raises(UnsupportedError, match="batch=True"):
        database.set_walltime("01:00:00")
    with pytest.raises(UnsupportedError, match="batch=True"):
        database.set_batch_arg("exclusive")
    batch = Orchestrator(batch=True)
    batch.set_walltime("01:00:00")
    batch.set_batch_arg("--exclusive")
    assert (batch.walltime, batch.batch_args) == ("01:00:00", {"exclusive": None})


def test_hosts_that_were_asked_for_survive_a_reset() -> None:
    database = Orchestrator(hosts="node1")
    database.set_hosts(["node2", "node3"])
    database.reset_hosts()
    assert database.hosts == ["node2", "node3"]
