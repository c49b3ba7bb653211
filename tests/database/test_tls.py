"""Databases whose connections are encrypted, on real servers of this host."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from smartcore import Experiment
from smartcore.database import (
    LiveDatabase,
    Orchestrator,
    Runner,
    client_environment,
    read_secret,
    reconnect,
    start_database,
)
from smartcore.entity import Model
from smartcore.error import DatabaseError, DatabaseFileError, UnsupportedError
from smartcore.registry import Registry
from smartcore.spec import DatabaseBackend
from smartcore.testing.running import lacks

ONCE = Retry(NoBackoff(), 0)
# What the documentation shows.
MODEL = """
import json, os, redis
auth = json.load(open(os.environ["SMARTCORE_DB_AUTH"]))
host, port = os.environ["SSDB"].split(",")[0].split(":")
tls = dict(ssl=True, ssl_ca_certs=os.environ["SMARTCORE_DB_CA"], ssl_check_hostname=False)
client = redis.Redis(host, int(port), **tls, **auth)
client.set("key", "value")
print(client.get("key").decode())
"""

DRIVER = """
import os
from smartcore import Experiment
exp = Experiment("exp", launcher="local")
database = exp.create_database(db_nodes=3, tls=True)
exp.start(database)
os._exit(0)
"""


@pytest.fixture
def with_tls(backend: DatabaseBackend, tmp_path: Path) -> Mapping[str, str]:
    """Variables that lead to a server that has TLS."""
    environment = {"PATH": os.environ.get("PATH", os.defpath)}
    try:
        backend.certificate(backend.find(environment), tmp_path / "ca.pem", clients=True)
    except (UnsupportedError, DatabaseError) as error:
        lacks(str(error))
    return environment


def client(live: LiveDatabase, authority: Path | None = None, shard: int = 0) -> redis.Redis:
    username, password = read_secret(live.auth_file)
    address = live.shards[shard].address
    file = authority or Path(client_environment([live])["SMARTCORE_DB_CA"])
    return redis.Redis(
        address.host,
        address.port,
        username=username,
        password=password,
        ssl=True,
        ssl_ca_certs=str(file),
        ssl_check_hostname=False,
        retry=ONCE,
    )


def test_clients_that_know_the_authority_are_served_and_no_plain_ones(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, with_tls: Mapping[str, str]
) -> None:
    database = Orchestrator(tmp_path / "a database", tls=True, db_identifier="mine")
    live = start_database(database, runner, backend, environment=with_tls)
    assert database.is_active()
    authority = Path(client_environment([live])["SMARTCORE_DB_CA_mine"])
    with client(live, authority) as connected:
        assert connected.set("key", "value")
        assert connected.get("key") == b"value"
    database.set_max_memory("100mb")  # read back on an encrypted connection
    host, port = live.shards[0].address.host, live.shards[0].address.port
    with pytest.raises(redis.exceptions.ConnectionError):
        redis.Redis(host, port, retry=ONCE).ping()
    runner.stop()
    assert not database.is_active()


def test_settings_are_read_back_on_an_encrypted_connection(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, with_tls: Mapping[str, str]
) -> None:
    database = Orchestrator(tmp_path / "db", tls=True, db_nodes=3)
    database.set_max_clients(77)
    live = start_database(database, runner, backend, environment=with_tls)
    with client(live) as connected:
        assert connected.config_get("maxclients") == {"maxclients": "77"}
    runner.stop()
    database.unbind()
    server = tmp_path / "server"
    real = backend.find(with_tls).executable
    server.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exec {real} --version\n'
        f'exec {real} "$@" --maxclients 99\n'
    )
    server.chmod(0o755)
    otherwise = {**with_tls, "REDIS_PATH": str(server)}
    with pytest.raises(DatabaseError, match="maxclients='77' and says it is '99'"):
        start_database(database, runner, backend, environment=otherwise)
    assert not runner.jobs()


def test_nobody_is_served_who_trusts_another_authority(
    tmp_path: Path,
    runner: Runner,
    make_runner: Callable[[], Runner],
    backend: DatabaseBackend,
    with_tls: Mapping[str, str],
) -> None:
    mine, theirs = (Orchestrator(tmp_path / name, tls=True) for name in ("mine", "theirs"))
    live = start_database(mine, runner, backend, environment=with_tls)
    other = start_database(theirs, make_runner(), backend, environment=with_tls)
    authority = Path(client_environment([other])["SMARTCORE_DB_CA"])
    with pytest.raises(redis.exceptions.ConnectionError, match="certificate verify failed"):
        client(live, authority).ping()


def test_the_shards_of_a_cluster_trust_one_another_only(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, with_tls: Mapping[str, str]
) -> None:
    database = Orchestrator(tmp_path / "db", tls=True, db_nodes=3)
    live = start_database(database, runner, backend, environment=with_tls)
    assert database.is_active()
    username, password = read_secret(live.auth_file)
    authority = client_environment([live])["SMARTCORE_DB_CA"]
    with RedisCluster(
        "127.0.0.1",
        database.ports[1],
        username=username,
        password=password,
        ssl=True,
        ssl_ca_certs=authority,
        ssl_check_hostname=False,
    ) as cluster:
        for number in range(50):
            assert cluster.set(f"key{number}", number)
        assert cluster.get("key7") == b"7"
    # Their second port, which asks for no password, wants a certificate.
    bus = ("127.0.0.1", database.ports[0] + 10000)
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = False
    with pytest.raises(OSError), hello(bus, context) as anonymous:
        anonymous.sendall(b"x" * 3000)
        anonymous.recv(1)
        raise AssertionError("it was let in")
    context.load_cert_chain(live.shards[0].directory / f"{live.shards[0].name}.pem")
    with hello(bus, context) as known:
        assert known.version()


def test_the_shards_of_a_plain_cluster_trust_one_another_only_unless_told_not_to(
    tmp_path: Path,
    make_runner: Callable[[], Runner],
    backend: DatabaseBackend,
    with_tls: Mapping[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for tls in (None, False):
        runner = make_runner()
        database = Orchestrator(tmp_path / str(tls), tls=tls, db_nodes=3)
        live = start_database(database, runner, backend, environment=with_tls)
        username, password = read_secret(live.auth_file)
        with RedisCluster(
            "127.0.0.1", database.ports[1], username=username, password=password
        ) as cluster:
            for number in range(50):
                assert cluster.set(f"key{number}", number)
        assert "SMARTCORE_DB_CA" not in client_environment([live])
        assert not list((tmp_path / str(tls)).glob("*.ca.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        bus = ("127.0.0.1", database.ports[0] + 10000)
        if tls is None:
            with hello(bus, context) as encrypted:
                assert encrypted.version()
        else:
            with pytest.raises(OSError):
                hello(bus, context)
        runner.stop()
    assert not [record for record in caplog.records if "ask one another" in record.msg]


def test_a_cluster_whose_shards_would_take_anybody_is_warned_of(
    tmp_path: Path,
    runner: Runner,
    backend: DatabaseBackend,
    bundled: Mapping[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    start_database(Orchestrator(tmp_path / "db", db_nodes=3), runner, backend, environment=bundled)
    (told,) = [record.getMessage() for record in caplog.records if "one another" in record.msg]
    assert "without TLS" in told and "tls=False" in told


def hello(where: tuple[str, int], context: ssl.SSLContext) -> ssl.SSLSocket:
    connection = socket.create_connection(where, timeout=60)
    try:
        return context.wrap_socket(connection)
    except OSError:
        connection.close()
        raise


def test_the_keys_are_for_their_owner_and_go_with_what_is_stale(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, with_tls: Mapping[str, str]
) -> None:
    database = Orchestrator(tmp_path / "db", tls=True)
    live = start_database(database, runner, backend, environment=with_tls)
    files = {path.name: path for path in (tmp_path / "db").iterdir()}
    holding = {name for name, path in files.items() if "PRIVATE KEY" in path.read_text()}
    assert holding == {"orchestrator_0.pem"}
    assert stat.S_IMODE(files["orchestrator_0.pem"].stat().st_mode) == 0o600
    assert "PRIVATE KEY" not in repr(live) + Path(database.checkpoint_file).read_text()
    runner.stop()
    database.unbind()
    database.remove_stale_files()
    assert list((tmp_path / "db").iterdir()) == []


def test_another_driver_takes_up_an_encrypted_database(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, with_tls: Mapping[str, str]
) -> None:
    database = Orchestrator(tmp_path / "db", tls=True)
    live = start_database(database, runner, backend, environment=with_tls)
    found, _ = reconnect(database.checkpoint_file, Registry())
    assert found.tls
    assert found.is_active()
    assert found.live is not None
    assert client_environment([found.live]) == client_environment([live])
    found.set_max_memory("1gb")
    Path(client_environment([live])["SMARTCORE_DB_CA"]).unlink()
    with pytest.raises(DatabaseFileError, match=r"cannot read .*orchestrator\.ca\.pem"):
        reconnect(database.checkpoint_file, Registry())


def test_an_encrypted_cluster_comes_back_after_its_driver(
    tmp_path: Path, with_tls: Mapping[str, str]
) -> None:
    subprocess.run([sys.executable, "-c", DRIVER], cwd=tmp_path, timeout=100, check=True)
    with Experiment.attach(str(tmp_path / "exp")) as exp:
        checkpoint = json.loads((tmp_path / "exp/orchestrator/smartcore_db.json").read_text())
        job = checkpoint["shards"][1]["job"]
        os.kill(int(job.partition(".")[0]), signal.SIGKILL)
        exp.wait("orchestrator_1", timeout=60)
        database = exp.restart("orchestrator")
        assert database.is_active()
        assert database.live is not None
        for shard in (0, 1):
            with client(database.live, shard=shard) as connected:
                assert connected.save()
        private = [path for path in Path(database.path).iterdir() if path.suffix != ".json"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}


def test_what_has_another_certificate_is_never_taken_for_ours(
    tmp_path: Path,
    runner: Runner,
    make_runner: Callable[[], Runner],
    backend: DatabaseBackend,
    with_tls: Mapping[str, str],
) -> None:
    mine = Orchestrator(tmp_path / "mine", tls=True)
    start_database(mine, runner, backend, environment=with_tls)
    (port,) = mine.ports
    runner.stop()
    # A plain server waits for the end of what it takes for a command.
    for tls, message in ((True, "not the server started as orchestrator_0"), (False, "not answer")):
        others = make_runner()
        theirs = Orchestrator(tmp_path / f"theirs {tls}", port=port, tls=tls)
        start_database(theirs, others, backend, environment=with_tls)
        with pytest.raises(DatabaseError, match=message):
            reconnect(mine.checkpoint_file, Registry())
        assert theirs.is_active()
        others.stop()


def test_a_server_without_tls_is_refused_before_anything_is_written(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, bundled: Mapping[str, str]
) -> None:
    database = Orchestrator(tmp_path / "db", tls=True)
    with pytest.raises(UnsupportedError, match="without TLS"):
        start_database(database, runner, backend, environment=bundled)
    assert not runner.jobs()
    assert not (tmp_path / "db").exists()


def test_a_colocated_database_has_no_tls_and_says_why() -> None:
    model = Model("m", {}, Experiment("exp", launcher="local").create_run_settings("true"))
    for colocate in (model.colocate_db_tcp, model.colocate_db_uds):
        with pytest.raises(UnsupportedError, match=r"tls is not supported.*leave the node"):
            colocate(tls=True)


@pytest.mark.usefixtures("with_tls", "no_settings")
def test_a_site_may_have_all_databases_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SMARTCORE_DB_TLS", "1")
    with Experiment("exp", str(tmp_path), launcher="local") as exp:
        database = exp.create_database()
        model = exp.create_model("m", exp.create_run_settings(sys.executable, ["-c", MODEL]))
        exp.preview(database, model, verbosity_level="developer")
        assert "SMARTCORE_DB_CA" in capsys.readouterr().out
        exp.generate(database, model)
        exp.start(database, model)
        errors = (Path(model.path) / "m.err").read_text()
        assert (Path(model.path) / "m.out").read_text() == "value\n", errors
        shown = subprocess.run(
            [sys.executable, "-m", "smartcore", "db", "info", exp.exp_path, "--json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert json.loads(shown.stdout), shown.stderr
        assert '"keys": 1' in shown.stdout
