"""``smartcore db`` on real servers whose driver lives in another process."""

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
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import Result

from smartcore.cli.db_stop import fate
from smartcore.cli.db_top import fitting
from smartcore.database.sampler import DIRECTORY, write_sample
from smartcore.error import DatabaseError
from smartcore.spec import Saved, ShardStatistics
from smartcore_redis.backend import RedisBackend, ValkeyBackend

WAIT = 60
Run = Callable[..., Result]
DRIVER = """
import sys
from smartcore import Experiment
exp = Experiment("exp", launcher="local")
plain = exp.create_database(db_nodes=3)
plain.set_max_memory("100mb")
kept = exp.create_database(db_identifier="kept")
kept.enable_checkpoints(3600)
exp.start(plain, kept)
print("ready", flush=True)
sys.stdin.read()
exp.stop(*[one for one in (plain, kept) if one.is_active()])
"""


def _server() -> str:
    try:
        return RedisBackend().find(os.environ).executable
    except DatabaseError as error:
        pytest.skip(str(error))


def bundled() -> str:
    """A server that has no command-line client beside it."""
    try:
        return ValkeyBackend().find({"PATH": ""}).executable
    except DatabaseError as error:
        pytest.skip(str(error))


@dataclass
class Lab:
    """An experiment with databases, and a shell that is not its driver."""

    where: Path
    server: str

    @property
    def path(self) -> Path:
        return self.where / "exp"

    @property
    def environment(self) -> dict[str, str]:
        unwanted = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"}
        kept = {name: value for name, value in os.environ.items() if name not in unwanted}
        runtime = {"SMARTCORE_RUNTIME_DIR": str(self.where / "rt"), "TERM": "xterm-256color"}
        return {**kept, **runtime, "REDIS_PATH": self.server}

    def command(self, *args: object) -> list[str]:
        return [sys.executable, "-m", "smartcore", "db", *map(str, args)]

    def run(self, *args: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*args),
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=False,
        )

    def json(self, *args: object) -> Any:
        return json.loads(self.run(*args, "--json").stdout)

    def client(self, *words: str, db: str = "kept") -> str:
        """What the server answers to the models' user."""
        done = self.run("connect", self.path, "--db", db, "--", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def password(self, db: str = "kept") -> str:
        text = (self.path / db / f"{db}.auth.json").read_text()
        return str(json.loads(text)["password"])


@contextmanager
def driven(where: Path, server: str) -> Iterator[Lab]:
    lab = Lab(where, server)
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        cwd=where,
        env=lab.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert any(line == "ready\n" for line in process.stdout)
        yield lab
    finally:
        process.communicate(timeout=WAIT)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Databases that tests leave running."""
    with driven(tmp_path_factory.mktemp("db"), _server()) as made:
        yield made


@dataclass
class Ended:
    """Databases with a key each, that were stopped from a shell.

    :param told: what the stop of the one told, as JSON
    :param text: what that of the other told
    :param code: exit code of a ``top`` that watched
    :param errors: what that said at its end
    """

    lab: Lab
    told: list[Any]
    text: str
    code: int
    errors: str


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    with driven(tmp_path_factory.mktemp("db"), _server()) as made:
        made.client("SET", "a", "1")
        made.client("SET", "a", "1", db="orchestrator")
        watching = subprocess.Popen(
            made.command("top", made.path, "--interval", "0.1", "--json"),
            env=made.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout is not None
        assert '"a"' not in watching.stdout.readline()
        told = made.json("stop", made.path, "--db", "kept")["stopped"]
        done = made.run("stop", made.path)
        assert done.returncode == 0, done.stderr
        _, errors = watching.communicate(timeout=WAIT)
        yield Ended(made, told, done.stdout, watching.returncode, errors)


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
    assert (kept["keys"], kept["problem"]) == (None, "it is being started and does not serve yet")
    done = lab.run("connect", tmp_path, "--db", "kept")
    assert (done.returncode, "does not serve yet" in done.stderr) == (1, True)
    done = lab.run("top", tmp_path, "--once")
    assert "plain" in done.stdout or "orchestrator" in done.stdout
    assert done.stderr == "kept: it is being started and does not serve yet\n"


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


# -- plot ---------------------------------------------------------------------------------------


def sample(experiment: Path, identifier: str) -> None:
    for stamp in (1000, 2000):
        directory = experiment / DIRECTORY / identifier / f"{identifier}_0"
        write_sample(directory, stamp, ShardStatistics(f"{identifier}_0", memory=stamp), 1.0)


def test_plot_writes_a_picture_named_like_the_database(
    smartcore: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sample(tmp_path, "kept")
    assert smartcore("db", "plot", ".").stdout == "written to kept.png\n"
    assert (tmp_path / "kept.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads(smartcore("db", "plot", ".", "-o", "a.svg", "--json").stdout)
    assert told == {"database": "kept", "file": "a.svg", "shards": ["kept_0"]}
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_plot_asks_which_one_if_there_are_several(smartcore: Run, tmp_path: Path) -> None:
    done = smartcore("db", "plot", str(tmp_path))
    assert (done.exit_code, "telemetry.enable()" in done.stderr) == (1, True)
    sample(tmp_path, "kept")
    sample(tmp_path, "other")
    done = smartcore("db", "plot", str(tmp_path))
    assert (done.exit_code, "choose one with --db: kept, other" in done.stderr) == (1, True)


def test_plot_of_telemetry_that_cannot_be_read_is_an_error(smartcore: Run, tmp_path: Path) -> None:
    sample(tmp_path, "kept")
    (file,) = tmp_path.rglob("memory.csv")
    file.unlink()
    file.mkdir()
    done = smartcore("db", "plot", str(tmp_path))
    assert (done.exit_code, f"cannot read the telemetry {file}" in done.stderr) == (1, True)


# -- stop, and what has ended -------------------------------------------------------------------


def test_stop_tells_whether_the_data_was_written(ended: Ended) -> None:
    lab, (kept,), text = ended.lab, ended.told, ended.text
    (shard,) = kept["shards"]
    assert (kept["database"], shard["name"]) == ("kept", "kept_0")
    assert shard["data"].startswith(f"its data are kept in {lab.path}/kept/kept_0.rdb (")
    assert "lost" not in shard["data"]
    assert shard["written"]
    assert (lab.path / "kept" / "kept_0.rdb").stat().st_size > 0
    assert "stopped orchestrator" in text
    assert "kept" not in text
    assert text.count("it held no data") == 2
    assert text.count("all its data (1 key) are lost: enable_checkpoints was not called") == 1


NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
EARLIER = Saved(Path("/exp/db/db_0.rdb"), 2048, NOW - timedelta(hours=1))
FULL = ShardStatistics("db_0", keys=3, unsaved=2, saves=True)


@pytest.mark.parametrize(
    ("before", "saved", "words"),
    [
        (FULL, replace(EARLIER, written=NOW + timedelta(seconds=1)), ["kept in /exp/db/db_0.rdb"]),
        (FULL, EARLIER, ["kept in /exp/db/db_0.rdb", "2 changes after that are lost"]),
        (replace(FULL, unsaved=0), EARLIER, ["kept in /exp/db/db_0.rdb"]),
        (FULL, None, ["all its data (3 keys) are lost: it did not write them"]),
        (replace(FULL, keys=0), None, ["it held no data"]),
        (replace(FULL, saves=False), None, ["are lost: enable_checkpoints was not called"]),
        (replace(FULL, data=Path("/")), None, ["its data are kept in /"]),
        (ShardStatistics("db_0", "hangs"), None, ["not known: hangs"]),
        (ShardStatistics("db_0", "hangs"), EARLIER, ["not known: hangs; what it wrote last is /e"]),
    ],
)
def test_what_became_of_data_is_told_as_far_as_it_is_known(
    before: ShardStatistics, saved: Saved | None, words: list[str]
) -> None:
    told = fate(before, saved, NOW).told
    assert all(word in told for word in words)
    assert told.count("lost") == sum("lost" in word for word in words)


def test_top_ends_when_the_databases_have_ended(ended: Ended) -> None:
    assert ended.code == 0
    assert "the database 'kept' ended" in ended.errors
    assert "Traceback" not in ended.errors


def test_what_has_ended_is_told_with_when_and_how(ended: Ended) -> None:
    lab = ended.lab
    for row in lab.json("list", lab.path):
        assert (row["state"], row["memory"], row["problem"]) == ("Cancelled", None, None)
    for command in ("top", "connect"):
        done = lab.run(command, lab.path)
        assert done.returncode == 1
        assert "the database 'kept' ended" in done.stderr
        assert "ago (Cancelled" in done.stderr
    done = lab.run("stop", lab.path)
    assert done.returncode == 0
    assert done.stdout.startswith("nothing was running: the database 'orchestrator' ended")
    assert lab.json("list") == []
    assert [row["state"] for row in lab.json("list", "--all")] == ["Cancelled"] * 2


def test_what_has_ended_is_known_without_its_passwords(ended: Ended) -> None:
    lab = ended.lab  # smartcore gc removes them some day
    for file in lab.path.glob("*/*.json"):
        if not file.name.startswith("smartcore"):
            file.unlink()
    (kept,) = lab.json("info", lab.path, "--db", "kept")
    assert (kept["state"], kept["problem"], kept["shards"][0]["state"]) == (
        "Cancelled",
        None,
        "Cancelled",
    )
