"""The keeper: one small process for an experiment that spawns its processes and waits for them.

It outlives the driver, so that another process can learn true exit codes later. It imports little
more than what it says below, so that it is ready in some twenty milliseconds and stays small.

One thread sleeps in epoll on a pidfd for each child (pidfd_open(2)), on the listening socket and
on its clients. Ends that are met together are written to the record file in one piece, with one
fdatasync, and only then told to the clients. It ends by itself when no client and no child is
left. SIGINT and SIGHUP are ignored; after SIGTERM it ends with its last child, which it does not
hurry.

Messages are lines of JSON; ``n`` numbers a request and its replies, of which all but the last have
``more``::

    <- {"keeper": <pid>, "born": <start time>, "version": 1}
    -> {"n": 1, "do": "start", "key": "...", "env": {...}, "steps": [{"argv": [...], ...}, ...]}
    <- {"n": 1, "started": [{"id": "<pid>.<start time>"} or {"error": "..."}, ...], "more": true}
    -> {"n": 2, "do": "stop", "ids": [...], "grace": 5.0}
    <- {"n": 2, "survivors": [<pid>, ...]}
    -> {"n": 3, "do": "status", "ids": [...]}
    <- {"n": 3, "running": [...], "ended": [{record}, ...]}
    -> {"n": 4, "do": "find", "tags": [...]}
    <- {"n": 4, "found": {tag: id, ...}}
    -> {"n": 5, "do": "mark", "ids": [...]}
    <- {"n": 5}
    <- {"ended": [{record}, ...]}

What is marked was asked to end by other means than a signal; its end is one that was stopped.
``ended`` of a status are those that could not be written down yet: the disk is full.

What is being started is noted in a file of its own, before and after, so that a client whose keeper
was killed meanwhile knows what has become of its request. What a client asked for that has gone
is not started any more.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time

from smartcore.launch import proc, spawn
from smartcore.launch.kept import Child
from smartcore.launch.ledger import VERSION, BegunFile, RecordFile, publish, remove_stale
from smartcore.launch.lines import Client, peer_uid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from smartcore.launch.lines import Message

# What the driver tells it: the arguments of `run`, the last as a descriptor.
VARIABLES = ("KEEPER_PLACE", "KEEPER_RUNTIME", "KEEPER_HOST", "KEEPER_DRIVER")
# Ends are met between chunks of a large start.
CHUNK = 16
# Descriptors for what is not a child: clients, files while spawning, a stop's look for members.
SPARE = 40
# While records cannot be written: how often to try again, and for how long with nothing else to do.
RETRY = 5.0
PATIENCE = 3600.0


class Keeper:
    """Serves clients until none is left and nothing is left to keep.

    :param listening: where clients come from
    :param records: the file of ends
    :param begun: the file of what is being started
    :param hello: what every client is told first
    """

    def __init__(
        self, listening: socket.socket, records: RecordFile, begun: BegunFile, hello: Message
    ) -> None:
        self._listening = listening
        self._records = records
        self._begun = begun
        self._hello = hello
        self._clients: dict[int, Client] = {}
        self._children: dict[int, Child] = {}
        self._by_id: dict[str, Child] = {}
        self._starts: list[tuple[Client, Message]] = []
        self._stopping = 0
        self._stopped: list[tuple[Client, Message]] = []
        self._leaving = False
        self._unsaved_since: float | None = None
        self._null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._wake, select.EPOLLIN)
        self._epoll.register(listening.fileno(), select.EPOLLIN)

    def leave(self) -> None:
        """End with the last child, whoever is still connected."""
        self._leaving = True
        os.eventfd_write(self._wake, 1)

    def serve(self) -> None:
        """The loop."""
        while self._busy():
            ready = self._epoll.poll(self._timeout())
            # Ends first: what a client asks afterwards is answered from the records.
            ended = [self._children.pop(fd) for fd, _ in ready if fd in self._children]
            if ended or self._records.unsaved:
                self._end(ended)
            for fd, events in ready:
                if fd == self._wake:
                    os.eventfd_read(fd)
                elif fd == self._listening.fileno():
                    self._accept()
                elif fd in self._clients:
                    self._hear(self._clients[fd], events)
            self._start_some()
            while self._stopped:
                client, reply = self._stopped.pop()
                self._stopping -= 1
                self._send(client, reply)

    def _busy(self) -> bool:
        if self._children or self._starts or self._stopping:
            return True
        if self._records.unsaved and not self._given_up():
            return True
        return bool(self._clients) and not self._leaving

    def _given_up(self) -> bool:
        since = self._unsaved_since
        return since is not None and time.monotonic() - since > PATIENCE

    def _timeout(self) -> float:
        if self._starts:
            return 0
        return RETRY if self._records.unsaved else -1

    def _end(self, ended: list[Child]) -> None:
        for child in ended:
            self._epoll.unregister(child.pidfd)
            del self._by_id[child.id]
        records = [child.end() for child in ended]
        self._records.save(records)
        if not self._records.unsaved:
            self._unsaved_since = None
        elif self._unsaved_since is None:
            self._unsaved_since = time.monotonic()
        if records:
            for client in list(self._clients.values()):
                self._send(client, {"ended": records})

    # -- clients --------------------------------------------------------------------------------

    def greet(self, connection: socket.socket) -> None:
        """Take up a client."""
        client = self._clients[connection.fileno()] = Client(connection)
        self._epoll.register(connection.fileno(), client.interest)
        self._send(client, self._hello)

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:  # gone again, or no descriptor is free: it is met anew with the next event
            return
        if peer_uid(connection) == os.geteuid():
            self.greet(connection)
        else:
            connection.close()

    def _send(self, client: Client, message: Message) -> None:
        if not client.gone:
            client.send(message)
            self._settle(client)

    def _settle(self, client: Client) -> None:
        fd = client.socket.fileno()
        if not client.gone:
            self._epoll.modify(fd, client.interest)
        elif fd in self._clients:
            del self._clients[fd]
            self._epoll.unregister(fd)
            client.socket.close()

    def _hear(self, client: Client, events: int) -> None:
        if events & select.EPOLLOUT:
            client.flush()
        if events & select.EPOLLHUP:
            # Killed: what it asked for and nobody has begun would be started behind the back of
            # whoever takes its place.
            client.gone = True
        elif events & ~select.EPOLLOUT:
            try:
                for message in client.receive():
                    self._obey(client, message)
            except (ValueError, KeyError, TypeError) as error:
                with contextlib.suppress(OSError):  # the disk is full
                    print(f"dropped a client: {error!r}", file=sys.stderr, flush=True)  # noqa: T201
                client.gone = True
        self._settle(client)

    def _obey(self, client: Client, message: Message) -> None:
        if message["do"] == "start":
            self._starts.append((client, message))
        elif message["do"] == "stop":
            self._stop(client, message)
        elif message["do"] == "mark":
            for job in message["ids"]:
                if job in self._by_id:
                    self._by_id[job].mark()
            self._send(client, {"n": message["n"]})
        elif message["do"] == "find":
            self._send(client, self._find(message))
        else:
            self._send(client, self._status(message))

    def _status(self, message: Message) -> Message:
        asked = set(message["ids"])
        return {
            "n": message["n"],
            "running": [job for job in asked if job in self._by_id],
            "ended": [record for record in self._records.unsaved if record["id"] in asked],
        }

    def _find(self, message: Message) -> Message:
        asked = set(message["tags"])
        found = {child.tag: child.id for child in self._by_id.values() if child.tag in asked}
        unsaved = [record for record in self._records.unsaved if record["tag"] in asked]
        found.update((record["tag"], record["id"]) for record in unsaved)
        return {"n": message["n"], "found": found}

    # -- starting -------------------------------------------------------------------------------

    def _start_some(self) -> None:
        if not self._starts:
            return
        client, message = self._starts[0]
        if client.gone:  # nobody would learn the ids
            del self._starts[0]
            return
        steps, first = message["steps"], message.get("first", 0)
        if not (first or self._children or any(c.has_unsent for c in self._clients.values())):
            self._begun.clear()
        last = first + CHUNK
        answers = [self._start(message, index) for index in range(first, min(last, len(steps)))]
        message["first"] = last
        more = last < len(steps)
        if not more:
            del self._starts[0]
        self._send(client, {"n": message["n"], "started": answers, "more": more})

    def _start(self, message: Message, index: int) -> Message:
        key, step = message["key"], message["steps"][index]
        try:
            self._begun.note(key, index, tag=step["tag"])
        except OSError as error:
            return {"error": spawn.explain(self._begun.path, error)}
        answer = self._spawn(step, message["env"])
        # Without the second line a client whose keeper is killed is told that it may run.
        with contextlib.suppress(OSError):
            self._begun.note(key, index, tag=step["tag"], **answer)
        return answer

    def _spawn(self, step: Message, env: dict[str, str]) -> dict[str, str]:
        if crowded := self._crowded():
            return {"error": crowded}
        program = step["argv"][0]
        try:
            popen = spawn.spawn(
                step["argv"],
                {**env, **step["env"]},
                step["cwd"],
                (step["stdin"], step["stdout"], step["stderr"]),
                self._null,
                umask=0o077 if step["private"] else -1,
            )
        except (OSError, ValueError) as error:
            return {"error": spawn.explain(program, error)}
        try:
            pidfd = os.pidfd_open(popen.pid)
        except OSError as error:  # the host's own limit of open files
            popen.kill()
            popen.wait()
            return {"error": spawn.explain(program, error)}
        child = Child(popen, pidfd, step["name"], step["tag"])
        self._children[pidfd] = self._by_id[child.id] = child
        self._epoll.register(pidfd, select.EPOLLIN)
        return {"id": child.id}

    def _crowded(self) -> str:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # A pidfd to wait for each child, and another one while it is stopped.
        room = (limit - SPARE) // 2
        if limit == resource.RLIM_INFINITY or len(self._children) < room:
            return ""
        return (
            f"{len(self._children)} processes run and the limit of open files (RLIMIT_NOFILE) is"
            f" {limit}, which is enough for {max(0, room)}: raise `ulimit -n` before the first"
            " start, or lower max_running"
        )

    # -- stopping -------------------------------------------------------------------------------

    def _stop(self, client: Client, message: Message) -> None:
        import threading

        targets: list[spawn.Target] = []
        try:
            for job in set(message["ids"]):
                child = self._by_id.get(job)
                target = spawn.open_process(job) if child is None else child.target()
                if target is not None:
                    targets.append(target)
        except OSError as error:
            spawn.close(target.pidfd for target in targets)
            self._send(client, {"n": message["n"], "error": f"nothing was stopped: {error}"})
            return
        self._stopping += 1
        # Grace periods are long, and ends are to be met meanwhile.
        arguments = (client, message["n"], targets, message["grace"])
        try:
            threading.Thread(target=self._end_targets, args=arguments, daemon=True).start()
        except RuntimeError:  # no thread can be had: then ends are met afterwards
            self._end_targets(*arguments)

    def _end_targets(
        self, client: Client, number: int, targets: list[spawn.Target], grace: float
    ) -> None:
        reply: Message = {"n": number}
        try:
            reply["survivors"] = spawn.end_sessions(targets, grace)
        except OSError as error:
            reply["error"] = f"not all was stopped: {error.strerror}"
        finally:
            self._stopped.append((client, reply))
            os.eventfd_write(self._wake, 1)


# -- beginning and end ------------------------------------------------------------------------


def run(place: str, runtime: str, host: str, driver: socket.socket) -> None:
    """Be the keeper of one experiment until nothing is left to keep.

    :param place: the experiment's ``.smartcore``; its directories ``keeper`` and ``records`` exist
    :param runtime: directory for the socket, which nobody else can enter
    :param host: how this host is called in the names of files
    :param driver: connection to the first client
    """
    pid = os.getpid()
    born = proc.birth(pid) or 0
    info = f"{place}/keeper/{host}.json"
    remove_stale(info)
    address = f"{runtime}/keeper-{pid}.{born}"
    facts = {"version": VERSION, "pid": pid, "born": born, "socket": address}
    records = RecordFile(f"{place}/records/{host}-{pid}.jsonl")
    begun = BegunFile(f"{place}/keeper/{host}-{pid}.begun")
    hello = {"keeper": pid, "born": born, "version": VERSION}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listening:
        listening.setblocking(False)
        listening.bind(address)
        os.chmod(address, 0o600)  # noqa: PTH101 -- no pathlib here
        listening.listen(64)
        try:
            publish(info, facts)
            keeper = Keeper(listening, records, begun, hello)
            signal.signal(signal.SIGTERM, lambda *_: keeper.leave())
            keeper.greet(driver)
            import subprocess  # noqa: F401 -- while the driver gets ready to ask

            keeper.serve()
        finally:
            for path in (info, address, begun.path):
                with contextlib.suppress(OSError):
                    os.unlink(path)  # noqa: PTH108


def main() -> None:
    """Leave the driver behind and be the keeper; what it must know is in the environment.

    Not in the arguments: who looks there for what an experiment runs finds only that.
    """
    place, runtime, host, driver = (os.environ[name] for name in VARIABLES)
    # No child of the driver's: nobody there need wait for it, and no terminal can reach it.
    if os.fork():
        os._exit(0)
    # A handler that does nothing, since what is ignored would be ignored by the children, too.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    run(place, runtime, host, socket.socket(fileno=int(driver)))
