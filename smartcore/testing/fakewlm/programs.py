"""What ``fsub``, ``fstat``, ``facct`` and ``fdel`` print; they accept only what they know.

=========== ======================================================================================
``fsub``    ``[--parsable] [--name=N] [--comment=C] [--array=A-B] [--time=SECONDS] [--queue=Q]
            [--account=A] [--nodes=N] [--log=FILE] [--chdir=DIR] [--no-requeue] SCRIPT``; options
            also as ``#FAKE`` lines at the top of the script, those of the command line win; ``-``
            is a script on standard input
``fstat``   ``[--json] [--cluster=C] [--comment=C] [ID...]``: the caller's jobs, members of an array
            that wait in one line; an unknown id makes it return 1
``facct``   ``[--json] [--cluster=C] --jobs=ID,ID...``: ended jobs; silent about others
``fdel``    ``[--cluster=C] ID...``: an unknown id makes it return 1, the others are ended
=========== ======================================================================================

As with real ones, ``FSTAT_FORMAT`` (names of columns) and the locale change what is printed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .faults import Fault
from .wlm import PENDING, FakeJob, Request, Wlm

HANG = 1e6
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_OPTIONS = {
    "fsub": "parsable name= comment= array= time= queue= account= nodes= log= chdir= no-requeue",
    "fstat": "json cluster= comment=",
    "facct": "json cluster= jobs=",
    "fdel": "cluster=",
}
_KINDS = {"fsub": "submit", "fstat": "query", "facct": "account", "fdel": "cancel"}
_GERMAN = {"PENDING": "WARTEND", "RUNNING": "LAEUFT", "DONE": "FERTIG", "FAILED": "FEHLER"}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a program."""

    program: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    stdin: str = ""


@dataclass(slots=True)
class Reply:
    """What the program does: waits, prints, returns."""

    rc: int = 0
    out: str = ""
    err: str = ""
    seconds: float = 0.0


class UsageError(Exception):
    """A call that is refused.

    :param rc: what the program returns
    """

    def __init__(self, text: str, rc: int = 1) -> None:
        super().__init__(text)
        self.rc = rc


def call(wlm: Wlm, asked: Call) -> Reply:
    """Do what a program is asked to do, or what the fault script says instead."""
    program, kind = asked.program, _KINDS[asked.program]
    wlm.calls[kind] = wlm.calls.get(kind, 0) + 1
    if not wlm.admits():
        return Reply(99, err=f"{program}: error: too many requests, you are banned for a while\n")
    fault = wlm.faults.of_command(kind)
    if fault is not None and fault.do in {"fail", "hang", "empty", "garbage"}:
        return _instead(program, fault)
    hidden = fault.seconds if fault is not None and fault.do == "lose" else 0.0
    try:
        options, words = _parse(program, asked.argv)
        reply = _PROGRAMS[program](wlm, asked, options, words, hidden)
    except UsageError as error:
        reply = Reply(error.rc, err=f"{program}: error: {error}\n")
    return reply if fault is None else _altered(program, reply, fault)


def _instead(program: str, fault: Fault) -> Reply:
    if fault.do == "hang":
        return Reply(1, seconds=HANG)
    if fault.do == "fail":
        return Reply(fault.rc, err=f"{program}: error: {fault.text or 'connection refused'}\n")
    return Reply(0, out=fault.text if fault.do == "garbage" else "")


def _altered(program: str, reply: Reply, fault: Fault) -> Reply:
    if fault.do == "slow":
        reply.seconds = fault.seconds
    elif fault.do == "lose":
        return Reply(fault.rc, err=f"{program}: error: {fault.text or 'timed out'}\n")
    elif fault.do == "chatter":
        reply.out = f"{fault.text}\n{reply.out}{fault.text}\n"
    elif fault.do == "binary":
        reply.out = '{"id": "9999", "name": "\xff\xfe", "state": "RUNNING"}\n' + reply.out
    elif fault.do == "huge":
        line = '{"id": "%d", "name": "other", "state": "RUNNING", "reason": "%s"}\n'
        others = (line % (10**6 + n, "x" * 200) for n in range(int(fault.seconds * 1000)))
        reply.out = "".join(others) + reply.out
    elif fault.do == "word":
        reply.out = re.sub(r'"state": "[^"]*"', f'"state": "{fault.text}"', reply.out)
    return reply


# -- the programs -------------------------------------------------------------------------------

Options = Mapping[str, str]


def _fsub(wlm: Wlm, asked: Call, given: Options, words: Sequence[str], hidden: float) -> Reply:
    if len(words) != 1:
        raise UsageError("give one script", 2)
    script = asked.stdin if words[0] == "-" else _read(Path(asked.cwd, words[0]))
    if not script.startswith("#!"):
        raise UsageError("no script: the first line must begin with #!", 2)
    options = {**_parse("fsub", _directives(script))[0], **given}
    request = _request(wlm, asked, options, script)
    quota = wlm.settings.quota
    if quota and wlm.living + max(1, len(request.members)) > quota:
        raise UsageError(f"job limit of {quota} reached")
    number = wlm.submit(request, hidden)
    cluster = f";{wlm.settings.cluster}" if wlm.settings.cluster else ""
    text = f"{number}{cluster}" if "parsable" in options else f"Submitted job {number}"
    return Reply(out=f"{text}\n")


def _request(wlm: Wlm, asked: Call, options: Options, script: str) -> Request:
    name = options.get("name", "job")
    if not _NAME.fullmatch(name):
        raise UsageError(f"invalid job name {name!r}", 2)
    queue = options.get("queue", "main")
    if queue not in wlm.settings.queues:
        raise UsageError(f"invalid queue {queue!r}")
    cwd = options.get("chdir", asked.cwd)
    return Request(
        name,
        options.get("comment", ""),
        script,
        asked.env,
        cwd,
        str(Path(cwd, options.get("log", "/dev/null"))),
        _seconds(options["time"]) if "time" in options else None,
        "no-requeue" not in options,
        _members(wlm, options["array"]) if "array" in options else (),
        _number(options.get("nodes", "1")),
    )


def _directives(script: str) -> list[str]:
    found = []
    for line in script.split("\n")[1:]:
        if line.startswith("#FAKE "):
            found.append(line.removeprefix("#FAKE ").strip())
        elif line.strip() and not line.startswith("#"):
            break  # what comes after the first command is no directive
    return found


def _fstat(wlm: Wlm, asked: Call, given: Options, words: Sequence[str], _: float) -> Reply:
    if "comment" not in given:  # which is looked for in all clusters
        _check_cluster(wlm, given)
    unknown = []
    if words:
        jobs: list[FakeJob] = []
        for word in words:
            found = [job for job in wlm.select(word) if wlm.in_queue(job)]
            jobs += found
            if not found:
                unknown.append(word)
    else:
        jobs = list(wlm.queue())
    if "comment" in given:
        jobs = [job for job in jobs if job.request.comment == given["comment"]]
    rows = _collapsed(wlm, jobs)
    err = "".join(f"fstat: error: unknown job {word}\n" for word in unknown)
    return Reply(1 if unknown else 0, _shown(asked, given, rows), err)


def _facct(wlm: Wlm, asked: Call, given: Options, words: Sequence[str], _: float) -> Reply:
    _check_cluster(wlm, given)
    if wlm.settings.accounting != "on":
        raise UsageError("accounting is disabled")
    if words or "jobs" not in given:
        raise UsageError("give --jobs=ID,ID...", 2)
    names = given["jobs"].split(",")
    _check_number(wlm, names)
    jobs = [job for name in names for job in wlm.select(name) if wlm.accounted(job)]
    rows = [_row(wlm, job, job.id) for job in jobs]
    for row in rows:
        if row["state"] == "CANCELLED":
            row["state"] = "CANCELLED by 1000"
    return Reply(0, _shown(asked, given, rows))


def _fdel(wlm: Wlm, asked: Call, given: Options, words: Sequence[str], _: float) -> Reply:
    _check_cluster(wlm, given)
    if not words:
        raise UsageError("give ids", 2)
    _check_number(wlm, words)
    errors = ""
    for word in words:
        found = wlm.select(word)
        for job in found:
            wlm.cancel(job)
        if not found:
            errors += f"fdel: error: no job {word}\n"
    return Reply(1 if errors else 0, "", errors)


_PROGRAMS: Mapping[str, Callable[[Wlm, Call, Options, Sequence[str], float], Reply]] = {
    "fsub": _fsub,
    "fstat": _fstat,
    "facct": _facct,
    "fdel": _fdel,
}


# -- rows ---------------------------------------------------------------------------------------

Row = dict[str, object]


def _collapsed(wlm: Wlm, jobs: Iterable[FakeJob]) -> list[Row]:
    rows: list[Row] = []
    waiting: dict[int, list[FakeJob]] = {}
    for job in jobs:
        if job.index is not None and job.state == PENDING and not job.restarts:
            waiting.setdefault(job.number, []).append(job)
        else:
            rows.append(_row(wlm, job, job.id))
    for number, members in waiting.items():
        first, last = members[0].index, members[-1].index
        rows.append(_row(wlm, members[0], f"{number}_[{first}-{last}]"))
    return rows


def _row(wlm: Wlm, job: FakeJob, name: str) -> Row:
    end = wlm.now if job.ended is None else job.ended
    return {
        "id": name,
        "cluster": wlm.settings.cluster,
        "name": job.request.name,
        "state": job.state,
        "restarts": job.restarts,
        "code": job.code,
        "signal": job.signal,
        "reason": job.reason,
        "host": job.host,
        "elapsed": None if job.started is None else round(end - job.started, 3),
        "comment": job.request.comment,
    }


def _shown(asked: Call, given: Options, rows: Sequence[Row]) -> str:
    columns = asked.env.get("FSTAT_FORMAT", "").split()
    if columns:
        rows = [{name: row.get(name) for name in columns} for row in rows]
    language = asked.env.get("LC_ALL") or asked.env.get("LANG", "")
    if language.startswith("de"):
        rows = [{**row, "state": _GERMAN.get(str(row.get("state")), "?")} for row in rows]
    if "json" in given:
        return "".join(f"{json.dumps(row)}\n" for row in rows)
    table = [f"{'ID':<10}{'NAME':<8}{'STATE':<10}HOST"]
    for row in rows:  # for people, and cut as such tables are
        name, state = str(row.get("name", ""))[:7], str(row.get("state", ""))[:9]
        table.append(f"{row.get('id', '')!s:<10.9}{name:<8}{state:<10}{row.get('host', '')}")
    return "\n".join(table) + "\n"


# -- options ------------------------------------------------------------------------------------


def _parse(program: str, argv: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    allowed = _OPTIONS[program].split()
    options: dict[str, str] = {}
    words: list[str] = []
    for argument in argv:
        if not argument.startswith("--"):
            words.append(argument)
            continue
        name, equals, value = argument[2:].partition("=")
        if name + equals not in allowed:
            raise UsageError(f"unknown option {argument!r}", 2)
        options[name] = value
    return options, words


def _check_cluster(wlm: Wlm, given: Options) -> None:
    if given.get("cluster", "") != wlm.settings.cluster:
        raise UsageError(f"no job is known in cluster {given.get('cluster', '')!r}")


def _check_number(wlm: Wlm, names: Sequence[str]) -> None:
    if len(names) > wlm.settings.most_ids:
        raise UsageError(f"at most {wlm.settings.most_ids} ids", 2)


def _members(wlm: Wlm, text: str) -> tuple[int, ...]:
    match = re.fullmatch(r"(\d+)-(\d+)", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise UsageError(f"invalid array {text!r}", 2)
    members = tuple(range(int(match[1]), int(match[2]) + 1))
    if len(members) > wlm.settings.most_members:
        raise UsageError(f"invalid array {text!r}: over {wlm.settings.most_members} members")
    return members


def _number(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"invalid number {text!r}", 2)
    return int(text)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"invalid time {text!r}", 2) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UsageError(f"no script {path}: {error.strerror}") from None
