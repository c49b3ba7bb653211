"""Batch scripts: directives first, then the steps, each inside the wrapper that writes its exit
record. Pure; plain sh, so that it runs wherever a scheduler does.

The wrapper runs its program as a foreground child and catches the signals that schedulers send. A
shell takes a caught signal only when its foreground child has ended (POSIX, "trap"), so the code
in the record is always the program's own, whatever was sent to the whole job.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from smartcore.spec import Step
from smartcore.spec.scheduler import Variables

VERSION = 1
# A script with more text than this gets one file for each member instead: schedulers copy scripts
# about, and limit their size (Slurm's max_script_size is 4 MB).
INLINE_LIMIT = 256_000

# What a job returns that finds another one running the same launch (EX_TEMPFAIL of sysexits.h).
SECOND = 75

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Names that shells keep for themselves, read-only, or with a value of their own: env(1) sets these.
_SHELLS_OWN = re.compile(
    r"_|IFS|ENV|PATH|PWD|OLDPWD|PPID|UID|EUID|GROUPS|SHLVL|SHELLOPTS|OPTIND|OPTARG|OPTERR|LINENO|"
    r"RANDOM|SRANDOM|SECONDS|HISTCMD|DIRSTACK|FUNCNAME|FUNCNEST|HOSTNAME|REPLY|PS[0-9]|"
    r"CDPATH|POSIXLY_CORRECT|EPOCH.*|COMP_.*|BASH.*|LC_.*|LANG|smartcore_.*"
)

_KEEP = """\
smartcore_keep() {{
    for smartcore_name in HUP INT TERM USR1 USR2 XCPU; do
        trap "smartcore_met=$smartcore_name" "$smartcore_name"
    done
    smartcore_met=
    smartcore_facts=$(printf 'version={version}\\njob=%s\\narray=%s\\nrestarts=%s\\nhost=%s' \\
        "${{{job_id}-}}" "{array}" "{restarts}" "{host}")
    # One launch is one job, also if it was submitted twice: the first to come takes the name, and
    # takes it again when it is begun anew.
    set -C
    if {{ printf '%s\\n' "$smartcore_facts" >"$1.begun"; }} 2>/dev/null; then :
    elif [ -s "$1.begun" ] && ! grep -qxF "job=${{{job_id}-}}" "$1.begun"; then
        echo "another job of the same launch has begun; this one does nothing" >&2
        return {second}
    else
        rm -f "$1"
        printf '%s\\n' "$smartcore_facts" >|"$1.begun"
    fi
    set +C
    if [ -e "$1" ]; then rm -f "$1"; fi
    {{ "$2" && smartcore_code=0 || smartcore_code=$?; }} 2>|"$1.part"
    # A shell says on its standard error which signal ended its child; the code alone is no proof,
    # because programs may return 143, too. Shells say nothing of some signals: whether this is one
    # is seen by dying of it.
    smartcore_died=0
    case $((smartcore_code - 128)) in
    -*|0|1[789]|2[01238]|6[5-9]|[789]?|???) ;;
    *)  if [ -s "$1.part" ]; then
            smartcore_died=1
        else
            {{ sh -c "ulimit -c 0; kill -$((smartcore_code - 128)) \\$\\$" || :; }} 2>|"$1.part"
            [ -s "$1.part" ] || smartcore_died=?
        fi ;;
    esac
    printf '%s\\ncode=%s\\ndied=%s\\nmet=%s\\n' "$smartcore_facts" "$smartcore_code" \\
        "$smartcore_died" "$smartcore_met" >|"$1.part"
    sync "$1.part" 2>/dev/null || :
    mv -f "$1.part" "$1"
    return "$smartcore_code"
}}
"""

# Side by side as a pipeline, through which nothing flows: what a shell starts with "&" ignores
# SIGINT, and nothing can be done about that (POSIX, "Signals and Error Handling").
_TOGETHER = """\
trap : HUP INT TERM USR1 USR2 XCPU
{{
    {steps}
}} || :
smartcore_code=0
for smartcore_record in {records}; do
    grep -qx code=0 "$smartcore_record" || smartcore_code=1
done
exit "$smartcore_code"
"""


@dataclass(frozen=True, slots=True)
class Member:
    """One step of a job, and where its exit record goes."""

    step: Step
    record: Path


def keeper(variables: Variables) -> str:
    """The shell function that runs a step and writes its exit record."""
    # Some schedulers set it from the first restart on.
    restarts = f"${{{variables.restarts}-0}}" if variables.restarts else ""
    array = f"${{{variables.array}-}}" if variables.array else ""
    host = f"${{{variables.host}-}}" if variables.host else "$(uname -n)"
    return _KEEP.format(
        version=VERSION,
        job_id=variables.job_id,
        array=array,
        restarts=restarts,
        host=host,
        second=SECOND,
    )


def function(name: str, step: Step) -> str:
    """A shell function that becomes the step's program, in its directory, with its variables."""
    exported = {name: value for name, value in step.command.env.items() if _plain(name)}
    handed = {name: value for name, value in step.command.env.items() if not _plain(name)}
    lines = [f"    cd {_path(step.cwd)} || exit"]
    lines += [f"    export {name}={quote(value)}" for name, value in exported.items()]
    words = [quote(word) for word in step.command.argv]
    if handed:
        # The program is looked up with the PATH that it gets, as everywhere else.
        words = ["/usr/bin/env", *(quote(f"{k}={v}") for k, v in handed.items()), *words]
    lines.append(f"    exec {' '.join(words)}")
    stdin = _path(step.command.stdin or Path("/dev/null"))
    files = f"<{stdin} >|{_path(step.stdout)} 2>|{_path(step.stderr)}"
    return "\n".join([f"{name}() (", *lines, f") {files}", ""])


def script(
    directives: Sequence[str],
    preamble: Sequence[str],
    variables: Variables,
    members: Sequence[Member],
) -> str:
    """The script of a job that runs its steps side by side."""
    head = [*_head(directives, preamble), keeper(variables)]
    if len(members) == 1:
        only = members[0]
        run = f"smartcore_keep {_path(only.record)} smartcore_step\nexit $?\n"
        return "\n".join([*head, function("smartcore_step", only.step), run])
    steps = [f"smartcore_step_{index}" for index in range(len(members))]
    keeping = [
        f"smartcore_keep {_path(member.record)} {step}"
        for step, member in zip(steps, members, strict=True)
    ]
    functions = [function(step, member.step) for step, member in zip(steps, members, strict=True)]
    records = " ".join(_path(member.record) for member in members)
    together = _TOGETHER.format(steps=" |\n    ".join(keeping), records=records)
    return "\n".join([*head, *functions, together])


def array_script(
    directives: Sequence[str],
    preamble: Sequence[str],
    variables: Variables,
    members: Sequence[Member],
    *,
    base: int,
    directory: Path,
) -> tuple[str, dict[Path, str]]:
    """The script of an array, and the files that it reads, one for each member, if it is long.

    :param base: index of the first member
    :param directory: where those files go
    """
    texts = [
        f"smartcore_record={_path(member.record)}\n{function('smartcore_step', member.step)}"
        for member in members
    ]
    head = [*_head(directives, preamble), keeper(variables)]
    tail = 'smartcore_keep "$smartcore_record" smartcore_step\nexit $?\n'
    index = f"${{{variables.index}}}"
    if sum(map(len, texts)) > INLINE_LIMIT:
        files = {directory / f"{base + number}.sh": text for number, text in enumerate(texts)}
        return "\n".join([*head, f'. {_path(directory)}/"{index}".sh', tail]), files
    cases = [f"{base + number})\n{text};;" for number, text in enumerate(texts)]
    unknown = f'*) echo "no member {index} in this array" >&2; exit 2 ;;'
    return "\n".join([*head, f"case {index} in", *cases, unknown, "esac", tail]), {}


def _head(directives: Sequence[str], preamble: Sequence[str]) -> list[str]:
    return ["#!/bin/sh", *directives, "", *preamble]


def _plain(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and _SHELLS_OWN.fullmatch(name) is None


def _path(path: Path) -> str:
    return quote(str(path))
