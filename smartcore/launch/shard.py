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
# ruff: noqa: PTH100, PTH103, PTH104, PTH106, PTH108, PTH116, PTH118, PTH119, PTH120, PTH123

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import random
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator

if __package__ is None:
    # Run as a program: without any path to what is installed, its own included.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from smartcore.launch.sidecar import (
    FORWARDED,
    SIDECAR_FAILED,
    Failure,
    Interrupted,
    Ready,
    Signals,
    ask,
    describe,
    end_as,
    returncode,
    say,
    spawn,
    tail,
)

VERSION = 2
ATTEMPTS = 5
# What another node writes is looked for that often, in seconds.
SHORTEST_PAUSE = 0.01
LONGEST_PAUSE = 0.25
# A part of the time that it took: nobody waits much longer than that for what is there.
SHARE = 0.05
_FIRST_ASK = 0.001
_LONGEST_ASK = 0.05
# Run commands say more behind it, and of that only so much is shown.
_FEW = 3
_SIOCGIFADDR = 0x8915  # netdevice(7)


TYPE_CHECKING = False  # `typing` takes long to import
if TYPE_CHECKING:
    from typing import NotRequired, TypedDict

    class Words(TypedDict):
        """A shard's name, and the words that stand for its address and each of its ports."""

        name: str
        host: str
        ports: list[str]

    class Question(TypedDict):
        """As :class:`smartcore.spec.Ready`; bytes as Latin-1."""

        send: str
        expect: str
        holds: list[str]
        ends: str
        authority: str

    class Spec(TypedDict):
        """What the driver wrote.

        ``index`` is the shard's place in ``shards``. ``port`` is 0 for a free one between the two
        of ``ports``, and with it those at ``offsets`` above it are taken. ``further`` are the words
        for this shard's addresses after the first. ``addresses`` are those at which a shard has to
        come back. ``timeout`` are the seconds that the server may take, ``patience`` those that
        other shards may take to come. ``inquiry`` is what to ask when it serves, if there is
        something to send; the driver gets the answer.
        """

        version: int
        tag: str
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

    class Found(TypedDict):
        """Where a shard is, and when it serves, what it answered to the inquiry, as Latin-1."""

        tag: str
        node: str
        addresses: list[str]
        port: int
        answer: str


class Shard:
    """One shard: where it listens, and its server.

    :param node: the node's name; empty if nobody said
    """

    def __init__(self, spec: Spec, node: str, signals: Signals) -> None:
        self.spec = spec
        self.name = spec["shards"][spec["index"]]["name"]
        self.node = node or os.environ.get(spec["node_variable"] or "-", "") or os.uname().nodename
        self.addresses: list[str] = []
        self._signals = signals
        self._held: list[socket.socket] = []
        self._pid = 0
        self._status: int | None = None
        self._seen = 0

    # -- where it listens -----------------------------------------------------------------------

    def find_addresses(self) -> None:
        """See where it can listen: the addresses of interfaces, or that of the node's name.

        :raises Failure: there is no such interface, or the name has no address
        """
        self.addresses = list(self.spec.get("addresses", ()))
        if self.addresses:
            return
        names = self.spec["interfaces"]
        found = [self._interface(name) for name in names] or [self._own()]
        self.addresses = list(dict.fromkeys(found))

    def _own(self) -> str:
        for name in dict.fromkeys((self.node, os.uname().nodename)):
            with contextlib.suppress(OSError):
                return socket.gethostbyname(name)
        raise Failure(
            f"{self.name}: the name {self.node} of this node has no address; give the database an"
            f" interface= ({', '.join(_interfaces())})"
        )

    def _interface(self, name: str) -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                request = struct.pack("256s", name.encode()[:15])
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, request)
            except OSError:
                raise Failure(
                    f"{self.name}: no network interface {name!r} with an IPv4 address on"
                    f" {self.node}; there are: {', '.join(_interfaces())}"
                ) from None
        return socket.inet_ntoa(answer[20:24])  # struct sockaddr_in, after family and port

    def choose_port(self) -> int:
        """A port that nobody has, kept from others until :meth:`release`.

        :raises Failure: the port that was asked for is in use, or none is free
        """
        if self.spec["port"]:
            self._check(self.spec["port"])
            return self.spec["port"]
        lowest, highest = self.spec["ports"]
        width = highest - lowest
        begin = random.randrange(width)
        for step in range(width):
            port = lowest + (begin + step) % width
            if self._hold(port):
                return port
        where = f"{self.node} ({', '.join(self.addresses)})"
        raise Failure(f"{self.name}: no free port between {lowest} and {highest} on {where}")

    def _hold(self, port: int) -> bool:
        for address in self.addresses:
            for offset in self.spec["offsets"]:
                # Bound, without listening and without SO_REUSEADDR: nobody else can have it.
                holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                self._held.append(holder)
                try:
                    holder.bind((address, port + offset))
                except OSError as error:
                    self.release()
                    if error.errno == errno.EADDRINUSE:
                        return False
                    raise Failure(
                        f"{self.name}: nobody can listen at {address} on {self.node}:"
                        f" {error.strerror}"
                    ) from None
        return True

    def _check(self, port: int) -> None:
        for address in self.addresses:
            for offset in self.spec["offsets"]:
                with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                    # As servers do; it lets connections in TIME_WAIT alone.
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    try:
                        probe.bind((address, port + offset))
                        probe.listen(1)
                    except OSError as error:
                        raise Failure(
                            f"{self.name}: port {port + offset} of {address} on {self.node}:"
                            f" {error.strerror}; {self._advice()}"
                        ) from None

    def _advice(self) -> str:
        if "addresses" in self.spec:
            return "clients look for it there, so start the database anew if that stays so"
        return "choose another port, or None for a free one"

    def release(self) -> None:
        """Let others have the port that was chosen."""
        for holder in self._held:
            holder.close()
        self._held.clear()

    # -- the others -----------------------------------------------------------------------------

    def publish(self, kind: str, port: int, answer: bytes = b"") -> None:
        """Tell who waits in the meeting directory where this one is.

        :param kind: ``here``, or ``ready`` when it serves
        :param answer: of the server, without secrets
        """
        os.makedirs(self.spec["meeting"], mode=0o700, exist_ok=True)
        content: Found = {
            "tag": self.spec["tag"],
            "node": self.node,
            "addresses": self.addresses,
            "port": port,
            "answer": answer.decode("latin-1"),
        }
        _write(meeting_file(self.spec["meeting"], self.name, kind), json.dumps(content))

    def meet(self, kind: str) -> list[Found]:
        """What all shards have told, in order.

        :raises Failure: one did not come
        :raises Interrupted: we are to end
        """
        began = time.monotonic()
        while True:
            found = {name: self._other(name, kind) for name in self._names()}
            missing = [name for name, where in found.items() if where is None]
            if not missing:
                return [where for where in found.values() if where is not None]
            elapsed = time.monotonic() - began
            if elapsed > self.spec["patience"]:
                raise Failure(
                    f"{self.name} waited {self.spec['patience']:g} s in {self.spec['meeting']} for"
                    f" {', '.join(missing)}; do all nodes have this directory, and did all start?"
                )
            self._pause(pause_after(elapsed))

    def _names(self) -> list[str]:
        return [shard["name"] for shard in self.spec["shards"]]

    def _other(self, name: str, kind: str) -> Found | None:
        return read_found(self.spec["meeting"], name, kind, self.spec["tag"])

    def take_port(self) -> None:
        """Of a port that was asked for, shards of one node take that and those after it.

        :raises Failure: one shard did not come
        :raises Interrupted: we are to end
        """
        if self.spec["port"] and len(self.spec["shards"]) > 1:
            self.publish("placed", 0)
            before = self.meet("placed")[: self.spec["index"]]
            self.spec["port"] += [where["node"] for where in before].count(self.node)

    def _reachable(self, found: list[Found]) -> list[Found]:
        for name, where in zip(self._names(), found, strict=True):
            if where["node"] != self.node and where["addresses"][0] == self.addresses[0]:
                raise Failure(
                    f"{self.name} on {self.node} and {name} on {where['node']} both listen at"
                    f" {self.addresses[0]}, so that none reaches the other; give the database"
                    " another interface"
                )
        return found

    def leave(self) -> None:
        """Take back what was written into the meeting directory."""
        for kind in ("placed", "here", "ready"):
            with contextlib.suppress(OSError):
                os.unlink(meeting_file(self.spec["meeting"], self.name, kind))
        with contextlib.suppress(OSError):
            os.rmdir(self.spec["meeting"])  # if the others have gone, too

    # -- the server -----------------------------------------------------------------------------

    def run(self) -> int:
        """Run the server to its end.

        :returns: its exit code, or minus the number of the signal that it died by
        :raises Failure: it does not come to serve
        :raises Interrupted: we are to end
        """
        self.find_addresses()
        self.take_port()
        for attempt in range(1, ATTEMPTS + 1):
            port = self.choose_port()
            self.publish("here", port)
            self._start(self._reachable(self.meet("here")))
            again = attempt < ATTEMPTS and not self.spec["port"]
            if self._answer(port, self.spec["ready"], again=again) is not None:
                self.publish("ready", port, self._inquire(port))
                return self._wait()
        raise AssertionError("unreachable")

    def _start(self, found: list[Found]) -> None:
        words = dict(replacements(self.spec, found))
        for path, text in self.spec["files"].items():
            _write(path, replaced(text, words))
        self._seen = _size(self.spec["output"])
        self.release()
        argv = [replaced(word, words) for word in self.spec["argv"]]
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
                if number in FORWARDED and not self._ended():
                    told = True
                    os.kill(self._pid, number)
        if self._status and not told:
            say(f"{self.name} on {self.node} {describe(self._status)}{self._shown(_FEW)}")
        return self._status or 0

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


def replaced(text: str, words: dict[str, str]) -> str:
    """The text with these words replaced; no word is a part of another."""
    for word, value in words.items():
        text = text.replace(word, value)
    return text


# -- files ----------------------------------------------------------------------------------------


def pause_after(elapsed: float) -> float:
    """How long to wait before looking again for what another host writes, in seconds."""
    return min(max(SHORTEST_PAUSE, SHARE * elapsed), LONGEST_PAUSE)


def meeting_file(directory: str, name: str, kind: str) -> str:
    """The file by which a shard tells that it is ``here`` or ``ready``."""
    return os.path.join(directory, f"{name}.{kind}")


def read_found(directory: str, name: str, kind: str, tag: str) -> Found | None:
    """What a shard of this launch has told; None as long as it has not."""
    try:
        # Clients of NFS keep what they know of a directory for up to a minute, also that a file
        # was not there (nfs(5), acdirmax); a change of their own makes them ask.
        os.utime(directory)
        with open(meeting_file(directory, name, kind), encoding="utf-8") as file:
            found: Found = json.load(file)
    except (OSError, ValueError):
        return None
    return found if found.get("tag") == tag else None


def _write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    partial = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(partial, path)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _interfaces() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


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
        shard.leave()
    return end_as(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
