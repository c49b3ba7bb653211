"""Another user's programs that pass for servers of ours."""

from __future__ import annotations

import shutil
import socket
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smartcore import Experiment
from smartcore.database import read_secret
from smartcore.error import DatabaseError
from smartcore.launch.asking import Ready, serves
from smartcore.registry import default_registry
from smartcore.spec.addresses import free_ports
from smartcore.testing.running import lacks

if TYPE_CHECKING:
    from tests.database.conftest import OtherUser

# Another user's server says that it has all the data, and wants to be a part of a cluster. Servers
# give up after a second if nobody answers.
ROGUE = """
import json, socket, subprocess, sys, tempfile, time
program, theirs, ports = json.load(sys.stdin)
end = time.monotonic() + 60
def ask(port, *words):
    with socket.create_connection(("127.0.0.1", port), 60) as client:
        text = "".join([f"*{len(words)}\\r\\n"] + [f"${len(w)}\\r\\n{w}\\r\\n" for w in words])
        client.sendall(text.encode())
        return client.recv(65536).decode()
def claims_all_slots(server, port):
    while server.poll() is None:
        try:
            return ask(port, "CLUSTER", "ADDSLOTSRANGE", "0", "16383").startswith("+OK")
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.01)
def meet(port):
    assert "OK" in ask(port, "CLUSTER", "SET-CONFIG-EPOCH", "9999")
    assert "OK" in ask(port, "CLUSTER", "MEET", "127.0.0.1", str(theirs))
    while "cluster_known_nodes:2\\r" in ask(port, "CLUSTER", "INFO"):
        assert time.monotonic() < end
        time.sleep(0.01)
    info = ask(port, "CLUSTER", "INFO").split()
    print([line for line in info if "known_nodes" in line][0])
for port in ports:  # somebody else may be quicker at one
    with tempfile.TemporaryDirectory() as place, subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", place, "--save", "",
         "--cluster-enabled", "yes", "--cluster-node-timeout", "1000"],
        stdout=subprocess.DEVNULL) as server:
        try:
            if claims_all_slots(server, port):
                meet(port)
                break
        finally:
            server.kill()
"""


def test_the_server_of_another_user_cannot_become_a_part_of_a_cluster(
    open_place: Path, other_user: OtherUser
) -> None:
    program = shutil.which("redis-server")
    if program is None:
        lacks("redis-server is not installed")
    with Experiment("exp", str(open_place), launcher="local") as exp:
        database = exp.create_database(db_nodes=3)
        exp.start(database)
        assert database.live is not None
        if database.live.credentials.peers is None:
            lacks(f"{program} has no TLS")
        ports = free_ports(["127.0.0.1"], 5, offsets=(0, 10000))
        told = other_user.run(ROGUE, [program, database.ports[0], ports])
        assert told == "cluster_known_nodes:1\n"
        # All slots are still ours.
        assert database.is_active()


# Another user listens where a server was, says so, and prints what he is told.
SQUATTER = """
import json, socket, sys
host, port = json.load(sys.stdin)
with socket.create_server((host, port)) as listening:
    listening.settimeout(60)
    print("listening", flush=True)
    while True:
        client, _ = listening.accept()
        with client:
            client.settimeout(60)
            said = client.recv(4096)
            print(said.decode(errors="replace").replace("\\r\\n", " "), flush=True)
        if b"enough" in said:
            break
"""


def test_another_user_who_listens_where_a_server_was_is_told_no_password(
    open_place: Path, other_user: OtherUser
) -> None:
    with Experiment("exp", str(open_place), launcher="local") as exp:
        database = exp.create_database()
        exp.start(database)
        live = database.live
        assert live is not None
        backend = default_registry().database(database.backend)
        where = (live.shards[0].address.host, live.shards[0].address.port)
        exp.stop(database)
    with other_user.starts(SQUATTER, where) as squatter:
        assert squatter.stdout is not None
        assert squatter.stdout.readline() == "listening\n"
        with pytest.raises(DatabaseError, match="belongs to the user 65534"):
            backend.ready(live.shards, timedelta(seconds=60))
        (found,) = backend.statistics(live.shards, timedelta(seconds=60))
        assert "belongs to the user 65534" in found.problem
        question = backend.readiness(live.shards[0])
        ready = Ready(*where, "", question.send.decode(), question.expect.decode(), timeout=60)
        assert not serves(ready)
        with socket.create_connection(where, 60) as last:
            last.sendall(b"enough")
        heard = squatter.stdout.read()
    assert "enough" in heard
    assert "AUTH" not in heard
    for file in (live.auth_file, live.admin_file):
        assert read_secret(file)[1] not in heard
