"""The driver's end of a keeper: finding one, starting one, and talking to it."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import queue
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

from smartcore.error import LauncherError
from smartcore.launch import keeper, spawn
from smartcore.launch.ledger import VERSION
from smartcore.launch.lines import peer_uid

if TYPE_CHECKING:
    from smartcore.launch.lines import Message

# Far beyond what starting Python takes, also from a slow file system.
READY_TIMEOUT = 60.0
# How long a keeper that has closed our connection may take to be gone.
GONE_TIMEOUT = 10.0
# Finds a Python's shared library on sites with environment modules; all else is for the children.
INHERITED = ("LD_LIBRARY_PATH", "LD_PRELOAD", "PATH", "PYTHONHOME", "TMPDIR")
# Nothing of the user's is imported: no site-packages, no PYTHON* variables.
PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); from smartcore.launch.keeper import main; main()"
)
PACKAGE_PARENT = Path(__file__).parents[2]


class BrokenLinkError(LauncherError):
    """The keeper is not there any more, or does not answer.

    :param sent: the request may have reached it
    :param late: it may still answer
    """

    def __init__(self, message: str, *, sent: bool, late: bool = False) -> None:
        super().__init__(message)
        self.sent = sent
        self.late = late


@dataclass(frozen=True, slots=True)
class Place:
    """Where a keeper and what it leaves are found.

    :param path: the experiment's directory
    :param runtime: directory for sockets, which nobody else can enter
    """

    path: Path
    runtime: Path

    @property
    def own(self) -> Path:
        """The directory of what is not the user's."""
        return self.path / ".smartcore"

    @property
    def info(self) -> Path:
        """The file that tells of the keeper on this host."""
        return self.own / "keeper" / f"{host_name()}.json"

    @property
    def errors(self) -> Path:
        """What the keeper says before it dies of an error."""
        return self.info.with_suffix(".err")

    def begun(self, pid: int) -> Path:
        """What a keeper noted of the processes that it was starting."""
        return self.info.with_name(f"{host_name()}-{pid}.begun")

    @property
    def records(self) -> Path:
        """The directory of exit records."""
        return self.own / "records"


@dataclass(frozen=True, slots=True)
class KeeperFacts:
    """What a keeper says about itself in its file."""

    pid: int
    born: int
    socket: str
    version: int

    @property
    def identity(self) -> str:
        """Its process, as ids name them."""
        return spawn.identity(self.pid, self.born)


def host_name() -> str:
    """Name of this host in the names of files."""
    return os.uname().nodename


def read_facts(place: Place) -> KeeperFacts | None:
    """What the newest keeper of this host told of itself, whether or not it lives."""
    try:
        facts = json.loads(place.info.read_text("utf-8"))
        return KeeperFacts(facts["pid"], facts["born"], facts["socket"], facts["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Link:
    """A connection to a keeper, with a thread that listens.

    :param connection: the socket; the keeper's first words are read here
    :param on_started: called from the thread with ids, before any of their ends
    :param on_ended: called from the thread with records of ends
    :param on_broken: called from the thread when the keeper has gone, unless it was closed here
    :raises BrokenLinkError: nobody answers
    :raises LauncherError: the keeper speaks another language, or is somebody else's
    """

    def __init__(
        self,
        connection: socket.socket,
        on_started: Callable[[Sequence[str]], None],
        on_ended: Callable[[Sequence[Message]], None],
        on_broken: Callable[[Link], None],
    ) -> None:
        self._socket = connection
        self._on_started = on_started
        self._on_ended = on_ended
        self._on_broken = on_broken
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[Message | None]] = {}
        self.broken = False
        self._closed = False
        self._stream = connection.makefile("rb")
        try:
            self.pid, born = self._greet()
        except LauncherError:
            self._stream.close()
            connection.close()
            raise
        self.identity = spawn.identity(self.pid, born)
        self._thread = threading.Thread(target=self._listen, name="smartcore-keeper", daemon=True)
        self._thread.start()

    def _greet(self) -> tuple[int, int]:
        if peer_uid(self._socket) != os.geteuid():
            raise LauncherError("the keeper's socket belongs to another user")
        _set_timeout(self._socket, socket.SO_RCVTIMEO, READY_TIMEOUT)
        try:
            line = self._stream.readline()
        except OSError:
            line = b""
        if not line:
            raise BrokenLinkError("the keeper does not answer", sent=False)
        hello = json.loads(line)
        if hello["version"] != VERSION:
            raise LauncherError(
                f"the keeper {hello['keeper']} is of another version of smartcore; use that one,"
                " or wait until all that it keeps has ended"
            )
        _set_timeout(self._socket, socket.SO_RCVTIMEO, 0)
        _set_timeout(self._socket, socket.SO_SNDTIMEO, READY_TIMEOUT)
        return int(hello["keeper"]), int(hello["born"])

    def request(self, message: Mapping[str, object], timeout: timedelta) -> Iterator[Message]:
        """Ask; yields the replies.

        :param timeout: for each reply
        :raises BrokenLinkError: the keeper has gone, or is late
        """
        replies: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        with self._lock:
            number = next(self._numbers)
            if self.broken:
                raise self._gone(sent=False)
            self._waiting[number] = replies
            try:
                self._socket.sendall(json.dumps({"n": number, **message}).encode() + b"\n")
            except OSError:  # so the whole line was not read, and nothing was done
                del self._waiting[number]
                self.broken = True
                self.shut()
                raise self._gone(sent=False) from None
        try:
            more = True
            while more:
                reply = replies.get(timeout=timeout.total_seconds())
                if reply is None:
                    raise self._gone(sent=True)
                more = bool(reply.get("more"))
                yield reply
        except queue.Empty:
            words = f"the keeper {self.pid} did not answer in {timeout.total_seconds():g} s"
            raise BrokenLinkError(words, sent=True, late=True) from None
        finally:
            with self._lock:
                self._waiting.pop(number, None)

    def _gone(self, *, sent: bool) -> BrokenLinkError:
        return BrokenLinkError(f"the keeper {self.pid} has gone", sent=sent)

    def _listen(self) -> None:
        with self._socket, self._stream:
            with contextlib.suppress(OSError):  # reset: it was killed with something unread
                for line in self._stream:
                    if line.endswith(b"\n"):
                        self._heard(cast("Message", json.loads(line)))
            with self._lock:
                self.broken = True
        if not self._closed:
            self._on_broken(self)
        with self._lock:
            for replies in self._waiting.values():
                replies.put(None)

    def _heard(self, message: Message) -> None:
        number = message.get("n")
        if number is None:
            self._on_ended(message["ended"])
            return
        if "started" in message:
            self._on_started([answer["id"] for answer in message["started"] if "id" in answer])
        with self._lock:
            replies = self._waiting.get(number)
        if replies is not None:
            replies.put(message)

    def shut(self) -> None:
        """End the conversation; the thread sees it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Leave the keeper and wait for the thread; nothing is told afterwards."""
        self._closed = True
        self.shut()
        if threading.current_thread() is not self._thread:
            self._thread.join()


def _set_timeout(connection: socket.socket, option: int, seconds: float) -> None:
    # Not settimeout: sending and receiving are done by different threads and wait differently.
    connection.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(seconds), 0))


# -- finding and starting ---------------------------------------------------------------------


def find(place: Place) -> socket.socket | None:
    """A connection to the living keeper of this experiment on this host; None if there is none.

    :raises LauncherError: it is of a newer version
    """
    facts = read_facts(place)
    if facts is None or not spawn.alive(facts.identity):
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(facts.socket)
    except OSError:
        connection.close()
        return None
    return connection


def launch(place: Place) -> socket.socket:
    """Start a keeper; the answer is a connection on which it says hello when it is ready.

    :raises LauncherError: it cannot be started
    """
    import subprocess

    _make_directories(place)
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    errors = os.open(place.errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with its:
            process = subprocess.Popen(
                _command(place),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[its.fileno()],
                cwd="/",
                env=_environment(place, its.fileno()),
                start_new_session=True,
            )
    except OSError as error:
        ours.close()
        raise LauncherError(f"cannot start the keeper: {error}") from error
    finally:
        os.close(errors)
    process.wait()  # it has made itself independent, and is no child of ours
    return ours


def _command(place: Place) -> list[str]:
    # The last one is for people who look at the list of processes.
    options = ("-I", "-S", "-X", "utf8", "-c", PROGRAM)
    return [sys.executable, *options, str(PACKAGE_PARENT), place.path.name]


def _environment(place: Place, descriptor: int) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    given = (str(place.own), str(place.runtime), host_name(), str(descriptor))
    return inherited | dict(zip(keeper.VARIABLES, given, strict=True))


def _make_directories(place: Place) -> None:
    try:
        place.own.mkdir(parents=True, exist_ok=True)
        for path in (place.info.parent, place.records):
            path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise LauncherError(f"cannot create {error.filename}: {error.strerror}") from error


def not_ready(place: Place) -> LauncherError:
    """The error for a keeper that did not say hello."""
    try:
        words = place.errors.read_text("utf-8", errors="replace").strip().splitlines()
    except OSError:
        words = []
    why = f": {words[-1]}" if words else ""
    return LauncherError(f"the keeper did not start{why}; see {place.errors}")


def wait_gone(identity: str) -> None:
    """Wait until a process that has closed its connections has gone.

    :raises LauncherError: it has not
    """
    import select

    target = spawn.open_process(identity)
    if target is None:
        return
    try:
        poller = select.poll()
        poller.register(target.pidfd, select.POLLIN)
        if not poller.poll(GONE_TIMEOUT * 1000):
            raise LauncherError(
                f"the keeper {target.pid} lives and does not answer; end it: kill -9 {target.pid}"
            )
    finally:
        os.close(target.pidfd)


@contextlib.contextmanager
def alone(place: Place) -> Iterator[None]:
    """Keep other processes of this user on this host from starting a keeper meanwhile.

    :raises LauncherError: one of them takes too long
    """
    path = place.runtime / "keeper.lock"
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LauncherError(f"cannot open {path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # flock(2) knows no timeout; a thread of its own may wait in vain.
        waiter = threading.Thread(target=fcntl.flock, args=(lock, fcntl.LOCK_EX), daemon=True)
        waiter.start()
        waiter.join(READY_TIMEOUT)
        if waiter.is_alive():
            raise LauncherError(f"another process holds {path}; see: fuser {path}") from None
    try:
        yield
    finally:
        os.close(lock)
