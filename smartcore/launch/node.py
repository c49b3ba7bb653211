"""Runs the first task of a node, with sidecars that all tasks of the node share.

A program: ``python -I -S node.py SPEC PROGRAM [ARGUMENT...]``. SPEC is a JSON file that
:mod:`smartcore.launch.beside` writes. Only here it is known which node this is and which of its
ports is free, so SPEC has words in the place of both. The program gets the variables of SPEC, by
which it finds the sidecars.

A node's only task is as with :mod:`smartcore.launch.sidecar`. Of several, the first runs this, and
the others the shell script of :mod:`smartcore.launch.beside`, which costs them no Python: they
wait at a named pipe (``PLACE-NODE.go``) until the sidecars serve, read what they find them by from
``PLACE-NODE.env``, say who they are through another one (``PLACE-NODE.come``), and become their
program. The sidecars end when the programs of all of them have ended, whichever is the last.

Two processes share the work for that. This one is the task: it runs the program, and ends as soon
as that fails, because an MPI aborts the other tasks then, which might wait for this one forever.
The host, its child, has the sidecars, and may stay behind.
"""

# Nothing that takes long to import: no pathlib, subprocess, dataclasses.
# ruff: noqa: PTH100, PTH120, PTH123

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import sys
import time
import zlib

if __package__ is None:
    # Run as a program: without any path to what is installed, its own included.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from smartcore.launch.child import (
    FORWARDED,
    SIDECAR_FAILED,
    Failure,
    Interrupted,
    Signals,
    end_as,
    say,
)
from smartcore.launch.filling import filled, write_file
from smartcore.launch.notes import Notes
from smartcore.launch.others import Others, exited
from smartcore.launch.sidecar import Sidecar, Supervisor, supervise

TYPE_CHECKING = False  # `typing` takes long to import
if TYPE_CHECKING:
    from typing import TypedDict

    class Rank(TypedDict):
        """As :class:`smartcore.spec.LocalRank`."""

        rank: str
        count: str
        listed: str

    class Written(TypedDict):
        """A file that is written on the node."""

        path: str
        text: str

    class Spec(TypedDict):
        """What the driver wrote.

        ``place`` begins the paths of what the tasks of one node share. ``patience`` are the
        seconds that another task may come later than the first. ``ports`` are the lowest and the
        highest to choose from, ``host`` is where; empty if no port is to be chosen. ``notes`` is
        the directory of :mod:`smartcore.launch.notes`.
        """

        version: int
        grace: float
        node_variable: str
        local_ranks: list[Rank]
        place: str
        patience: float
        host: str
        ports: tuple[int, int]
        env: dict[str, str]
        files: list[Written]
        notes: str
        sidecars: list[dict[str, object]]


VERSION = 2
# Stands for the node's name in paths.
NODE_WORD = "smartcore-node-name"
# The same in paths of sockets, which must be short. What takes its place is as long.
KEY_WORD = "-n0de1d-"
# Stands for a port: none is so large, and nothing else in a configuration is.
PORT_WORD = 731_904_000_000_000

_SERVES = b"s"
_OTHERS_GO_ON = b"o"


# -- what is known on the node only ---------------------------------------------------------------


def key_of(node: str) -> str:
    """A short name for a node, as long as the word that it takes the place of."""
    return f"{zlib.crc32(node.encode()):08x}"


def local_size(ranks: list[Rank], environment: dict[str, str]) -> int:
    """How many tasks the node has; one if nobody says."""
    for rank in ranks:
        if rank["rank"] in environment:
            if rank["count"]:
                return int(environment[rank["count"]])
            return environment[rank["listed"]].count(",") + 1
    return 1


def held_port(host: str, ports: tuple[int, int]) -> socket.socket:
    """A free port, kept from others until it is closed.

    :raises Failure: there is none
    """
    lowest, highest = ports
    begin = random.randrange(lowest, highest)
    for port in (*range(begin, highest), *range(lowest, begin)):
        # Bound, without listening and without SO_REUSEADDR: nobody else can have it.
        holder = socket.socket()
        try:
            holder.bind((host, port))
        except OSError:
            holder.close()
        else:
            return holder
    raise Failure(f"no free port between {lowest} and {highest} of {host}")


def load(path: str) -> tuple[Spec, str, socket.socket | None]:
    """Read what to start, with the words filled in; the node's name, and the port that is kept.

    :raises Failure: it is of another version, or there is no free port
    """
    with open(path, encoding="utf-8") as file:
        text = file.read()
    raw: Spec = json.loads(text)
    if raw["version"] != VERSION:
        raise Failure(f"{path} has version {raw['version']}, and {VERSION} is what is understood")
    node = os.environ.get(raw["node_variable"] or "-") or os.uname().nodename
    holder = held_port(raw["host"], raw["ports"]) if raw["host"] else None
    words = {NODE_WORD: node, KEY_WORD: key_of(node)}
    if holder is not None:
        words[str(PORT_WORD)] = str(holder.getsockname()[1])
    # Names of nodes and numbers: nothing that has another form in JSON.
    spec: Spec = json.loads(filled(text, words))
    return spec, node, holder


# -- the host, which has the sidecars -------------------------------------------------------------


def host(spec: Spec, node: str, count: int, told: int, life: int) -> None:
    """Run the sidecars until the programs of all tasks have ended.

    :param count: how many tasks there are besides the first
    :param told: pipe on which the first one hears how it goes
    :param life: pipe that is closed when the program of the first one has ended
    """
    signals = Signals()
    _let_loose(0, 1)
    supervisor = _supervisor(spec, node, signals)
    place, others = place_on(spec, node), None
    try:
        others = Others(place, count, signals)
        signals.also(life)
        try:
            supervisor.start_sidecars()
        except BaseException:
            others.refuse()
            raise
        others.let_go(spec["env"])
        os.write(told, _SERVES)
        _attend(supervisor, others, signals, spec["patience"], told, life)
    except Failure as failure:
        say(str(failure))
    except OSError as error:
        say(f"{error.filename or place}: {error.strerror}")
    except Interrupted:
        pass  # the first task, which got the signal, too, says so by its end
    finally:
        supervisor.end_sidecars()
        if others is not None:
            others.remove()


def _attend(
    supervisor: Supervisor, others: Others, signals: Signals, patience: float, told: int, life: int
) -> None:
    first, said, end = True, False, 0.0
    while first or others.some:
        # Signals are for the programs, which have got them themselves.
        came = signals.wait(end - time.monotonic() if others.missing and not first else None)
        supervisor.heed(came)
        supervisor.watch()
        others.look()
        if first and exited(life):
            first = False
            signals.no_longer(life)
            end = time.monotonic() + patience
        if not first and not said and others.some:
            said = True
            _let_loose(2)
            with contextlib.suppress(BrokenPipeError):  # it was killed
                os.write(told, _OTHERS_GO_ON)
        if not first and others.missing and time.monotonic() > end:
            say(f"a task of this node did not come within {patience:g} s; going on without it")
            return


def _let_loose(*descriptors: int) -> None:
    # Who reads the output of the first task waits until nobody has it any more.
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)


# -- the first task -------------------------------------------------------------------------------


def lead(spec: Spec, node: str, count: int, argv: list[str]) -> int:
    """Run the program of the first task, with a host beside it.

    :param count: how many tasks there are besides it
    :returns: as :func:`smartcore.launch.child.returncode`
    """
    told, tell = os.pipe()
    life, alive = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(told)
        os.close(alive)
        try:
            host(spec, node, count, tell, life)
        except Exception:  # noqa: BLE001 -- never back into what the first task does
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(0)
    os.close(tell)
    os.close(life)
    signals = Signals()
    signals.also(told)
    code = _run_when_served(spec, signals, told, pid, argv)
    os.close(alive)
    word = _SERVES
    while code and word == _SERVES:
        word = os.read(told, 1)
    if word != _OTHERS_GO_ON:
        os.waitpid(pid, 0)
    return code


def _run_when_served(spec: Spec, signals: Signals, told: int, pid: int, argv: list[str]) -> int:
    while not exited(told):
        for number in signals.wait(None):
            if number in FORWARDED:
                os.kill(pid, number)
                return -number
    if os.read(told, 1) != _SERVES:
        return SIDECAR_FAILED  # it has said why
    signals.no_longer(told)
    try:
        return Supervisor([], spec["grace"], signals).run(argv)
    except Failure as failure:
        say(str(failure))
        return failure.code


def _supervisor(spec: Spec, node: str, signals: Signals) -> Supervisor:
    sidecars = [Sidecar(**item) for item in spec["sidecars"]]  # type: ignore[arg-type]  # our own
    for each in sidecars:
        # What the run command has bound this task to is for its program.
        each.cpus = each.cpus or list(range(os.sysconf("SC_NPROCESSORS_CONF")))
    return Supervisor(sidecars, spec["grace"], signals, Notes(spec["notes"], node))


def place_on(spec: Spec, node: str) -> str:
    """What begins the paths of what the tasks of a node share."""
    return f"{spec['place']}-{node}"


def main(arguments: list[str]) -> int:
    """Run; return the exit code."""
    if len(arguments) < 2:
        say("usage: node.py SPEC PROGRAM [ARGUMENT...]")
        return SIDECAR_FAILED
    try:
        spec, node, holder = load(arguments[0])
        count = local_size(spec["local_ranks"], dict(os.environ))
        for file in spec["files"]:
            write_file(file["path"], file["text"])
    except (OSError, ValueError, KeyError, TypeError, Failure) as error:
        say(f"cannot use {arguments[0]}: {error}")
        return SIDECAR_FAILED
    os.environ.update(spec["env"])
    if holder is not None:
        holder.close()
    if count > 1:
        return end_as(lead(spec, node, count - 1, arguments[1:]))
    return end_as(supervise(_supervisor(spec, node, Signals()), arguments[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
