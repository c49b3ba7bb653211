from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import smartcore.testing.fakewlm
from smartcore.testing.fakewlm.cluster import PROGRAMS, FakeCluster, fake_cluster
from smartcore.testing.fakewlm.faults import Fault

HOME = Path(smartcore.testing.fakewlm.__file__).parent
PLAIN = ("wlm", "faults", "programs", "client", "server")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[FakeCluster]:
    with fake_cluster(tmp_path / "wlm", virtual=True, kill_wait=5) as made:
        yield made


def run(
    cluster: FakeCluster, *argv: str, stdin: str | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        env={**cluster.environment(), **env},
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=20,
        check=False,
    )


def submit(cluster: FakeCluster, body: str, *options: str) -> str:
    done = run(cluster, "fsub", "--parsable", *options, "-", stdin=f"#!/bin/sh\n{body}\n")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def rows(cluster: FakeCluster, *argv: str) -> dict[str, dict[str, object]]:
    done = run(cluster, *argv)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {str(row["id"]): row for row in found}


def until(cluster: FakeCluster, job: str, states: Sequence[str]) -> str:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        state = str(cluster.jobs[job]["state"])
        if state in states:
            return state
        time.sleep(0.01)
    raise AssertionError(f"{job} is {state}")


def test_a_script_runs_with_the_environment_of_its_submit(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    run(
        cluster,
        "fsub",
        "-",
        stdin=f'#!/bin/sh\necho "$MINE $FAKE_JOB_ID $FAKE_RESTART_COUNT" >{pipe}\n',
        MINE="a b",
    )
    assert pipe.read_text() == "a b 1 0\n"
    assert until(cluster, "1", ["DONE"])


def test_the_answers_of_submit(cluster: FakeCluster) -> None:
    done = run(cluster, "fsub", "-", stdin="#!/bin/sh\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Submitted job 1\n", "")
    assert submit(cluster, "true") == "2"
    cluster.set(cluster="alpha")
    assert submit(cluster, "true") == "3;alpha"


@pytest.mark.parametrize(
    ("argv", "rc", "words"),
    [
        (["fsub", "--no-such", "x"], 2, "unknown option"),
        (["fsub"], 2, "give one script"),
        (["fsub", "/no/such/script"], 1, "no script"),
        (["fsub", "--queue=nope", "-"], 1, "invalid queue"),
        (["fsub", "--name=9 lives", "-"], 2, "invalid job name"),
        (["fsub", "--array=0-0", "-"], 2, "invalid array"),
        (["fsub", "--array=0-5000", "-"], 1, "invalid array"),
        (["fsub", "--time=soon", "-"], 2, "invalid time"),
        (["fstat", "--format=x"], 2, "unknown option"),
        (["fstat", "99"], 1, "unknown job 99"),
        (["facct"], 2, "give --jobs"),
        (["fdel"], 2, "give ids"),
        (["fdel", "99"], 1, "no job 99"),
        (["fdel", *map(str, range(101))], 2, "at most 100 ids"),
    ],
)
def test_what_it_does_not_know_it_refuses(
    cluster: FakeCluster, argv: list[str], rc: int, words: str
) -> None:
    done = run(cluster, *argv, stdin="#!/bin/sh\n")
    assert done.returncode == rc
    assert words in done.stderr
    assert cluster.jobs == {}


def test_a_script_without_an_interpreter_is_refused(cluster: FakeCluster) -> None:
    assert run(cluster, "fsub", "-", stdin="true\n").returncode == 2


def test_directives_after_the_first_command_are_ignored(cluster: FakeCluster) -> None:
    """F25."""
    submit(cluster, "#FAKE --name=early\ntrue\n#FAKE --name=late")
    assert cluster.jobs["1"]["name"] == "early"


def test_an_unknown_id_makes_a_query_fail_and_others_are_told(cluster: FakeCluster) -> None:
    """F04."""
    job = submit(cluster, "exec sleep 60")
    done = run(cluster, "fstat", "--json", job, "99")
    assert done.returncode == 1
    assert json.loads(done.stdout)["state"] == "RUNNING"


def test_ended_jobs_leave_the_queue_and_come_late_into_the_accounting(
    cluster: FakeCluster,
) -> None:
    """F06."""
    cluster.set(keep=10, accounting_lag=30)
    job = submit(cluster, "exit 3")
    until(cluster, job, ["FAILED"])
    assert rows(cluster, "fstat", "--json")[job]["code"] == 3
    assert rows(cluster, "facct", "--json", f"--jobs={job}") == {}
    cluster.advance(20)
    assert rows(cluster, "fstat", "--json") == {}
    cluster.advance(20)
    assert rows(cluster, "facct", "--json", f"--jobs={job}")[job]["state"] == "FAILED"
    cluster.set(accounting="off")
    assert run(cluster, "facct", f"--jobs={job}").returncode == 1


def test_a_time_limit_tells_and_then_kills(cluster: FakeCluster, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    body = f"trap 'echo term >{pipe}' TERM\necho ready >{pipe}\nwhile :; do sleep 1000 & wait; done"
    job = submit(cluster, body, "--time=100")
    assert pipe.read_text() == "ready\n"
    cluster.advance(99)
    assert cluster.jobs[job]["state"] == "RUNNING"
    cluster.advance(1)
    assert pipe.read_text() == "term\n"
    assert cluster.jobs[job]["state"] == "ENDING"
    cluster.advance(5)
    assert until(cluster, job, ["TIMEOUT"])


@pytest.mark.parametrize(
    ("fault", "end"),
    [("node", "NODE_FAIL"), ("preempt", "PREEMPTED"), ("memory", "OUT_OF_MEMORY")],
)
def test_jobs_end_for_the_reasons_of_the_fault_script(
    cluster: FakeCluster, fault: str, end: str
) -> None:
    cluster.script({"on": "job", "name": "bad*", "do": fault, "seconds": 5})
    job = submit(cluster, "exec sleep 60", "--name=bad1", "--no-requeue")
    other = submit(cluster, "exec sleep 60", "--name=good")
    cluster.advance(5)
    assert until(cluster, job, [end])
    assert cluster.jobs[other]["state"] == "RUNNING"


def test_a_preempted_job_starts_again(cluster: FakeCluster) -> None:
    """F18."""
    cluster.script({"on": "job", "do": "preempt", "seconds": 5})
    job = submit(cluster, '[ "$FAKE_RESTART_COUNT" = 1 ] || exec sleep 60')
    cluster.advance(5)
    assert until(cluster, job, ["DONE"])
    assert cluster.jobs[job]["restarts"] == 1


def test_slots_limit_what_runs_and_a_cancel_frees_one(cluster: FakeCluster) -> None:
    cluster.set(slots=1)
    first, second = submit(cluster, "exec sleep 60"), submit(cluster, "exec sleep 60")
    assert cluster.jobs[second]["state"] == "PENDING"
    run(cluster, "fdel", first)
    assert until(cluster, first, ["CANCELLED"])
    assert until(cluster, second, ["RUNNING"])
    row = rows(cluster, "facct", "--json", f"--jobs={first}")[first]
    assert row["state"] == "CANCELLED by 1000"  # F17


def test_members_that_wait_are_one_line(cluster: FakeCluster) -> None:
    """F13."""
    cluster.set(slots=1)
    submit(cluster, "exec sleep 60", "--array=0-3")
    assert list(rows(cluster, "fstat", "--json")) == ["1_0", "1_[1-3]"]
    run(cluster, "fdel", "1_2")
    assert cluster.jobs["1_2"]["state"] == "CANCELLED"


def test_a_quota_and_a_ban(cluster: FakeCluster) -> None:
    """F08."""
    cluster.set(quota=1, ban_after=3, ban_for=60)
    submit(cluster, "exec sleep 60")
    done = run(cluster, "fsub", "-", stdin="#!/bin/sh\n")
    assert "job limit of 1 reached" in done.stderr
    assert [run(cluster, "fstat").returncode for _ in range(3)] == [0, 99, 99]
    cluster.advance(61)
    assert run(cluster, "fstat").returncode == 0


@pytest.mark.parametrize(
    ("fault", "rc", "out", "err"),
    [
        ({"do": "fail", "rc": 5, "text": "down"}, 5, "", "fstat: error: down\n"),
        ({"do": "empty"}, 0, "", ""),
        ({"do": "garbage", "text": "??"}, 0, "??", ""),
        ({"do": "chatter", "text": "hello"}, 0, "hello\nhello\n", ""),
    ],
)
def test_faults_of_commands(
    cluster: FakeCluster, fault: dict[str, object], rc: int, out: str, err: str
) -> None:
    cluster.script({"on": "query", "skip": 1, "times": 1, **fault})
    fine = (0, "", "")
    for expected in (fine, (rc, out, err), fine):
        done = run(cluster, "fstat", "--json")
        assert (done.returncode, done.stdout, done.stderr) == expected


def test_an_answer_may_be_no_utf8(cluster: FakeCluster) -> None:
    cluster.script({"on": "query", "do": "binary"})
    argv = [str(cluster.bin / "fstat"), "--json"]
    done = subprocess.run(argv, capture_output=True, timeout=20, check=True)
    with pytest.raises(UnicodeDecodeError):
        done.stdout.decode()


def test_a_hanging_command_hangs(cluster: FakeCluster) -> None:
    cluster.script({"on": "query", "do": "hang"})
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([cluster.bin / "fstat"], timeout=0.3, check=False)


def test_a_lost_submit_leaves_a_job(cluster: FakeCluster) -> None:
    """F11."""
    cluster.script({"on": "submit", "do": "lose", "seconds": 30})
    done = run(cluster, "fsub", "--comment=t", "-", stdin="#!/bin/sh\nexec sleep 60\n")
    assert done.returncode == 1
    assert rows(cluster, "fstat", "--json", "--comment=t") == {}
    cluster.advance(30)
    assert list(rows(cluster, "fstat", "--json", "--comment=t")) == ["1"]


def test_the_users_environment_changes_what_is_printed(cluster: FakeCluster) -> None:
    """F15."""
    submit(cluster, "exec sleep 60")
    assert run(cluster, "fstat", "--json", FSTAT_FORMAT="id").stdout == '{"id": "1"}\n'
    assert "LAEUFT" in run(cluster, "fstat", LC_ALL="de_DE").stdout


def test_an_unknown_fault_is_an_error() -> None:
    with pytest.raises(ValueError, match="no fault 'explode' on 'query'"):
        Fault("query", "explode")


def test_what_runs_ends_with_the_manager(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with fake_cluster(tmp_path / "wlm") as cluster:
        submit(cluster, f"echo $$ >{pipe}; exec sleep 1000")
        pid = int(pipe.read_text())
        assert Path(f"/proc/{pid}").exists()
    assert not Path(f"/proc/{pid}").exists()
    assert run(cluster, "fstat").returncode == 2


def test_its_path_may_be_long_and_strange(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 100) / "a 'b' \"c\""
    with fake_cluster(directory) as cluster:
        assert run(cluster, "fstat").returncode == 0


@pytest.mark.parametrize("module", PLAIN)
def test_programs_need_the_standard_library_only(module: str) -> None:
    tree = ast.parse((HOME / f"{module}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level in {0, 1}
            names = [] if node.level else [node.module or ""]
        else:
            continue
        assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_the_programs_start_isolated(cluster: FakeCluster) -> None:
    for program in PROGRAMS:
        first = (cluster.bin / program).read_text().splitlines()[0]
        assert first == f"#!{sys.executable} -IS"
