"""Runs one shard of a database on the node that it was placed on.

A program: ``python -I -S shard.py SPEC [NODE]``, with the standard library only. SPEC is a JSON
file that :mod:`smartcore.database.nodes` writes; NODE is the node's name, if it is known already.
Where one command starts all shards, SPEC names the files of all, and each task takes that of its
rank.

Only here it is known where the server can listen. So the shard finds its address, chooses a port
and writes both to the meeting directory, which all nodes share. With several shards it reads there
where the others are. Then it writes the server's configuration, starts it, and writes a second file
when it serves. That file is what the driver waits for.

It exits with the server's code, or dies by the signal that the server died by. Signals that it gets
it passes on; if it is killed, the kernel kills the server. Of a server that does not come to serve,
it says why on standard error; the exit code is the server's, or 125.
"""

# Nothing that takes long to import: no pathlib, subprocess, dataclasses.
# ruff: noqa: PTH100, PTH116, PTH120, PTH123

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import time
from collections.abc import Iterator

if __package__ is None:
    # Run as a program: without any path to what is installed, its own included.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from smartcore.launch.asking import Ready, ask
from smartcore.launch.child import (
    ENDING,
    FORWARDED,
    SIDECAR_FAILED,
    Failure,
    Interrupted,
    Signals,
    describe,
    end_as,
    returncode,
    say,
    spawn,
    tail,
)
from smartcore.launch.death import tell_death
from smartcore.launch.filling import filled, write_file
from smartcore.launch.listening import Listening
from smartcore.launch.meeting import Participant

VERSION = 3
ATTEMPTS = 5
_FIRST_ASK = 0.001
_LONGEST_ASK = 0.05
# Run commands say more behind it, and of that only so much is shown.
_FEW = 3


TYPE_CHECKING = False  # `typing` takes long to import
if TYPE_CHECKING:
    from typing import NotRequired, TypedDict

    from smartcore.launch.asking import Question
    from smartcore.launch.death import Death
    from smartcore.launch.meeting import Found

    class Words(TypedDict):
        """A shard's name, and the words that stand for its address and each of its ports."""

        name: str
        host: str
        ports: list[str]

    class Spec(TypedDict):
        """What the driver wrote.

        ``step`` is the tag of the step that the shard is, or is a part of; ``index`` is the shard's
        place in ``shards``. ``port`` is 0 for a free one between the two
        of ``ports``, and with it those at ``offsets`` above it are taken. ``further`` are the words
        for this shard's addresses after the first. ``addresses`` are those at which a shard has to
        come back. ``timeout`` are the seconds that the server may take, ``patience`` those that
        other shards may take to come. ``inquiry`` is what to ask when it serves, if there is
        something to send; the driver gets the answer.
        """

        version: int
        tag: str
        step: str
        index: int
        shards: list[Words]
        further: list[str]
        interfaces: list[str]
        addresses: NotRequired[list[str]]
        node_variable: str
        port: int
        ports: tuple[int, int]
        offsets: list[int]
        meeting: str
        argv: list[str]
        files: dict[str, str]
        cwd: str
        output: str
        ready: Question
        inquiry: Question
        timeout: float
        patience: float
        grace: float

    class Roll(TypedDict):
        """The files of all shards, by rank, and the variables that may tell it."""

        version: int
        rank_variables: list[str]
        specs: list[str]


class Shard:
    """One shard: where it listens, and its server.

    :param node: the node's name; empty if nobody said
    """

    def __init__(self, spec: Spec, node: str, signals: Signals) -> None:
        self.spec = spec
        self.name = spec["shards"][spec["index"]]["name"]
        self.node = node or os.environ.get(spec["node_variable"] or "-", "") or os.uname().nodename
        names = [shard["name"] for shard in spec["shards"]]
        self.others = Participant(spec["meeting"], names, spec["index"], spec["tag"])
        self._listening = Listening(spec, self.name, self.node)
        self._signals = signals
        self._pid = 0
        self._status: int | None = None
        self._seen = 0

    @property
    def addresses(self) -> list[str]:
        """Where it listens, when that was found."""
        return self._listening.addresses

    # -- the others -----------------------------------------------------------------------------

    def publish(self, kind: str, port: int, answer: bytes = b"") -> None:
        """Tell who waits in the meeting directory where this one is.

        :param kind: ``here``, or ``ready`` when it serves
        :param answer: of the server, without secrets
        """
        found: Found = {
            "tag": self.spec["tag"],
            "node": self.node,
            "addresses": self.addresses,
            "port": port,
            "answer": answer.decode("latin-1"),
        }
        self.others.tell(kind, found)

    def take_port(self) -> None:
        """Of a port that was asked for, shards of one node take that and those after it.

        :raises Failure: one shard did not come
        :raises Interrupted: we are to end
        """
        if self.spec["port"] and len(self.spec["shards"]) > 1:
            self.publish("placed", 0)
            before = self._meet("placed")[: self.spec["index"]]
            self.spec["port"] += [where["node"] for where in before].count(self.node)

    def _meet(self, kind: str) -> list[Found]:
        return self.others.meet(kind, self.spec["patience"], self._pause)

    def _reachable(self, found: list[Found]) -> list[Found]:
        for name, where in zip(self.others.names, found, strict=True):
            if where["node"] != self.node and where["addresses"][0] == self.addresses[0]:
                raise Failure(
                    f"{self.name} on {self.node} and {name} on {where['node']} both listen at"
                    f" {self.addresses[0]}, so that none reaches the other; give the database"
                    " another interface"
                )
        return found

    # -- the server -----------------------------------------------------------------------------

    def run(self) -> int:
        """Run the server to its end.

        :returns: its exit code, or minus the number of the signal that it died by
        :raises Failure: it does not come to serve
        :raises Interrupted: we are to end
        """
        self._listening.find_addresses()
        self.take_port()
        for attempt in range(1, ATTEMPTS + 1):
            port = self._listening.choose_port()
            self.publish("here", port)
            self._start(self._reachable(self._meet("here")))
            again = attempt < ATTEMPTS and not self.spec["port"]
            if self._answer(port, self.spec["ready"], again=again) is not None:
                self.publish("ready", port, self._inquire(port))
                return self._wait()
        raise AssertionError("unreachable")

    def _start(self, found: list[Found]) -> None:
        words = dict(replacements(self.spec, found))
        for path, text in self.spec["files"].items():
            write_file(path, filled(text, words))
        self._seen = _size(self.spec["output"])
        self._listening.release()
        argv = [filled(word, words) for word in self.spec["argv"]]
        try:
            self._pid, self._status = spawn(argv, dict(os.environ), self._prepare), None
        except OSError as error:
            raise Failure(f"{self.name}: {error.filename}: {error.strerror}") from None

    def _prepare(self) -> None:
        os.umask(0o077)  # its data are for their owner only
        os.chdir(self.spec["cwd"])
        null = os.open(os.devnull, os.O_RDONLY)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        # Not ours: it may be a pipe to a run command on another node.
        output = os.open(self.spec["output"], flags, 0o600)
        for source, target in ((null, 0), (output, 1), (output, 2)):
            os.dup2(source, target)

    def _inquire(self, port: int) -> bytes:
        question = self.spec["inquiry"]
        return (self._answer(port, question) or b"") if question["send"] else b""

    def _answer(self, port: int, question: Question, *, again: bool = False) -> bytes | None:
        """What it answers, as soon as it does; None if somebody was quicker at the port."""
        ready = Ready(self.addresses[0], port, "", timeout=self.spec["timeout"], **question)
        end = time.monotonic() + ready.timeout
        pause = _FIRST_ASK
        while (answer := ask(ready)) is None:
            self._pause(pause)
            if self._ended():
                if again and os.strerror(errno.EADDRINUSE) in self._said():
                    return None
                raise Failure(
                    f"{self.name} {describe(self._status or 0)} before it served{self._shown()}",
                    self._status or SIDECAR_FAILED,
                )
            if time.monotonic() > end:
                raise Failure(
                    f"{self.name} did not serve at {ready} on {self.node} within"
                    f" {ready.timeout:g} s{self._shown()}"
                )
            pause = min(2 * pause, _LONGEST_ASK)
        return answer

    def _ended(self) -> bool:
        if self._pid and self._status is None:
            ended, status = os.waitpid(self._pid, os.WNOHANG)
            if ended:
                self._status = returncode(status)
        return self._status is not None

    def _pause(self, seconds: float) -> None:
        for number in self._signals.wait(seconds):
            if number in FORWARDED:
                raise Interrupted(number)

    def _wait(self) -> int:
        told = False
        while not self._ended():
            for number in self._signals.wait(None):
                if number in FORWARDED:
                    # It may have got the signal itself, and have ended already.
                    told = told or number in ENDING
                    if not self._ended():
                        os.kill(self._pid, number)
        status = self._status or 0
        if not told:
            # With code 0 it ended as it was told to, but not from here: who asked it knows.
            if status:
                say(f"{self.name} on {self.node} {describe(status)}{self._shown(_FEW)}")
            self._tell_death(status)
        return status

    def _tell_death(self, status: int) -> None:
        death: Death = {
            "tag": self.spec["step"],
            "name": self.name,
            "node": self.node,
            "returncode": status,
            "output": self.spec["output"],
        }
        # On a full disk the driver hears of it from the launcher only.
        with contextlib.suppress(OSError):
            tell_death(self.spec["cwd"], self.spec["index"], death)

    def end_server(self) -> None:
        """TERM, and KILL after the grace period; return when it has gone."""
        for number, seconds in ((signal.SIGTERM, self.spec["grace"]), (signal.SIGKILL, 5.0)):
            if not self._pid or self._ended():
                return
            os.kill(self._pid, number)
            end = time.monotonic() + seconds
            while not self._ended() and time.monotonic() < end:
                self._signals.wait(end - time.monotonic())

    def _said(self) -> str:
        with contextlib.suppress(OSError), open(self.spec["output"], "rb") as file:
            file.seek(self._seen)
            return file.read(65536).decode(errors="replace")
        return ""

    def _shown(self, most: int = 0) -> str:
        output = self.spec["output"]
        lines = tail(output).splitlines()[-most:]
        shown = "\n".join(filter(None, lines))
        return f"; {output} ends with:\n{shown}" if shown else f"; {output} is empty"


# -- the words that stand for addresses -----------------------------------------------------------


def replacements(spec: Spec, found: list[Found]) -> Iterator[tuple[str, str]]:
    """What each word stands for, when it is known where all shards are."""
    for shard, where in zip(spec["shards"], found, strict=True):
        yield shard["host"], where["addresses"][0]
        for offset, word in zip(spec["offsets"], shard["ports"], strict=True):
            yield word, str(where["port"] + offset)
    further = found[spec["index"]]["addresses"][1:]
    for index, word in enumerate(spec["further"]):
        yield word, further[index] if index < len(further) else ""


# -- files ----------------------------------------------------------------------------------------


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def load(path: str) -> Spec:
    """Read what the driver wrote; of all shards, what it wrote for that of our rank.

    :raises Failure: it is of another version, or our rank is not known
    """
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    version = content["version"]
    if version != VERSION:
        raise Failure(f"{path} has version {version}, and {VERSION} is what is understood")
    if "specs" in content:
        roll: Roll = content
        return load(roll["specs"][rank_of(roll)])
    spec: Spec = content
    return spec


def rank_of(roll: Roll) -> int:
    """Our rank among all shards.

    :raises Failure: nobody told it, or there are not so many shards
    """
    names = roll["rank_variables"]
    rank = next((os.environ[name] for name in names if os.environ.get(name)), "")
    if not rank.isdecimal() or int(rank) >= len(roll["specs"]):
        raise Failure(
            f"of {len(roll['specs'])} shards this is number {rank or 'unknown'}, as"
            f" {' or '.join(names)} told; start each with a command of its own (single_cmd=False)"
        )
    return int(rank)


def main(arguments: list[str]) -> int:
    """Run; return the exit code."""
    if len(arguments) not in {1, 2}:
        say("usage: shard.py SPEC [NODE]")
        return SIDECAR_FAILED
    signals = Signals()
    try:
        shard = Shard(load(arguments[0]), "".join(arguments[1:]), signals)
    except (OSError, ValueError, KeyError, TypeError, Failure) as error:
        say(f"cannot use {arguments[0]}: {error}")
        return SIDECAR_FAILED
    try:
        code = shard.run()
    except Failure as failure:
        say(str(failure))
        code = failure.code
    except OSError as error:
        say(f"{shard.name} on {shard.node}: {error.filename}: {error.strerror}")
        code = SIDECAR_FAILED
    except Interrupted as interrupted:
        code = -interrupted.number
    finally:
        shard.end_server()
        shard.others.leave()
    return end_as(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
