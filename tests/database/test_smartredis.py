"""Models that use SmartRedis, the client of SmartSim's users, as it is in its wheel."""

from __future__ import annotations

import logging
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartcore import Experiment
from smartcore.entity import Model
from smartcore.testing.running import lacks

# Where scripts/setup puts it, with the numpy that it needs.
_WHEELS = Path(sys.prefix) / "smartredis"

BEGIN = """
import os, sys
import numpy
from smartredis import Client, ConfigOptions, Dataset
from smartredis.error import RedisRuntimeError

def connect(identifier):
    if not identifier:
        return Client(logger_name="test")
    return Client(ConfigOptions.create_from_environment(identifier), logger_name="test")

def put(client, name, **texts):
    dataset = Dataset(name)
    for key, value in texts.items():
        dataset.add_meta_string(key, value)
    client.put_dataset(dataset)
    return dataset

def refusal(call, *args):
    try:
        call(*args)
    except RedisRuntimeError as error:
        return str(error)
    raise AssertionError(f"{call.__name__} was not refused")
"""
# All that needs no module. Emptied at the end, so that none of it is left for others.
ROUND = """
identifier = sys.argv[1]
end = f"_{identifier}" if identifier else ""
addresses = os.environ[f"SSDB{end}"].split(",")
client = connect(identifier)

one = Dataset("one")
one.add_meta_string("name", "first")
one.add_meta_scalar("step", numpy.float64(2.5))
client.put_dataset(one)
assert client.dataset_exists("one") and client.poll_dataset("one", 10, 1)
found = client.get_dataset("one")
assert found.get_meta_strings("name") == ["first"]
assert found.get_meta_scalars("step").tolist() == [2.5]
assert client.key_exists("{one}.meta") and client.poll_key("{one}.meta", 10, 1)
assert not client.key_exists("none") and not client.tensor_exists("none")
client.copy_dataset("one", "two")
client.rename_dataset("two", "three")
assert [client.dataset_exists(name) for name in ("two", "three")] == [False, True]

client.append_to_list("list", one)
client.append_to_list("list", found)
assert client.get_list_length("list") == 2 and client.poll_list_length_gte("list", 2, 10, 1)
assert [each.get_name() for each in client.get_datasets_from_list("list")] == ["one", "one"]
client.copy_list("list", "other")
client.rename_list("other", "list")
assert len(client.get_dataset_list_range("list", 1, 1)) == 1
client.delete_list("list")
client.delete_dataset("three")

for address in addresses:
    assert client.config_get("maxmemory", address) == {"maxmemory": "0"}
    assert "NOPERM" in refusal(client.config_set, "maxmemory", "1gb", address)
assert all("Memory" in info for info in client.get_db_node_info(addresses))
if len(addresses) > 1:
    states = client.get_db_cluster_info(addresses)
    assert [each["cluster_state"] for each in states] == ["ok"] * 3
client.save(addresses)
client.flush_db(addresses)
assert not client.dataset_exists("one")
"""
SEVERAL = """
clients = {identifier: connect(identifier) for identifier in ("", "fields", "near")}
for identifier, client in clients.items():
    put(client, f"of-{identifier}", any="text")
for identifier, client in clients.items():
    held = [other for other in clients if client.dataset_exists(f"of-{other}")]
    assert held == [identifier], (identifier, held)
"""
WRITE = """
for identifier in ("", "fields"):
    client = connect(identifier)
    client.append_to_list("list", put(client, "result", writer=sys.argv[1]))
"""
READ = """
for identifier in ("", "fields"):
    client = connect(identifier)
    for name in ("sweep_1", "sweep_0"):
        client.set_data_source(name)
        assert client.get_dataset("result").get_meta_strings("writer") == [name]
        assert client.key_exists(name + ".{result}.meta")
        assert client.get_list_length("list") == 1
    assert "could not be found" in refusal(client.set_data_source, "stranger")
    assert not client.key_exists("{result}.meta")
"""
# The first bytes are quoted in the server's refusal, and are no text.
TENSOR = """
sent = numpy.array([0.1, 0.2, 0.3])
client = connect(sys.argv[1])
client.put_tensor("field", sent)
assert client.poll_tensor("field", 10, 1)
assert client.get_tensor("field").tolist() == sent.tolist()
assert client.get_tensor("field").dtype == sent.dtype
both = Dataset("both")
both.add_tensor("values", sent)
client.put_dataset(both)
assert client.get_dataset("both").get_tensor("values").tolist() == sent.tolist()
"""


@pytest.fixture(scope="module", autouse=True)
def smartredis() -> Path:
    """A directory of packages with SmartRedis in it."""
    if not (_WHEELS / "smartredis").exists():
        if sys.version_info >= (3, 12) or platform.machine() != "x86_64":
            pytest.skip("no wheel of SmartRedis for this Python or platform")
        lacks("SmartRedis is not installed; scripts/setup does: make test")
    return _WHEELS


@pytest.fixture(scope="module")
def exp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Experiment]:
    """One with two open databases: a standalone one without an identifier, and a cluster."""
    path = tmp_path_factory.mktemp("smartredis")
    with Experiment("exp", str(path), launcher="local") as made:
        alone = made.create_database(allow_unauthenticated=True)
        fields = made.create_database(
            db_nodes=3, db_identifier="fields", allow_unauthenticated=True
        )
        made.start(alone, fields)
        yield made


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module that servers can load, with commands of RedisAI."""
    compiler = shutil.which("cc")
    if compiler is None:
        lacks("no C compiler; on Debian: apt-get install gcc libc6-dev")
    built = tmp_path_factory.mktemp("module") / "tensors.so"
    source = Path(__file__).with_name("tensors.c")
    command = [compiler, "-shared", "-fPIC", "-o", str(built), str(source)]
    subprocess.run(command, check=True, timeout=60)
    return built


def model(exp: Experiment, name: str, code: str, *args: str, **env: str) -> Model:
    env["PYTHONPATH"] = str(_WHEELS)
    # Milliseconds, after which it sends a request again: 250 are too few for a busy host.
    for end in ("", "_fields", "_near", "_loaded", "_closed"):
        env[f"SR_SOCKET_TIMEOUT{end}"] = "60000"
    run = exp.create_run_settings(sys.executable, ["-c", BEGIN + code, *args], env_vars=env)
    return exp.create_model(name, run)


def test_what_needs_no_module_works_wherever_the_database_is(exp: Experiment) -> None:
    tcp = model(exp, "tcp", ROUND, "near")
    tcp.colocate_db_tcp(db_identifier="near", allow_unauthenticated=True)
    uds = model(exp, "uds", ROUND, "near")
    uds.colocate_db_uds(db_identifier="near", allow_unauthenticated=True)
    alone, spread = model(exp, "alone", ROUND, ""), model(exp, "spread", ROUND, "fields")
    exp.start(alone, spread, tcp, uds, raise_on_failure=True)


def test_an_identifier_chooses_one_of_several_databases(exp: Experiment) -> None:
    several = model(exp, "several", SEVERAL)
    several.colocate_db_uds(db_identifier="near", allow_unauthenticated=True)
    exp.start(several, raise_on_failure=True)


def test_prefixes_keep_the_data_of_members_apart_in_every_database(exp: Experiment) -> None:
    run = model(exp, "pattern", WRITE).run_settings
    sweep = exp.create_ensemble("sweep", replicas=2, run_settings=run)
    sweep.enable_key_prefixing()
    reader = model(exp, "reader", READ)
    for member in sweep.models:
        member.run_settings.exe_args.append(member.name)
        reader.register_incoming_entity(member)
    exp.start(sweep, raise_on_failure=True)
    exp.start(reader, raise_on_failure=True)


def test_tensors_need_a_module_which_is_said_and_which_can_be_loaded(
    exp: Experiment, module: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "smartcore"):
        exp.start(model(exp, "without", TENSOR, ""))
    assert "without failed" in caplog.text
    assert 'set_db_conf("loadmodule"' in caplog.text

    loaded = exp.create_database(db_identifier="loaded", allow_unauthenticated=True)
    loaded.set_db_conf("loadmodule", str(module))
    beside = model(exp, "beside", TENSOR, "near")
    beside.colocate_db_uds(db_identifier="near", loadmodule=str(module), allow_unauthenticated=True)
    exp.start(loaded, beside, model(exp, "with", TENSOR, "loaded"), raise_on_failure=True)
    exp.stop(loaded)


def test_a_refused_client_is_advised(exp: Experiment, caplog: pytest.LogCaptureFixture) -> None:
    closed = exp.create_database(db_identifier="closed")
    # It tries once: without that, for 100 s.
    once = {"SR_CONN_TIMEOUT_closed": "1", "SR_CONN_INTERVAL_closed": "2000"}
    stranger = model(exp, "stranger", "connect('closed')", **once)
    code = "connect('').config_set('maxmemory', '1', os.environ['SSDB'])"
    with caplog.at_level(logging.ERROR, "smartcore"):
        exp.start(closed, stranger)
        exp.start(model(exp, "administrator", code))
    exp.stop(closed)
    told, also_told = (record.getMessage() for record in caplog.records)
    assert "NOAUTH" in told
    assert "allow_unauthenticated=True" in told
    assert "NOPERM" in also_told
    assert "set_db_conf" in also_told
