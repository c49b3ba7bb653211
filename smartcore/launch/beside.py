"""What is put in front of a program, so that sidecars live next to it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from smartcore.launch import node, sidecar
from smartcore.launch.asking import question_of
from smartcore.launch.child import SIDECAR_FAILED
from smartcore.spec import Command, File, Inspection, LocalRank, Ready, Sidecar
from smartcore.spec.addresses import HIGHEST_PORT, LOWEST_PORT

if TYPE_CHECKING:
    from smartcore.launch.node import Spec

GRACE = timedelta(seconds=5)
# So much later than the first task of a node another one may start.
PATIENCE = timedelta(seconds=60)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# What the tasks of a node run. The variables are those that run commands declare; all that users
# say is in the arguments. dd reads one byte, and so leaves to the other tasks what is theirs.
# Shells set none of these variables for the program, for they are not exported.
_TASKS = """\
# written by smartcore at each start: what each task runs, so that one of a node starts its sidecars
smartcore_python=$1 smartcore_node=$2 smartcore_spec=$3 smartcore_place=$4 smartcore_limit=$5
shift 5
case {rank} in
0)  exec "$smartcore_python" -I -S "$smartcore_node" "$smartcore_spec" "$@" ;;
'') {unknown} ;;
esac
mkdir -p -m 700 "${{smartcore_place%/*}}" 2>/dev/null
if [ ! -O "${{smartcore_place%/*}}" ] || [ -L "${{smartcore_place%/*}}" ]; then
    echo "smartcore: ${{smartcore_place%/*}} on $(uname -n) is not this user's own" >&2
    exit {failed}
fi
smartcore_place=$smartcore_place-{name}
[ -p "$smartcore_place.go" ] || mkfifo -m 600 "$smartcore_place.go" 2>/dev/null
smartcore_word=$(timeout --foreground "$smartcore_limit" \\
    dd bs=1 count=1 if="$smartcore_place.go" 2>/dev/null)
if [ "$smartcore_word" = g ]; then
    . "$smartcore_place.env"
    if [ -p "$smartcore_place.come" ]; then echo "$$" 1<>"$smartcore_place.come"; fi
    exec "$@"
fi
if [ -p "$smartcore_place.come" ]; then echo "$$" 1<>"$smartcore_place.come"; fi
# "n" is a refusal, whose reason the first task has told.
if [ "$smartcore_word" != n ]; then
    echo "smartcore: the first task of this node, or what it runs besides, is gone" >&2
fi
exit {failed}
"""
_ALONE = 'exec "$smartcore_python" -I -S "$smartcore_node" "$smartcore_spec" "$@"'
_UNKNOWN = (
    'echo "smartcore: no variable tells which of its node\'s tasks this is ({names})" >&2;'
    f" exit {SIDECAR_FAILED}"
)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where a program runs, if not as one process of this host.

    :param runtime: a directory of mode 0700 on each node, made there
    :param node_variable: by which a program learns its node's name; empty if ``uname`` tells it
    :param local_ranks: by which it learns its place among the tasks of its node
    :param alone: each node has one task, as far as it is known
    :param several: there may be several nodes
    """

    runtime: Path
    node_variable: str = ""
    local_ranks: tuple[LocalRank, ...] = ()
    alone: bool = True
    several: bool = False


@dataclass(frozen=True, slots=True)
class Beside:
    """What is put in front of a command, so that sidecars live next to its program.

    :param argv: runs the command that follows it
    :param env: variables by which the program finds the sidecars
    :param files: what must be written first, secrets included
    :param by_shell: a shell is in between, which may lose variables that it could not have set
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    files: tuple[File, ...]
    by_shell: bool = False

    def around(self, command: Command) -> Command:
        """The same command with its sidecars."""
        # dash(1) drops variables whose names it could not have set.
        odd = [f"{k}={v}" for k, v in command.env.items() if not _NAME.fullmatch(k)]
        words = ("/usr/bin/env", *odd) if odd and self.by_shell else ()
        return replace(
            command,
            argv=(*self.argv, *words, *command.argv),
            env={**command.env, **self.env},
            files=(*command.files, *self.files),
        )


def beside(
    sidecars: Sequence[Sidecar],
    spec: Path,
    cwd: Path,
    *,
    notes: Path | None = None,
    grace: timedelta = GRACE,
) -> Beside:
    """What runs a command of this host with sidecars: :mod:`smartcore.launch.sidecar`.

    Passwords go into the file ``spec`` (mode 0600), and never onto the command line.

    :param cwd: the directory that sidecars run in
    :param notes: the directory in which they tell where they are; None for nowhere
    :param grace: how long they have between TERM and KILL
    """
    files = [file for item in sidecars for file in item.command.files]
    files.append(File(spec, spec_text(sidecars, cwd, grace, notes)))
    # -I -S: neither the user's site-packages nor PYTHON variables, which are the application's.
    start = (sys.executable, "-I", "-S", sidecar.__file__, str(spec))
    return Beside(start, _environment(sidecars), tuple(files))


def beside_on_nodes(
    sidecars: Sequence[Sidecar],
    spec: Path,
    cwd: Path,
    where: Elsewhere,
    *,
    port_of: str = "",
    notes: Path | None = None,
    grace: timedelta = GRACE,
) -> Beside:
    """What runs a command with sidecars on each of its nodes: :mod:`smartcore.launch.node`.

    In all of it, words may stand for the node's name and for a free port of its.

    :param port_of: the address of which a port is to be found; empty if none is
    """
    start = (sys.executable, "-I", "-S", node.__file__, str(spec))
    place = place_of(where.runtime, spec)
    content: Spec = {
        "version": node.VERSION,
        "grace": grace.total_seconds(),
        "node_variable": where.node_variable,
        "local_ranks": [
            {"rank": each.rank, "count": each.count, "listed": each.listed}
            for each in where.local_ranks
        ],
        "place": place,
        "patience": PATIENCE.total_seconds(),
        "host": port_of,
        "ports": (LOWEST_PORT, HIGHEST_PORT),
        "env": _environment(sidecars),
        "files": [
            {"path": str(file.path), "text": file.text}
            for item in sidecars
            for file in item.command.files
        ],
        "notes": str(notes or ""),
        "sidecars": [_described(item, cwd) for item in sidecars],
    }
    shown = {name: told(value) for name, value in content["env"].items()}
    files = (File(spec, json.dumps(content, indent=1) + "\n"),)
    if not where.local_ranks:
        return Beside(start, shown, files)
    script = spec.with_suffix(".tasks.sh")
    limit = PATIENCE + sum((item.ready.timeout for item in sidecars), timedelta())
    seconds = str(int(limit.total_seconds()))
    argv = ("/bin/sh", str(script), start[0], start[3], str(spec), place, seconds)
    return Beside(argv, shown, (*files, File(script, tasks_script(where))), by_shell=True)


def place_of(runtime: Path, spec: Path) -> str:
    """What the paths of files begin with that the tasks of one node share."""
    return str(runtime / hashlib.sha256(os.fsencode(spec)).hexdigest()[:24])


def tasks_script(where: Elsewhere) -> str:
    """The shell script that each task runs in front of its program."""
    rank = ""
    for each in reversed(where.local_ranks):
        rank = f"${{{each.rank}-{rank}}}"
    name = "$(uname -n)"
    if where.node_variable:
        name = f"${{{where.node_variable}:-{name}}}"
    names = ", ".join(each.rank for each in where.local_ranks)
    unknown = _ALONE if where.alone else _UNKNOWN.format(names=names)
    return _TASKS.format(rank=rank, unknown=unknown, name=name, failed=SIDECAR_FAILED)


def told(text: str) -> str:
    """A text with words in it, for people."""
    text = text.replace(str(node.PORT_WORD), "<a free port of its node>")
    return text.replace(node.KEY_WORD, "<node>").replace(node.NODE_WORD, "<node>")


def _environment(sidecars: Sequence[Sidecar]) -> dict[str, str]:
    env: dict[str, str] = {}
    for item in sidecars:
        env |= item.env
    return env


def spec_text(
    sidecars: Sequence[Sidecar], cwd: Path, grace: timedelta, notes: Path | None = None
) -> str:
    """What :mod:`smartcore.launch.sidecar` reads."""
    content = {
        "version": sidecar.VERSION,
        "grace": grace.total_seconds(),
        "notes": str(notes or ""),
        "sidecars": [_described(item, cwd) for item in sidecars],
    }
    return json.dumps(content, indent=1) + "\n"


def _described(item: Sidecar, cwd: Path) -> dict[str, object]:
    return {
        "name": item.name,
        "argv": list(item.command.argv),
        "env": dict(item.command.env),
        "cwd": str(cwd),
        "log": str(item.log),
        "cpus": list(item.cpus),
        "ready": _ready(item.ready),
        "facts": dict(item.facts),
        "inspection": _inspection(item.inspection) if item.inspection is not None else None,
    }


def _inspection(wanted: Inspection) -> dict[str, object]:
    return {
        "question": _ready(wanted.question),
        "judge": list(wanted.judge),
        "about": wanted.about,
    }


def _ready(ready: Ready) -> dict[str, object]:
    return {
        "host": ready.host,
        "port": ready.port,
        "socket": ready.socket,
        **question_of(ready),
        "timeout": ready.timeout.total_seconds(),
    }
