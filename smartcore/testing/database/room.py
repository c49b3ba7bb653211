"""Real servers for the cases of a database back end, and asking them."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil

from smartcore.spec import (
    Certificate,
    Command,
    Credentials,
    DatabaseBackend,
    JobId,
    Processes,
    Ready,
    Server,
    ShardAddress,
    ShardPlan,
    Status,
    Step,
    Tag,
)
from smartcore.spec.addresses import free_ports

from ..context import clean_up, launcher_context
from ..running import PATIENCE, wait_until

HOST = "127.0.0.1"
QUICKLY = timedelta(seconds=5)
SETTINGS = {
    "save": "60 1",
    "maxmemory": "100mb",
    "maxmemory-policy": "allkeys-lru",
    "maxclients": "100",
    "proto-max-bulk-len": "1mb",
    "threads": "2",
}


class Room:
    """Where servers are started, and ended with the test."""

    def __init__(self, backend: DatabaseBackend, server: Server, path: Path) -> None:
        self.backend = backend
        self.server = server
        self.path = path
        self.processes: Processes = launcher_context(path, PATIENCE).processes
        self.jobs: list[JobId] = []

    def plans(self, count: int = 1, name: str = "db", **facts: object) -> list[ShardPlan]:
        """Shards that know one another, in directories of their own."""
        ports = free_ports([HOST], count, offsets=(0, *self.backend.cluster_offsets))
        peers = tuple(ShardAddress(HOST, port) for port in ports)
        credentials = Credentials(
            "contract-admin", f"secret-admin-{name}", "default", "secret-user"
        )
        plans = []
        for index, address in enumerate(peers):
            directory = self.path / f"{name} {index}"
            directory.mkdir()
            plan = ShardPlan(
                f"{name}_{index}", directory, address, peers, index, credentials, {"save": ""}
            )
            plans.append(replace(plan, **facts))  # type: ignore[arg-type]
        return plans

    def start(self, *plans: ShardPlan) -> list[JobId]:
        """Start these shards; they may not serve yet."""
        return self.run(*((plan, self.backend.command(self.server, plan)) for plan in plans))

    def run(self, *shards: tuple[ShardPlan, Command]) -> list[JobId]:
        """Start these shards, each with a command of its own."""
        steps = [
            Step(
                plan.name,
                Tag(plan.name),
                command,
                plan.directory,
                plan.directory / "out",
                plan.directory / "err",
            )
            for plan, command in shards
        ]
        started = self.processes.start(steps)
        ids = [answer.id for answer in started if answer.id is not None]
        self.jobs += ids
        assert len(ids) == len(steps), [answer.error for answer in started]
        return ids

    def serve(self, *plans: ShardPlan) -> list[JobId]:
        """Start these shards, and return when they serve."""
        ids = self.start(*plans)
        wait_until(lambda: self.backend.ready(plans, QUICKLY), "a server that is ready")
        return ids

    def end_of(self, job: JobId) -> Status:
        """Wait for the end of a shard."""
        wait_until(lambda: ended(self.processes.status([job])[job]), "the end of a server")
        answer = self.processes.status([job])[job]
        assert isinstance(answer, Status)
        return answer

    def close(self) -> None:
        """End all."""
        self.processes.stop(self.jobs)
        self.processes.close()
        clean_up(self.path)


def stand_ins(
    plans: Sequence[ShardPlan], backend: DatabaseBackend
) -> tuple[list[ShardPlan], dict[str, str]]:
    """The same plans before it is known where they listen, and what stands for what."""
    offsets = (0, *backend.cluster_offsets)
    peers = tuple(
        ShardAddress(f"stand-in-{index}-", (index + 1) * 10**15) for index in range(len(plans))
    )
    words: dict[str, str] = {}
    for plan, peer in zip(plans, peers, strict=True):
        words[peer.host] = plan.address.host
        words |= {str(peer.port + each): str(plan.address.port + each) for each in offsets}
    unknown = [
        replace(plan, address=peers[plan.index], peers=peers if plan.clustered else peers[:1])
        for plan in plans
    ]
    return unknown, words


def filled(command: Command, words: Mapping[str, str]) -> Command:
    """The command and its files with what has become known."""

    def fill(text: str) -> str:
        for word, value in words.items():
            text = text.replace(word, value)
        return text

    files = tuple(replace(file, text=fill(file.text)) for file in command.files)
    return replace(command, argv=tuple(map(fill, command.argv)), files=files)


def encrypted(plan: ShardPlan, certificate: Certificate) -> ShardPlan:
    """The same shard with a certificate."""
    return replace(plan, credentials=replace(plan.credentials, certificate=certificate))


def asked(ready: Ready) -> bytes:
    """What is answered there, as far as it is looked at."""
    family = socket.AF_INET if ready.port else socket.AF_UNIX
    with socket.socket(family) as client:
        client.settimeout(PATIENCE.total_seconds())
        client.connect((ready.host, ready.port) if ready.port else ready.socket)
        if not ready.authority:
            return _answer(client, ready)
        context = ssl.create_default_context(cadata=ready.authority)
        context.check_hostname = False  # the authority has signed one certificate only
        with context.wrap_socket(client) as secure:
            return _answer(secure, ready)


def _answer(client: socket.socket, ready: Ready) -> bytes:
    answer = b""
    client.sendall(ready.send)
    with contextlib.suppress(ConnectionError):
        while len(answer) < len(ready.expect) or not answer.endswith(ready.ends):
            part = client.recv(4096)
            answer += part
            if not part or not answer.startswith(ready.expect[: len(answer)]):
                break
    return answer


@contextlib.contextmanager
def connected(ready: Ready) -> Iterator[None]:
    """A client that was let in and stays."""
    family = socket.AF_INET if ready.port else socket.AF_UNIX
    with socket.socket(family) as client:
        client.settimeout(PATIENCE.total_seconds())
        client.connect((ready.host, ready.port) if ready.port else ready.socket)
        client.sendall(ready.send)
        assert client.recv(1)
        yield


@contextlib.contextmanager
def stopped(room: Room, plan: ShardPlan) -> Iterator[None]:
    """The server listens on and does not run meanwhile."""
    (server,) = (
        process
        for process in psutil.process_iter()
        if _works_in(process, plan.directory) and process.pid != os.getpid()
    )
    server.suspend()
    try:
        yield
    finally:
        server.resume()


def ports_of(plan: ShardPlan) -> set[int]:
    """The TCP ports at which the server of a shard listens."""
    pids = {one.pid for one in psutil.process_iter() if _works_in(one, plan.directory)}
    return {
        connection.laddr.port
        for connection in psutil.net_connections("tcp")
        if connection.laddr and connection.pid in pids and connection.status == psutil.CONN_LISTEN
    }


def _works_in(process: psutil.Process, directory: Path) -> bool:
    try:
        return Path(process.cwd()) == directory
    except (psutil.Error, OSError):
        return False


def ended(answer: object) -> bool:
    """True if a shard does not run any more."""
    return not isinstance(answer, Status) or answer.is_terminal
