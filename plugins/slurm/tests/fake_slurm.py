"""Slurm's programs in front of the fake workload manager: what they take and print is spelled as
Slurm 22.05 does, and whatever smartcore does not use is refused.

Run as ``python -I -S``; imports the standard library and the fake's client only.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smartcore.testing.fakewlm.client import ask
else:
    from fakewlm.client import ask

_OPTIONS = {
    "sbatch": "parsable job-name output open-mode chdir export nodes ntasks time array comment"
    " partition account no-requeue",
    "squeue": "clusters me all noheader states Format",
    "sacct": "clusters noheader parsable2 allocations format jobs",
    "scancel": "clusters",
}
_STATES = {"ENDING": "COMPLETING", "DONE": "COMPLETED"}
# What a job is told by Slurm, in terms of what it is told by the fake.
_VARIABLES = """\
unset SLURM_RESTART_COUNT
export SLURM_JOB_ID="$FAKE_JOB_ID" SLURMD_NODENAME="$FAKE_NODE"
if [ "$FAKE_RESTART_COUNT" != 0 ]; then export SLURM_RESTART_COUNT="$FAKE_RESTART_COUNT"; fi
if [ -n "${FAKE_ARRAY_INDEX-}" ]; then
    export SLURM_ARRAY_JOB_ID="${FAKE_JOB_ID%_*}" SLURM_ARRAY_TASK_ID="$FAKE_ARRAY_INDEX"
    SLURM_JOB_ID="9${FAKE_JOB_ID%_*}$FAKE_ARRAY_INDEX"
fi
"""
Reply = tuple[int, str, str]
Options = dict[str, str]


def main(directory: str, program: str) -> None:
    """Run one program.

    :param directory: of the fake manager
    """

    def manager(name: str, *argv: str, stdin: str = "") -> Reply:
        question: dict[str, object] = {
            "program": name,
            "argv": list(argv),
            "env": dict(os.environ),
            "cwd": str(Path.cwd()),
            "stdin": stdin,
        }
        answer = ask(directory, question)
        time.sleep(float(str(answer["seconds"])))
        return int(str(answer["rc"])), str(answer["out"]), str(answer["err"])

    options, words = _parsed(program, sys.argv[1:])
    code, out, err = _PROGRAMS[program](manager, options, words)
    sys.stdout.buffer.write(out.encode("latin-1", "replace"))
    sys.stderr.write(err)
    sys.stdout.flush()
    sys.exit(code)


def _parsed(program: str, argv: Sequence[str]) -> tuple[Options, list[str]]:
    options: Options = {}
    words = []
    for word in argv:
        if not word.startswith("-"):
            words.append(word)
            continue
        name, _, value = word.removeprefix("--").partition("=")
        if name not in _OPTIONS[program].split():
            sys.stderr.write(f"{program}: unrecognized option '{word}'\n")
            sys.exit(255)
        options[name] = value
    return options, words


Manager = Callable[..., Reply]


def _sbatch(manager: Manager, options: Options, words: Sequence[str]) -> Reply:
    script = Path(words[-1]).read_text(encoding="utf-8", errors="surrogateescape")
    _check_directives(script, options)
    shebang, _, rest = script.partition("\n")
    names = {"job-name": "name", "output": "log", "partition": "queue"}
    argv = ["--parsable"]
    for name in ("job-name", "comment", "output", "chdir", "array", "partition", "nodes"):
        if name in options:
            argv.append(f"--{names.get(name, name)}={options[name].replace('%%', '%')}")
    if "no-requeue" in options:
        argv.append("--no-requeue")
    if "time" in options:
        hours, minutes, seconds = map(int, options["time"].split(":"))
        argv.append(f"--time={hours * 3600 + minutes * 60 + seconds}")
    code, out, err = manager("fsub", *argv, "-", stdin=f"{shebang}\n{_VARIABLES}{rest}")
    return code, out, _submit_error(err)


def _check_directives(script: str, options: Options) -> None:
    lines = [line for line in script.splitlines() if line.startswith("#SBATCH ")]
    words = [word for line in lines for word in directive(line)]
    said = [f"--{name}={value}" for name, value in options.items()]
    if sorted(words) != sorted(word.removesuffix("=") for word in said if word != "--parsable="):
        sys.stderr.write(f"sbatch: error: Invalid directive found in batch script: {words}\n")
        sys.exit(1)


def directive(line: str) -> list[str]:
    """The words of a ``#SBATCH`` line: sbatch takes backslashes away inside of any quotes."""
    lexer = shlex.shlex(line.removeprefix("#SBATCH"), posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.escapedquotes = True, "", "\"'"
    return list(lexer)


def _submit_error(err: str) -> str:
    if not err:
        return ""
    text = err.strip().removeprefix("fsub: error: ")
    first = ""
    if text.startswith("invalid queue"):
        first = f"sbatch: error: invalid partition specified: {text.split()[-1]}\n"
        text = "Invalid partition name specified"
    elif "job limit of" in text:
        first = "sbatch: error: QOSMaxSubmitJobPerUserLimit\n"
        text = (
            "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
        )
    return f"{first}sbatch: error: Batch job submission failed: {text}\n"


def _squeue(manager: Manager, options: Options, words: Sequence[str]) -> Reply:
    wanted = {"me": "", "all": "", "noheader": "", "states": "all"}
    if words or any(options.get(name) != value for name, value in wanted.items()):
        return 1, "", "squeue: error: not as smartcore asks\n"
    if any(name.startswith("SQUEUE_") for name in os.environ):
        return 0, "", ""  # filtered away
    code, out, err = manager("fstat", "--json", *_cluster(options))
    if code:
        return 1, out, f"slurm_load_jobs error: {err.removeprefix('fstat: error: ')}"
    columns = [column.removesuffix(":|") for column in options["Format"].split(",")]
    return 0, _table(out, columns, "|"), ""


def _sacct(manager: Manager, options: Options, words: Sequence[str]) -> Reply:
    if words or not {"noheader", "parsable2", "allocations", "jobs"} <= options.keys():
        return 1, "", "sacct: error: not as smartcore asks\n"
    code, out, err = manager("facct", "--json", *_cluster(options), f"--jobs={options['jobs']}")
    if "disabled" in err:
        return 1, "", "Slurm accounting storage is disabled\n"
    if code:
        return 1, out, err.replace("facct: error: ", "sacct: error: ")
    return 0, _table(out, options["format"].split(","), ""), ""


def _scancel(manager: Manager, options: Options, words: Sequence[str]) -> Reply:
    code, out, err = manager("fdel", *_cluster(options), *words)
    if not code or "no job" in err:
        return 0, out, ""  # silent about jobs that it does not know
    return 1, out, err.replace("fdel: error: ", "scancel: error: Kill job error: ")


_PROGRAMS: dict[str, Callable[[Manager, Options, Sequence[str]], Reply]] = {
    "sbatch": _sbatch,
    "squeue": _squeue,
    "sacct": _sacct,
    "scancel": _scancel,
}


def _cluster(options: Options) -> tuple[str, ...]:
    return (f"--cluster={options['clusters']}",) if "clusters" in options else ()


def _table(out: str, columns: Sequence[str], end: str) -> str:
    return "".join(f"{_row(line, columns, end)}\n" for line in out.splitlines())


def _row(line: str, columns: Sequence[str], end: str) -> str:
    try:
        row = json.loads(line)
    except ValueError:
        return line
    if not isinstance(row, dict):
        return line
    code, signal = int(row.get("code") or 0), int(row.get("signal") or 0)
    elapsed = int(row.get("elapsed") or 0)
    name = str(row["id"])
    if os.environ.get("SLURM_BITSTR_LEN") != "0":
        name = re.sub(r"_\[.{5,}\]", "_[0-...]", name)
    state = _STATES.get(str(row["state"]), str(row["state"]))
    values = {
        "JobArrayID": name,
        "JobID": name,
        "ArrayJobID": name.partition("_")[0],
        "State": state,
        "exit_code": str(code << 8 | signal),
        "ExitCode": f"{code}:{signal}",
        "RestartCnt": str(row.get("restarts", 0)),
        "TimeUsed": f"{elapsed // 60}:{elapsed % 60:02d}",
        "ElapsedRaw": str(elapsed),
        "BatchHost": row.get("host") or "n/a",
        "NodeList": row.get("host") or "None assigned",
        "Reason": row.get("reason") or "None",
        "Cluster": row.get("cluster") or "N/A",
        "Name": row.get("name", ""),
        "Comment": row.get("comment") or "(null)",
    }
    return "|".join(str(values[column]) for column in columns) + end
