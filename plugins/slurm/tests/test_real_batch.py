"""Batch jobs on a real Slurm, and what befalls them there."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from slurm_cluster import Cluster

from smartcore.spec import (
    Cause,
    Job,
    JobId,
    Resources,
    State,
    Status,
    Step,
    Tag,
    run_command,
)
from smartcore.spec.scheduler import NativeId, Submission, Unavailable
from smartcore.testing.context import LIVE, batch_launcher
from smartcore.testing.running import Bench
from smartcore_slurm.scheduler import SlurmScheduler, array_limit

LIMIT = timedelta(seconds=30)
# By incarnation: what is left behind tells how often the program was begun.
TWICE = """
if [ -e again ]; then exit 3; fi
exec 9>>alive
flock 9
touch again up
exec sleep 1000
"""
# What a program does when it is told to end.
KIND, DEAF = "lambda *_: os._exit(0)", "signal.SIG_IGN"


class Quick(SlurmScheduler):
    """Asks more often than one would ask a cluster that others use, too."""

    rates = replace(
        SlurmScheduler.rates,
        queries_per_minute=600,
        query_burst=100,
        first_interval=timedelta(seconds=0.2),
        last_interval=timedelta(seconds=0.5),
    )


@pytest.fixture(params=["accounting", "no accounting"])
def either(request: pytest.FixtureRequest) -> Cluster:
    """Both of the clusters, one after the other."""
    name = "slurm" if request.param == "accounting" else "slurm_noacct"
    found = request.getfixturevalue(name)
    assert isinstance(found, Cluster)
    return found


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A launcher on the cluster that the test has entered."""
    monkeypatch.setenv(LIVE, "1")
    bench = bench_in(tmp_path)
    yield bench
    bench.close()


def bench_in(path: Path) -> Bench:
    launcher = batch_launcher(path / "experiment", Quick())
    return Bench(launcher, path / "runs", timedelta(seconds=90))


def job(step: Step, **arguments: str | None) -> Job:
    """A job of one step, with arguments of sbatch."""
    given = {name.replace("_", "-"): value for name, value in arguments.items()}
    return Job(step.name, step.tag, (step,), arguments=given)


def number(job: JobId) -> str:
    """Slurm's id."""
    return job.partition("#")[0]


def answer(bench: Bench, job: JobId) -> Status:
    found = bench.launcher.status([job])[job]
    assert isinstance(found, Status), found
    return found


def wait_for(bench: Bench, job: JobId, state: State, reason: str = "") -> Status:
    def reached() -> bool:
        found = bench.launcher.status([job])[job]
        return isinstance(found, Status) and found.state is state and reason in found.reason

    bench.wait_until(reached, f"{state} {reason}")
    return answer(bench, job)


def begin_again(cluster: Cluster, bench: Bench, job: JobId, step: Step) -> None:
    """Slurm lets requeued jobs wait for two minutes, to be sure that the first one is gone: what is
    left of it would be killed by the number of the job, and the second one with it.
    """

    def requeued() -> bool:
        found = bench.launcher.status([job])[job]
        return isinstance(found, Status) and (found.state is State.QUEUED or found.is_terminal)

    bench.wait_until(requeued, "requeued, or begun again and ended before anybody looked")
    bench.wait_until_gone(step)
    bench.wait_until(lambda: cluster.has_left(number(job)), "nodes without its first turn")

    def hurried() -> bool:
        # Refused while the requeue goes on, and when it has begun again meanwhile.
        found = bench.launcher.status([job])[job]
        if isinstance(found, Status) and found.state is not State.QUEUED:
            return True
        # Not at once: for some moments slurmd holds a job that it was told to abort for running.
        argv = ["scontrol", "update", f"JobId={number(job)}", "StartTime=now+3"]
        environment = cluster.environment()
        return subprocess.run(argv, env=environment, timeout=60, check=False).returncode == 0

    bench.wait_until(hurried, "its second turn")


def wait_for_file(bench: Bench, path: Path) -> None:
    bench.wait_until(path.exists, str(path))


def test_a_job_cancelled_behind_our_back_is_cancelled(either: Cluster, bench: Bench) -> None:
    step = bench.holding()
    (one,) = bench.start_up(step)
    either.run("scancel", number(one))
    (status,) = bench.ends([one])
    assert status.state is State.CANCELLED
    assert status.cause is not Cause.STOPPED
    bench.wait_until_gone(step)


def test_an_array_of_a_thousand_is_one_submit_and_few_questions(
    slurm: Cluster, bench: Bench
) -> None:
    cwd = bench.path / "array"
    cwd.mkdir(parents=True)
    steps = tuple(bench.step("true", cwd=cwd) for _ in range(1000))
    (started,) = bench.launcher.start([Job("array", Tag("array-1"), steps, array=True)])
    assert started.id is not None, started.error
    ends = bench.ends(list(started.members))
    assert {(end.state, end.returncode) for end in ends} == {(State.COMPLETED, 0)}
    issued = bench.launcher.commands.issued  # type: ignore[attr-defined]
    assert issued["submit"] == 1
    assert issued["query"] < 100


def test_a_throttle_holds_members_back_and_their_turn_comes(slurm: Cluster, bench: Bench) -> None:
    steps = tuple(bench.waiting("sys.exit(3)") for _ in range(3))
    work = Job("array", Tag("array-1"), steps, arguments={"array": "%1"}, array=True)
    (started,) = bench.launcher.start([work])
    first, _, last = started.members
    wait_for(bench, first, State.RUNNING)
    wait_for(bench, last, State.QUEUED, "JobArrayTaskLimit")
    bench.release(*steps)
    assert [end.returncode for end in bench.ends(list(started.members))] == [3, 3, 3]


def test_a_lost_node_is_told_and_another_incarnation_is_waited_for(
    slurm: Cluster, bench: Bench
) -> None:
    lost = bench.holding()
    again = bench.sh(TWICE)
    one, two = bench.start(
        job(lost, nodelist="nid004", no_requeue=None), job(again, nodelist="nid004", requeue=None)
    )
    wait_for_file(bench, lost.cwd / "up")
    wait_for_file(bench, again.cwd / "up")
    slurm.ctl("node-down", "nid004")
    try:
        (status,) = bench.ends([one])
        assert (status.state, status.cause) == (State.FAILED, Cause.NODE_FAILURE)
    finally:
        slurm.ctl("node-up", "nid004")
    begin_again(slurm, bench, two, again)
    (status,) = bench.ends([two])
    assert (status.state, status.returncode) == (State.FAILED, 3)


def test_a_job_outlives_its_controller(either: Cluster, bench: Bench) -> None:
    steps = [bench.waiting("sys.exit(3)") for _ in range(2)]
    ids = bench.start_up(*steps)
    wait_for(bench, ids[0], State.RUNNING)
    either.ctl("stop", "slurmctld")
    try:
        bench.release(steps[0])
        bench.wait_until(lambda: _exit_record(bench, "step"), "an exit record")
    finally:
        either.ctl("start", "slurmctld")
    bench.release(steps[1])
    assert [end.returncode for end in bench.ends(ids)] == [3, 3]


def _exit_record(bench: Bench, name: str) -> bool:
    records = (bench.path.parent / "experiment" / ".smartcore" / "records").iterdir()
    return any("code=3" in record.read_text() for record in records if record.is_file())


def test_ends_are_known_while_the_accounting_is_down(slurm: Cluster, bench: Bench) -> None:
    step = bench.holding()
    (one,) = bench.start_up(step)
    slurm.ctl("stop", "slurmdbd")
    try:
        assert bench.run(bench.sh("exit 3"))[0].returncode == 3
        slurm.run("scancel", number(one))
        assert bench.ends([one])[0].state is State.CANCELLED
    finally:
        slurm.ctl("start", "slurmdbd")


def test_a_job_over_its_time_is_a_timeout(
    slurm: Cluster, slurm_noacct: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIVE, "1")
    with ExitStack() as last:
        started = []
        # Slurm looks every half minute, so both clusters at a time.
        for each in (slurm, slurm_noacct):
            monkeypatch.setenv("SLURM_CONF", str(each.conf))
            bench = bench_in(tmp_path / each.directory.name)
            last.callback(bench.close)
            last.callback(monkeypatch.setenv, "SLURM_CONF", str(each.conf))
            steps = [
                bench.holding(f"signal.signal(signal.SIGTERM, {kind})") for kind in (KIND, DEAF)
            ]
            ids = bench.start(*(job(step, time="5") for step in steps))
            started.append((each, bench, ids))
            for step, one in zip(steps, ids, strict=True):
                wait_for_file(bench, step.cwd / "up")
                each.ctl("expire", number(one))
        for each, bench, ids in started:
            monkeypatch.setenv("SLURM_CONF", str(each.conf))
            ends = bench.ends(ids)
            assert {(end.state, end.cause) for end in ends} == {(State.TIMEOUT, Cause.TIME_LIMIT)}
            assert ends[0].reason == "reached its time limit (TIMEOUT)"


def test_too_much_memory_is_told(slurm: Cluster, bench: Bench) -> None:
    if "proctrack/cgroup" not in slurm.run("scontrol", "show", "config"):
        pytest.skip("this Slurm has no cgroups, without which it cannot tell")
    step = bench.python("x = bytearray(300 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1")
    (status,) = bench.run(job(step, mem="50"))
    assert (status.state, status.cause) == (State.FAILED, Cause.OUT_OF_MEMORY)


def test_preempted_jobs_have_failed_or_begin_again(slurm: Cluster, bench: Bench) -> None:
    cancelled, again = bench.holding(), bench.sh(TWICE)
    one, two = bench.start(
        job(cancelled, partition="spot", nodes="2", exclusive=None),
        job(again, partition="spot-requeue", nodes="2", exclusive=None),
    )
    wait_for_file(bench, cancelled.cwd / "up")
    wait_for_file(bench, again.cwd / "up")
    taker = bench.waiting()
    (taken,) = bench.start(job(taker, nodes="4", exclusive=None))
    (status,) = bench.ends([one])
    assert (status.state, status.cause) == (State.FAILED, Cause.PREEMPTED)
    wait_for_file(bench, taker.cwd / "up")
    begin_again(slurm, bench, two, again)
    bench.release(taker)
    (status, _) = bench.ends([two, taken])
    assert (status.state, status.returncode) == (State.FAILED, 3)


def test_a_suspended_job_is_paused(slurm: Cluster, bench: Bench) -> None:
    step = bench.waiting("sys.exit(3)")
    (one,) = bench.start_up(step)
    slurm.run("scontrol", "suspend", number(one))
    wait_for(bench, one, State.PAUSED)
    bench.release(step)
    slurm.run("scontrol", "resume", number(one))
    assert bench.ends([one])[0].returncode == 3


def test_jobs_that_wait_for_ever_say_why(
    slurm: Cluster, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    (failed,) = bench.start(bench.sh("exit 3"))
    bench.ends([failed])
    steps = [bench.sh("true") for _ in range(3)]
    closed, capped, orphan = bench.start(
        job(steps[0], partition="closed"),
        job(steps[1], account="capped", nodes="3"),
        job(steps[2], dependency=f"afterok:{number(failed)}"),
    )
    wait_for(bench, closed, State.QUEUED, "PartitionDown: its partition is down")
    wait_for(bench, capped, State.QUEUED, "AssocGrpNodeLimit: a limit on all jobs together")
    wait_for(bench, orphan, State.QUEUED, "DependencyNeverSatisfied")
    assert "waits for what will not come" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"partition": "nosuch"}, "Invalid partition name specified"),
        ({"account": "nosuch"}, "Invalid account"),
        ({"time": "soon"}, "Invalid --time specification"),
        ({"nodes": "9"}, "Node count specification invalid"),
        ({"constraint": "nosuch"}, "Invalid feature specification"),
        ({"partition": "short", "time": "10"}, "Requested time limit is invalid"),
        ({"qos": "strict", "nodes": "3"}, "Job violates accounting/QOS policy"),
        ({"nosuch": "1"}, "unrecognized option '--nosuch=1'"),
        ({"wait": None}, "wait with block=True"),
    ],
)
def test_what_can_never_run_is_refused_with_slurms_words(
    slurm: Cluster, bench: Bench, arguments: dict[str, str | None], words: str
) -> None:
    step = bench.sh("true")
    (started,) = bench.launcher.start([Job("m", step.tag, (step,), arguments=arguments)])
    assert started.id is None
    assert words in started.error


def test_the_users_defaults_do_not_win_over_settings(
    slurm: Cluster, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_TIMELIMIT", "1")
    monkeypatch.setenv("SBATCH_ARRAY_INX", "0-3")
    monkeypatch.setenv("SBATCH_WAIT", "1")
    monkeypatch.setenv("SBATCH_ACCOUNT", "proj2")
    step = replace(bench.waiting(), resources=Resources(walltime=timedelta(minutes=7)))
    (one,) = bench.start_up(step)
    shown = slurm.run("scontrol", "show", "job", number(one))
    assert "TimeLimit=00:07:00" in shown
    assert "Account=proj2" in shown
    assert "ArrayJobId" not in shown
    bench.release(step)
    assert bench.ends([one])[0].state is State.COMPLETED


@pytest.mark.parametrize(
    "text", ['it\'s "so"', "a\\b #c; $d | %j", "ü 'x' \"y\" '", "x"], ids=["a", "b", "c", "d"]
)
def test_directives_are_read_as_they_were_meant(slurm: Cluster, tmp_path: Path, text: str) -> None:
    script = tmp_path / "script.sh"
    scheduler = SlurmScheduler()
    asked = Submission(
        "m", Tag("m-1"), script, tmp_path / "100% log", tmp_path,
        arguments={"comment": text, "wckey": "w", "J": text},
    )  # fmt: skip
    script.write_text("\n".join(["#!/bin/sh", *scheduler.directives(asked), "echo hello", ""]))
    job = slurm.run("sbatch", "--parsable", "--wait", str(script)).strip()
    shown = slurm.run("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%j|%k|%Z")
    assert shown == f"{text}|{text} m-1|{tmp_path}\n"
    assert asked.log.read_text() == "hello\n"
    found = run_command(scheduler.lookup(asked.tag).argv, timeout=LIMIT)
    assert NativeId(job) in scheduler.parse_lookup(found, asked.tag)


def test_the_accounting_tells_who_cancelled_and_takes_128_away(
    slurm: Cluster, bench: Bench
) -> None:
    step = bench.holding()
    ids = [*bench.start(bench.sh("exit 137")), *bench.start_up(step)]
    slurm.run("scancel", number(ids[1]))
    bench.ends(ids)
    scheduler = SlurmScheduler()
    natives = [NativeId(number(each)) for each in ids]
    question = scheduler.accounting(natives)
    assert question is not None
    told: dict[str, str] = {}

    def is_told() -> bool:
        found = scheduler.parse_accounting(run_command(question.argv, timeout=LIMIT))
        assert not isinstance(found, Unavailable)
        told.update({each.id: each.reason for each in found})
        return all(told.get(native) for native in natives)

    bench.wait_until(is_told, "both jobs in the accounting")
    assert told[natives[0]] == "exit code 9 or 137: sacct does not tell which"
    assert told[natives[1]] == "cancelled by the user with uid 0 (CANCELLED)"
    assert getpass.getuser() == "root"


def test_without_accounting_that_is_told(slurm_noacct: Cluster) -> None:
    scheduler = SlurmScheduler()
    question = scheduler.accounting([NativeId("1")])
    assert question is not None
    answer = scheduler.parse_accounting(run_command(question.argv, timeout=LIMIT))
    assert answer == Unavailable("Slurm accounting storage is disabled")


def test_the_limit_of_arrays_is_the_clusters(slurm: Cluster, tmp_path: Path) -> None:
    limit = array_limit(slurm.run("scontrol", "show", "config"))
    script = tmp_path / "script.sh"
    script.write_text("#!/bin/sh\ntrue\n")
    for members, accepted in ((limit, True), (limit + 1, False)):
        asked = Submission("m", Tag("m-1"), script, tmp_path / "log", tmp_path, members=members,
                           arguments={"hold": None})  # fmt: skip
        argv = SlurmScheduler().submit(asked).argv
        done = run_command(argv, timeout=LIMIT)
        assert (done.returncode == 0) is accepted, done.stderr
        if accepted:
            slurm.run("scancel", done.stdout.strip())
