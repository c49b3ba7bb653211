"""The whole way on this host with databases: real servers, and models that use them."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from drivers import driver, out, proc_with, shell

from smartcore import Experiment
from smartcore.error import (
    DatabaseError,
    DatabaseIdConflictError,
    InputError,
    UnsupportedError,
)
from smartcore.spec import State
from smartcore.status import SmartcoreStatus
from smartcore.testing.running import wait_until


@pytest.fixture
def exp(tmp_path: Path) -> Iterator[Experiment]:
    with Experiment("exp", str(tmp_path), launcher="local") as made:
        yield made


def test_models_find_databases_and_prefixes_in_their_environment(exp: Experiment) -> None:
    db = exp.create_database(db_identifier="store")
    producer = shell(exp, "producer", "true")
    producer.enable_key_prefixing()
    consumer = shell(exp, "consumer", "env")
    consumer.enable_key_prefixing()
    consumer.register_incoming_entity(producer)
    exp.start(db, consumer)
    env = dict(line.split("=", 1) for line in out(consumer).splitlines() if "=" in line)
    assert env["SSDB_store"] == db.get_address()[0]
    assert env["SR_DB_TYPE_store"] == "Standalone"
    assert env["SSKEYIN"] == env["SSKEYIN_store"] == "producer"
    assert env["SSKEYOUT"] == env["SSKEYOUT_store"] == "consumer"
    auth = Path(env["SMARTCORE_DB_AUTH_store"])
    assert set(json.loads(auth.read_text())) == {"username", "password"}
    assert auth.stat().st_mode & 0o077 == 0
    assert "SSDB" not in os.environ


def test_two_databases_of_one_identifier_are_refused(exp: Experiment, tmp_path: Path) -> None:
    with pytest.raises(DatabaseIdConflictError, match="'orchestrator'"):
        exp.start(exp.create_database(), exp.create_database())
    assert list(tmp_path.iterdir()) == []


def test_a_colocated_identifier_may_not_be_that_of_a_standalone_database(exp: Experiment) -> None:
    model = shell(exp, "m", "true")
    model.colocate_db_uds(db_identifier="mine")
    with pytest.raises(DatabaseIdConflictError, match=r"colocated with 'm'.*'mine'"):
        exp.start(exp.create_database(db_identifier="mine"), model)


@pytest.mark.parametrize("identifier", ["", "orchestrator"])
def test_two_databases_cannot_be_found_by_the_same_variable(
    exp: Experiment, identifier: str
) -> None:
    model = shell(exp, "m", "true")
    model.colocate_db_uds(db_identifier=identifier)
    words = "colocated with 'm' and the database 'orchestrator' would both be found by SSDB;"
    database = exp.create_database()
    with pytest.raises(DatabaseIdConflictError, match=words):
        exp.start(database, model)
    exp.start(database)
    with pytest.raises(DatabaseIdConflictError, match=words):
        exp.start(model)
    exp.stop(database)


def test_a_model_uses_two_standalone_databases_and_its_own_at_once(exp: Experiment) -> None:
    code = """
import json, os, redis
for suffix in ("", "_second", "_near"):
    with open(os.environ["SMARTCORE_DB_AUTH" + suffix]) as file:
        auth = json.load(file)
    host, port = os.environ["SSDB" + suffix].split(":")
    client = redis.Redis(host=host, port=int(port), **auth)
    client.set("where", "at" + suffix)
    kept = client.get("kept")
    print(client.get("where").decode(), os.environ["SR_DB_TYPE" + suffix], kept and kept.decode())
    client.set("kept", "by-" + os.environ["MODEL"])
"""
    databases = [exp.create_database(), exp.create_database(db_identifier="second")]
    exp.start(*databases)
    for name in ("one", "two"):
        run = exp.create_run_settings(sys.executable, ["-c", code], env_vars={"MODEL": name})
        model = exp.create_model(name, run)
        model.colocate_db_tcp(db_identifier="near")
        exp.start(model)
    exp.stop(*databases)
    assert out(model).splitlines() == [
        "at Standalone by-one",
        "at_second Standalone by-one",
        "at_near Standalone None",
    ]


def test_cores_that_the_host_does_not_have_are_refused_by_number(exp: Experiment) -> None:
    model = shell(exp, "m", "touch ran")
    model.colocate_db_tcp(custom_pinning=[0, 100_000])
    with pytest.raises(InputError, match=r"next to 'm' is to run on the cores 100000, which"):
        exp.start(model)
    model.colocate_db_tcp(db_cpus=100_000)
    with pytest.raises(InputError, match=r"change db_cpus") as told:
        exp.start(model)
    assert len(str(told.value)) < 300  # not each of them
    assert exp.statuses() == {}


def test_ml_models_are_refused_until_they_can_be_stored(exp: Experiment) -> None:
    model = shell(exp, "m", "true")
    model.add_ml_model("net", "TORCH", model=b"x")
    with pytest.raises(UnsupportedError, match=r"'m' has ML models or scripts attached \(net\)"):
        exp.start(model)


def test_two_shards_are_refused_with_the_reason(exp: Experiment) -> None:
    with pytest.raises(UnsupportedError, match="2"):
        exp.create_database(db_nodes=2)


def test_a_preview_while_the_database_runs_shows_no_password(
    exp: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    db = exp.create_database()
    exp.start(db)
    exp.preview(db, shell(exp, "m", "true"), verbosity_level="developer")
    shown = capsys.readouterr().out
    for file in Path(db.path).glob("*.json"):
        password = json.loads(file.read_text()).get("password")
        assert password is None or password not in shown
    assert db.get_address()[0].split(":")[1] in shown


def test_a_preview_tells_the_port_of_a_colocated_database_only_when_it_is_known(
    exp: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shell(exp, "m", "echo $SSDB; exec sleep 1000")
    model.colocate_db_tcp()

    def shown() -> str:
        exp.preview(model, verbosity_level="developer", output_format="json")
        (described,) = json.loads(capsys.readouterr().out)["experiment"]["models"]
        return str(described["command"]["environment"]["SSDB"])

    assert shown() == "127.0.0.1:<a free port of its node>"
    exp.start(model, block=False)
    deadline = time.monotonic() + 60
    while not out(model) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert shown() == out(model).strip()


USERS_EXAMPLE = """
from smartcore import Experiment
from smartcore.log import get_logger
exp = Experiment("example-experiment", launcher="auto")
log = get_logger("logger")
db = exp.create_database(db_nodes=3, port={port}, interface="lo")
settings = exp.create_run_settings("echo", exe_args="Hello World")
model = exp.create_model("hello_world", settings)
exp.generate(db, model, overwrite=True)
exp.preview(db, model, verbosity_level="debug")
exp.start(db, model)
exp.stop(db)
log.info(exp.summary())
"""


def test_the_users_example_runs_and_leaves_its_tree(tmp_path: Path) -> None:
    # A port of our own choice, not 6379, which somebody may use on the host of the test.
    with driver(USERS_EXAMPLE.format(port=17379), tmp_path) as process:
        shown, _ = process.communicate(timeout=60)
    assert process.returncode == 0, shown
    root = tmp_path / "example-experiment"
    assert (root / "hello_world" / "hello_world.out").read_text() == "Hello World\n"
    assert (root / "hello_world" / "hello_world.err").read_text() == ""
    assert (root / "smartcore_params.txt").exists()
    for index in range(3):
        conf = root / "orchestrator" / f"orchestrator_{index}.conf"
        assert conf.stat().st_mode & 0o777 == 0o600
        assert conf.with_suffix(".out").exists()
    assert re.search(r"hello_world\s*\|\s*Model .*Completed", shown)
    assert "Database Identifier: orchestrator" in shown
    assert not proc_with(str(root))


def test_a_database_that_cannot_start_takes_its_models_along(
    exp: Experiment, tmp_path: Path
) -> None:
    db = exp.create_database()
    model = shell(exp, "m", "touch ran")
    db.set_db_conf("loadmodule", "/no/such/module.so")
    with pytest.raises(InputError, match=r"there is no file /no/such/module\.so"):
        exp.start(db, model)
    assert not (tmp_path / "orchestrator").exists()
    db.set_db_conf("loadmodule", __file__)
    with pytest.raises(DatabaseError, match=f"Can't load module from {re.escape(__file__)}"):
        exp.start(db, model)
    assert not (tmp_path / "m" / "ran").exists()
    assert proc_with(str(tmp_path)) == []
    assert not db.is_active()


def test_a_client_without_password_is_advised(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    db = exp.create_database()
    code = "import os, redis; redis.Redis(port=int(os.environ['SSDB'].split(':')[1])).ping()"
    model = exp.create_model("m", exp.create_run_settings(sys.executable, ["-c", code]))
    with caplog.at_level(logging.ERROR, "smartcore"):
        exp.start(db, model)
    assert exp.status(model).returncode == 1
    assert "allow_unauthenticated=True" in caplog.text


def test_another_driver_takes_up_a_running_database(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = """
from smartcore import Experiment
exp = Experiment("exp", launcher="local")
db = exp.create_database()
db.enable_checkpoints(1000)
exp.start(db)
print(db.checkpoint_file)
"""
    with driver(first, tmp_path) as process:
        shown, _ = process.communicate(timeout=60)
    assert process.returncode == 0, shown
    assert "these go on: orchestrator_0" in shown
    checkpoint = next(line for line in shown.splitlines() if line.endswith("smartcore_db.json"))
    with Experiment("other", str(tmp_path)) as exp:
        db = exp.reconnect_orchestrator(checkpoint)
        assert db.is_active()
        reader = shell(exp, "m", "echo $SSDB")
        exp.start(reader)
        assert out(reader).strip() == db.get_address()[0]
        assert exp.statuses(db)["orchestrator_0"].state is State.RUNNING
        exp.stop(db)
        assert not db.is_active()
    assert not caplog.records  # it was told to end from here
    assert proc_with(str(tmp_path)) == []
    with pytest.raises(DatabaseError, match="does not"), Experiment("third", str(tmp_path)) as exp:
        exp.reconnect_orchestrator(checkpoint)


@pytest.mark.parametrize("how", ["tcp", "uds"])
def test_a_colocated_database_is_there_before_and_gone_after_its_model(
    exp: Experiment, tmp_path: Path, how: str
) -> None:
    code = """
import json, os, redis
address = os.environ["SSDB_mine"]
auth = json.load(open(os.environ["SMARTCORE_DB_AUTH_mine"]))
if address.startswith("unix://"):
    client = redis.Redis(unix_socket_path=address.removeprefix("unix://"), **auth)
else:
    host, port = address.split(":")
    client = redis.Redis(host, int(port), **auth)
client.set("key", 5)
print(client.get("key").decode(), address, os.environ["SR_DB_TYPE_mine"])
raise SystemExit(9)
"""
    model = exp.create_model("m", exp.create_run_settings(sys.executable, ["-c", code]))
    getattr(model, f"colocate_db_{how}")(db_identifier="mine")
    exp.start(model)
    value, address, kind = out(model).split()
    assert (value, kind) == ("5", "Standalone")
    assert exp.status(model).returncode == 9
    assert proc_with(str(tmp_path)) == []
    if how == "uds":
        assert not Path(address.removeprefix("unix://")).exists()


def test_stopping_a_model_ends_the_database_next_to_it(
    exp: Experiment, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = shell(exp, "m", "touch up; sleep 1000")
    model.colocate_db_uds()
    exp.start(model, block=False)
    wait_until((Path(model.path) / "up").exists)
    assert proc_with(str(tmp_path))
    exp.stop(model)
    assert exp.status(model).state is State.CANCELLED
    assert proc_with(str(tmp_path)) == []
    assert "went on without" not in caplog.text


def test_the_death_of_a_colocated_database_is_told_while_its_model_goes_on(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    code = """
import json, os, redis, signal, sys
auth = json.load(open(os.environ["SMARTCORE_DB_AUTH"]))
client = redis.Redis(unix_socket_path=os.environ["SSDB"].removeprefix("unix://"), **auth)
os.kill(client.info("server")["process_id"], signal.SIGKILL)
if sys.argv[1] == "waits":
    open("pipe").read()
"""
    models = []
    for name in ("waits", "ends"):
        run = exp.create_run_settings(sys.executable, ["-c", code, name])
        models.append(exp.create_model(name, run))
        models[-1].colocate_db_uds()
    exp.generate(*models)
    pipe = Path(models[0].path) / "pipe"
    os.mkfifo(pipe)
    exp.start(*models, block=False)
    wait_until(lambda: "waits-db on" in caplog.text)
    assert exp.status(models[0]).state is State.RUNNING
    pipe.write_text("")
    exp.wait(*models)
    assert {status.state for status in exp.statuses().values()} == {State.COMPLETED}
    host = os.uname().nodename
    for model in models:
        name = model.name
        log = Path(model.path) / f"{name}-db.log"
        words = f"{name}-db on {host} was killed by SIGKILL, and the model {name} went on without"
        (told,) = [text for text in caplog.messages if words in text]
        assert f"{log} ends with:\n" in told
        assert f"{name}-db was killed by SIGKILL" in Path(model.path, f"{name}.err").read_text()


def test_colocated_databases_of_several_models_do_not_meet(exp: Experiment) -> None:
    run = exp.create_run_settings("sh", ["-c", "echo $SSDB; sleep 0.3"])
    models = [exp.create_model(f"m{index}", run) for index in range(3)]
    for model in models:
        model.colocate_db_tcp()
    exp.start(*models)
    assert {exp.status(model).returncode for model in models} == {0}
    assert len({out(model) for model in models}) == 3


def test_a_colocated_database_without_identifier_is_the_default_one(exp: Experiment) -> None:
    model = shell(exp, "m", "true")
    model.colocate_db_uds()
    with pytest.raises(DatabaseIdConflictError, match="'orchestrator'"):
        exp.start(exp.create_database(), model)


def test_a_port_in_use_is_found_before_anything_is_launched(exp: Experiment) -> None:
    foreign = exp.create_database(db_identifier="foreign")
    exp.start(foreign)
    port = int(foreign.get_address()[0].split(":")[1])
    words = rf"port {port} is in use on 127.0.0.1 by .*pid \d+"
    first = exp.create_database(db_identifier="first")
    with pytest.raises(DatabaseError, match=words):
        exp.start(first, exp.create_database(port=port, db_identifier="second"))
    assert not Path(first.path).exists()
    model = shell(exp, "m", "true")
    model.colocate_db_tcp(port=port)
    with pytest.raises(DatabaseError, match=words):
        exp.start(model)
    assert foreign.is_active()


def test_two_colocated_databases_cannot_have_one_port(exp: Experiment) -> None:
    models = [shell(exp, name, "true") for name in ("a", "b")]
    for model in models:
        model.colocate_db_tcp(port=17391)
    with pytest.raises(InputError, match=r"next to 'b' would listen at 127.0.0.1:17391"):
        exp.start(*models)


def test_a_running_database_cannot_be_taken_up_by_its_own_experiment(exp: Experiment) -> None:
    db = exp.create_database()
    exp.start(db)
    with pytest.raises(DatabaseIdConflictError, match="already"):
        exp.reconnect_orchestrator(db.checkpoint_file)
    exp.stop(db)
    assert exp.get_status(db) == [SmartcoreStatus.STATUS_CANCELLED]
