"""The plugin's part for the fake workload manager: the reference for those who write one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from smartcore.error import LauncherError
from smartcore.spec import Cause, Completed, State, Tag
from smartcore.spec.scheduler import (
    UNKNOWN_WORD,
    CommandLineScheduler,
    Invocation,
    JobRecord,
    NativeId,
    Outcome,
    Rates,
    Refusal,
    Refused,
    Submission,
    SubmitAnswer,
    Unavailable,
    Variables,
)

# What fsub says when it has certainly taken nothing. Anything else may have left a job behind.
_CERTAIN = (
    (Refusal.PERMANENT, r"unknown option|invalid (queue|account|job name|time|array)|no script"),
    (Refusal.QUOTA, r"job limit of \d+ reached"),
    (Refusal.TRANSIENT, r"connection refused|try again|too many requests"),
)
# Reasons for waiting that go away only if somebody changes the job or the cluster.
_FOR_EVER = {"NodeLimit"}
_ID = re.compile(r"^(\d+(?:;\w+)?)$", re.MULTILINE)


class FakeScheduler(CommandLineScheduler):
    """Speaks with ``fsub``, ``fstat``, ``facct`` and ``fdel``."""

    name = "fakewlm"
    variables = Variables(
        set_by_jobs=("FAKE_*",),
        kept=("FAKE_CONF",),
        format_queries=("F*_FORMAT",),
        job_id="FAKE_JOB_ID",
        restarts="FAKE_RESTART_COUNT",
        index="FAKE_ARRAY_INDEX",
        host="FAKE_NODE",
    )
    words: Mapping[str, Outcome] = {
        "PENDING": Outcome(State.QUEUED),
        "RUNNING": Outcome(State.RUNNING),
        "ENDING": Outcome(State.RUNNING),
        "SUSPENDED": Outcome(State.PAUSED),
        "DONE": Outcome(State.COMPLETED),
        "FAILED": Outcome(State.FAILED, Cause.EXIT_CODE),
        "CANCELLED": Outcome(State.CANCELLED),
        "TIMEOUT": Outcome(State.TIMEOUT, Cause.TIME_LIMIT),
        "OUT_OF_MEMORY": Outcome(State.FAILED, Cause.OUT_OF_MEMORY),
        "NODE_FAIL": Outcome(State.FAILED, Cause.NODE_FAILURE),
        "PREEMPTED": Outcome(State.FAILED, Cause.PREEMPTED),
    }
    rates = Rates(accounting_chunk=100)  # facct refuses more

    def directives(self, submission: Submission, /) -> Sequence[str]:
        resources = submission.resources
        options = [
            f"--name={submission.name}",
            f"--comment={submission.tag}",
            f"--log={submission.log}",
            f"--chdir={submission.cwd}",
        ]
        if submission.members:
            options.append(f"--array={self.index_base}-{self.index_base + submission.members - 1}")
        if resources.walltime is not None:
            options.append(f"--time={resources.walltime.total_seconds():g}")
        if resources.nodes is not None:
            options.append(f"--nodes={resources.nodes}")
        if not submission.requeue:
            options.append("--no-requeue")
        return [f"#FAKE {option}" for option in options]

    def submit(self, submission: Submission, /) -> Invocation:
        arguments = [
            f"--{name}" if value is None else f"--{name}={value}"
            for name, value in submission.arguments.items()
        ]
        return Invocation(("fsub", "--parsable", *arguments, str(submission.script)))

    def parse_submit(self, completed: Completed, /) -> SubmitAnswer:
        words = (completed.stderr.strip() or completed.stdout.strip())[-500:]
        if completed.returncode == 0:
            found = _ID.findall(completed.stdout)
            if len(found) == 1:
                return NativeId(found[0])
            return Refused(Refusal.AMBIGUOUS, f"fsub printed no id that can be read: {words!r}")
        for kind, pattern in _CERTAIN:
            if re.search(pattern, completed.stderr):
                return Refused(kind, words)
        return Refused(Refusal.AMBIGUOUS, words or f"fsub returned {completed.returncode}")

    def lookup(self, tag: Tag, /) -> Invocation:
        return Invocation(("fstat", "--json", f"--comment={tag}"))

    def parse_lookup(self, completed: Completed, tag: Tag, /) -> Sequence[NativeId]:
        rows = [row for row in _rows(completed) if row.get("comment") == tag]
        found = [_native(re.sub(r"_.*", "", str(row["id"])), row) for row in rows]
        return list(dict.fromkeys(found))

    def query(self, ids: Sequence[NativeId], /) -> Invocation:
        # Without ids it tells of all the user's jobs; with some, an unknown one makes it return 1.
        names = map(_local, ids) if self.rates.query_chunk else ()
        return Invocation(("fstat", "--json", *_cluster(self.scope(ids[0])), *names))

    def parse_query(self, completed: Completed, /) -> Sequence[JobRecord]:
        return [_record(row) for row in _rows(completed)]

    def accounting(self, ids: Sequence[NativeId], /) -> Invocation | None:
        names = ",".join(_local(native) for native in ids)
        return Invocation(("facct", "--json", *_cluster(self.scope(ids[0])), f"--jobs={names}"))

    def parse_accounting(self, completed: Completed, /) -> Sequence[JobRecord] | Unavailable:
        if "accounting is disabled" in completed.stderr:
            return Unavailable(completed.stderr.strip())
        return [_record(row) for row in _rows(completed)]

    def outcome(self, record: JobRecord, /) -> Outcome:
        # The accounting says who cancelled: "CANCELLED by 1000".
        return self.words.get(record.state.split(" by ")[0], UNKNOWN_WORD)

    def cancel(self, ids: Sequence[NativeId], /) -> Invocation:
        return Invocation(("fdel", *_cluster(self.scope(ids[0])), *map(_local, ids)))

    def scope(self, native: NativeId, /) -> str:
        return native.partition(";")[2]

    def member(self, native: NativeId, index: int, /) -> NativeId:
        number, separator, cluster = native.partition(";")
        return NativeId(f"{number}_{index}{separator}{cluster}")


def _cluster(name: str) -> tuple[str, ...]:
    return (f"--cluster={name}",) if name else ()


def _local(native: NativeId) -> str:
    return native.partition(";")[0]


def _native(name: str, row: Mapping[str, object]) -> NativeId:
    cluster = row.get("cluster")
    return NativeId(f"{name};{cluster}" if cluster else name)


def _rows(completed: Completed) -> Iterator[Mapping[str, object]]:
    # An id that is unknown makes fstat return 1; the rows that it printed are good nevertheless.
    if completed.returncode not in {0, 1} or re.search(r"error: (?!unknown job)", completed.stderr):
        raise LauncherError(f"{completed.argv[0]} failed: {completed.stderr.strip()[-500:]}")
    for line in completed.stdout.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or not {"id", "state"} <= row.keys():
            raise LauncherError(f"{completed.argv[0]} printed {line[:200]!r}, which is no row")
        yield row


def _record(row: Mapping[str, object]) -> JobRecord:
    # Members that wait come as 12_[3-9]: one line that stands for the whole array.
    name = re.sub(r"_\[.*\]", "", str(row["id"]))
    code, signal, elapsed = row.get("code"), row.get("signal"), row.get("elapsed")
    restarts = row.get("restarts")
    return JobRecord(
        _native(name, row),
        str(row["state"]),
        (-signal if isinstance(signal, int) and signal else code)
        if isinstance(code, int)
        else None,
        str(row.get("reason", "")),
        str(row.get("host", "")),
        timedelta(seconds=elapsed) if isinstance(elapsed, int | float) else None,
        restarts if isinstance(restarts, int) else None,
        row["state"] == "PENDING" and row.get("reason") in _FOR_EVER,
    )
