"""``smartcore db list``, ``info``, ``connect`` and ``top`` on databases that run."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import Result
from db_lab import WAIT, Lab, driven, server

from smartcore.cli.db_top import fitting
from smartcore.error import DatabaseError
from smartcore_redis.backend import ValkeyBackend

Run = Callable[..., Result]


def bundled() -> str:
    """A server that has no command-line client beside it."""
    try:
        return ValkeyBackend().find({"PATH": ""}).executable
    except DatabaseError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Databases that tests leave running."""
    with driven(tmp_path_factory.mktemp("db"), server()) as made:
        yield made


# -- list and info ------------------------------------------------------------------------------


def test_databases_are_listed_with_what_they_hold(lab: Lab) -> None:
    plain, kept = lab.json("list", lab.path)
    assert (plain["database"], plain["shards"], plain["state"]) == ("orchestrator", 3, "Running")
    assert (kept["database"], kept["backend"], len(kept["addresses"])) == ("kept", "redis", 1)
    assert kept["memory"] > 100_000
    assert (plain["keys"], plain["problem"], plain["version"][:1].isdigit()) == (0, None, True)
    table = lab.run("list", lab.path).stdout
    assert "MiB" in table
    assert "problem" not in table


def test_without_a_path_those_of_all_experiments_are_listed(lab: Lab) -> None:
    rows = lab.json("list")
    assert [(row["path"], row["database"]) for row in rows] == [
        (str(lab.path), "orchestrator"),
        (str(lab.path), "kept"),
    ]
    assert str(lab.path) in lab.run("list").stdout


def test_info_tells_all_but_no_password(lab: Lab) -> None:
    (kept,) = lab.json("info", lab.path, "--db", "kept")
    assert kept["auth file"] == str(lab.path / "kept" / "kept.auth.json")
    assert (kept["clustered"], kept["password needed"], kept["encrypted"]) == (False, True, False)
    (shard,) = kept["shards"]
    assert (shard["name"], shard["state"], shard["problem"]) == ("kept_0", "Running", None)
    assert (shard["saves"], shard["data"]) == (True, str(lab.path / "kept" / "kept_0.rdb"))
    (plain,) = lab.json("info", lab.path, "--db", "orchestrator")
    assert [shard["cluster"] for shard in plain["shards"]] == ["ok"] * 3
    assert [shard["memory_limit"] for shard in plain["shards"]] == [100 * 1024**2] * 3
    text = lab.run("info", lab.path).stdout
    assert "100 MiB (" in text
    assert text.count("Running") == 6
    for db in ("kept", "orchestrator"):
        assert lab.password(db) not in text


def test_a_database_that_is_not_there_is_an_error_that_names_those_that_are(lab: Lab) -> None:
    for command in ("info", "top", "stop", "connect"):
        done = lab.run(command, lab.path, "--db", "nope")
        assert done.returncode == 1
        assert "there are: orchestrator, kept" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_an_experiment_that_is_not_there_or_has_no_database_is_an_error(
    lab: Lab, tmp_path: Path
) -> None:
    assert lab.run("info", tmp_path / "nowhere").returncode == 2
    done = lab.run("top", tmp_path)
    assert (done.returncode, "has no journal" in done.stderr) == (1, True)
    line = {"v": 1, "at": 1.0, "what": "open", "experiment": "e", "launcher": "local"}
    who = {"host": socket.gethostname(), "pid": 2**22 + 1, "born": 1}
    (tmp_path / ".smartcore/journal").mkdir(parents=True)
    (tmp_path / ".smartcore/journal/here-1.jsonl").write_text(json.dumps(line | who) + "\n")
    done = lab.run("top", tmp_path)
    assert (done.returncode, "no database was started in" in done.stderr) == (1, True)
    assert lab.run("list", tmp_path).stdout == f"no database was started in {tmp_path}\n"


def test_passwords_that_cannot_be_read_are_a_problem_of_that_database_alone(lab: Lab) -> None:
    file = lab.path / "kept" / "kept.admin.json"
    away = file.rename(file.with_suffix(".away"))
    try:
        plain, kept = lab.json("list", lab.path)
        assert (plain["problem"], plain["keys"]) == (None, 0)
        assert f"cannot read {file}" in kept["problem"]
        assert (kept["state"], kept["memory"]) == ("Running", None)
        assert str(file) in lab.run("info", lab.path, "--db", "kept").stdout
        done = lab.run("connect", lab.path, "--db", "kept")
        assert (done.returncode, str(file) in done.stderr) == (1, True)
    finally:
        away.rename(file)


def test_a_server_of_another_hosts_loopback_is_never_asked(lab: Lab, tmp_path: Path) -> None:
    # Whoever listens there on this host would be told the password.
    here, there = os.uname().nodename, "far-away"
    retell(lab, tmp_path, f'"host": "{here}"', f'"host": "{there}"')
    for row in lab.json("list", tmp_path):
        assert row["problem"] == "it listens for its own host only; ask on far-away"
        assert row["keys"] is None
    done = lab.run("connect", tmp_path, "--db", "kept")
    assert (done.returncode, "ask on far-away" in done.stderr) == (1, True)


def test_the_addresses_of_an_earlier_life_are_not_asked(lab: Lab, tmp_path: Path) -> None:
    checkpoint = json.loads((lab.path / "kept" / "smartcore_db.json").read_text())
    retell(lab, tmp_path, checkpoint["shards"][0]["tag"], "new-tag")
    plain, kept = lab.json("list", tmp_path)
    assert (plain["keys"], plain["problem"]) == (0, None)
    end = f"end it (smartcore db stop {tmp_path} --db kept) and start it anew"
    problem = f"its driver ended before it served; {end}"
    assert (kept["keys"], kept["problem"]) == (None, problem)
    done = lab.run("connect", tmp_path, "--db", "kept")
    assert (done.returncode, problem in done.stderr) == (1, True)
    done = lab.run("top", tmp_path, "--once")
    assert "plain" in done.stdout or "orchestrator" in done.stdout
    assert done.stderr == f"kept: {problem}\n"


def test_what_does_not_serve_yet_says_so_while_it_is_driven(lab: Lab) -> None:
    file = lab.path / "kept" / "smartcore_db.json"
    away = file.rename(file.with_suffix(".away"))
    try:
        done = lab.run("connect", lab.path, "--db", "kept")
        assert "was removed, or it is being started and does not serve yet" in done.stderr
    finally:
        away.rename(file)


def retell(lab: Lab, path: Path, old: str, new: str) -> None:
    """Let there be another experiment that tells the same story with other words."""
    (journal,) = (lab.path / ".smartcore/journal").glob("*.jsonl")
    text = journal.read_text()
    assert old in text
    (path / ".smartcore/journal").mkdir(parents=True)
    (path / ".smartcore/journal/far-away-1.jsonl").write_text(text.replace(old, new))


# -- connect ------------------------------------------------------------------------------------


def test_connect_is_the_servers_client_and_the_models_user(lab: Lab) -> None:
    if shutil.which("redis-cli") is None:
        pytest.skip("redis-cli is not installed")
    assert lab.client("PING") == "PONG"
    assert lab.client("ECHO", "two words") == "two words"
    assert "NOPERM" in lab.client("CONFIG", "SET", "maxclients", "7")
    assert lab.client("SET", "{a}1", "x", db="orchestrator") == "OK"
    assert lab.client("DEL", "{a}1", db="orchestrator") == "1"


def test_the_password_is_not_on_the_clients_command_line(lab: Lab) -> None:
    if shutil.which("redis-cli") is None:
        pytest.skip("redis-cli is not installed")
    process = subprocess.Popen(
        lab.command("connect", lab.path, "--db", "kept"),
        env=lab.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("PING\n")
    process.stdin.flush()
    assert process.stdout.readline() == "PONG\n"
    seen = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    mode = Path(f"/proc/{process.pid}/environ").stat().st_mode
    process.communicate(timeout=WAIT)
    assert b"redis-cli" in seen  # the same process
    assert lab.password().encode() not in seen
    assert mode & 0o077 == 0


def test_of_several_databases_one_is_to_be_chosen(lab: Lab) -> None:
    done = lab.run("connect", lab.path)
    assert done.returncode == 1
    assert "choose one with --db: orchestrator, kept" in done.stderr


def test_how_to_connect_is_told_as_json_and_nothing_is_run(lab: Lab) -> None:
    told = lab.json("connect", lab.path, "--db", "orchestrator", "PING")
    assert told["clustered"]
    assert len(told["addresses"]) == 3
    assert told["command"] is None or told["command"][-1] == "PING"
    assert lab.password("orchestrator") not in json.dumps(told)


def test_without_a_client_the_recipe_is_printed_with_the_reason(tmp_path: Path) -> None:
    with driven(tmp_path, bundled()) as made:
        done = made.run("connect", made.path, "--db", "kept", PATH="/nowhere")
        assert done.returncode == 1
        assert "no command-line client for redis" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        script = f"{done.stdout}\nprint(client.set('a', 1), client.get('a'))"
        ran = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=WAIT, check=True
        )
        assert ran.stdout == "True b'1'\n"


# -- top ----------------------------------------------------------------------------------------


def test_top_once_is_one_plain_table(lab: Lab) -> None:
    done = lab.run("top", lab.path, "--once")
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[1] for line in lines[2:6]] == [*(f"orchestrator_{i}" for i in range(3)), "kept_0"]
    assert lines[6][:2] == ["-", "total"]
    assert lab.run("top", lab.path).stdout.count("kept_0") == 1  # a pipe is no terminal


def test_top_as_json_is_a_line_for_each_look_and_ctrl_c_ends_it(lab: Lab) -> None:
    process = subprocess.Popen(
        lab.command("top", lab.path, "--db", "kept", "--interval", "0.1", "--json"),
        env=lab.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first, second = (json.loads(process.stdout.readline()) for _ in range(2))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=WAIT)
    assert (process.returncode, errors) == (0, "")
    assert first["interval"] is None
    assert second["interval"] > 0
    assert first["shards"][0]["received_per_second"] is None
    assert second["shards"][0]["received_per_second"] > 0  # the look itself
    assert second["shards"][0]["hit_ratio"] is None  # nobody read in that time
    assert second["total"]["keys"] == second["shards"][0]["keys"]


def test_top_on_a_terminal_is_drawn_again_and_again_until_ctrl_c(lab: Lab) -> None:
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (30, 150))
    process = subprocess.Popen(
        lab.command("top", lab.path, "--interval", "0.1"),
        env=lab.environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    output, deadline, asked = b"", time.monotonic() + WAIT, False
    try:
        while select.select([controller], [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                output += os.read(controller, 65536)
            except OSError:  # the other end is closed
                break
            if output.count(b"Ctrl-C ends it") >= 3 and not asked:
                process.send_signal(signal.SIGINT)
                asked = True
    finally:
        code = process.wait(WAIT)
        os.close(controller)
    assert (asked, code) == (True, 0)
    assert b"orchestrator_2" in output
    assert b"total" in output
    assert output.rstrip().endswith(b"\x1b[?25h")  # the cursor is back
    assert b"Traceback" not in output


def test_on_a_narrow_terminal_what_matters_most_stays() -> None:
    row = {"database": "db", "shard": "db_0", "memory": "1 MiB", "in/s": "1 KiB", "evicted": "0"}
    assert fitting([row], 100) == [row]
    assert list(fitting([row], 36)[0]) == ["database", "shard", "memory", "in/s"]
    assert list(fitting([row], 5)[0]) == ["shard", "memory"]
    assert fitting([], 5) == []


def test_a_shard_that_hangs_is_shown_and_the_others_with_it(lab: Lab) -> None:
    port = lab.json("info", lab.path, "--db", "orchestrator")[0]["shards"][1]["address"]
    (server,) = _listening(int(port.rpartition(":")[2]))
    server.suspend()
    try:
        look = lab.json("top", lab.path, "--once")
        table = lab.run("list", lab.path).stdout
    finally:
        server.resume()
    by_name = {shard["shard"]: shard for shard in look["shards"]}
    assert "no answer at 127.0.0.1" in by_name["orchestrator_1"]["problem"]
    assert by_name["orchestrator_1"]["memory"] is None
    assert all(by_name[name]["memory"] for name in ("orchestrator_0", "orchestrator_2", "kept_0"))
    assert "no answer at" in table


def _listening(port: int) -> list[psutil.Process]:
    found = (one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN)
    return [
        psutil.Process(one.pid) for one in found if one.pid and one.laddr and one.laddr.port == port
    ]
