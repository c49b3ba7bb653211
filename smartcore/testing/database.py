"""The contract of database back ends, on real servers of this host where one is installed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from smartcore.error import DatabaseError, InputError, UnsupportedError
from smartcore.spec import (
    Certificate,
    Credentials,
    DatabaseBackend,
    File,
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

from .context import clean_up, launcher_context, load
from .contract import Contract, case
from .running import PATIENCE, wait_until

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
# A clustered server opens a second port that far above the first.
OFFSETS = (0, 10000)


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
        ports = free_ports([HOST], count, offsets=OFFSETS)
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
        steps = [
            Step(
                plan.name,
                Tag(plan.name),
                self.backend.command(self.server, plan),
                plan.directory,
                plan.directory / "out",
                plan.directory / "err",
            )
            for plan in plans
        ]
        started = self.processes.start(steps)
        ids = [answer.id for answer in started if answer.id is not None]
        self.jobs += ids
        assert len(ids) == len(plans), [answer.error for answer in started]
        return ids

    def serve(self, *plans: ShardPlan) -> list[JobId]:
        """Start these shards, and return when they serve."""
        ids = self.start(*plans)
        wait_until(lambda: self.backend.ready(plans, QUICKLY), "a server that is ready")
        return ids

    def end_of(self, job: JobId) -> Status:
        """Wait for the end of a shard."""
        wait_until(lambda: _ended(self.processes.status([job])[job]), "the end of a server")
        answer = self.processes.status([job])[job]
        assert isinstance(answer, Status)
        return answer

    def close(self) -> None:
        """End all."""
        self.processes.stop(self.jobs)
        self.processes.close()
        clean_up(self.path)


class DatabaseContract(Contract):
    """What a database back end promises. A plugin's tests subclass this.

    Cases that need a server are skipped where ``find`` does not find one.

    :cvar backend_class: target of the back end, as it is registered
    :cvar clusters: several shards can be one database
    :cvar setting: a directive that can be set while it runs, and a value
    """

    backend_class: ClassVar[str]
    clusters: ClassVar[bool] = True
    setting: ClassVar[tuple[str, str]] = ("maxclients", "123")

    @pytest.fixture
    def backend(self) -> DatabaseBackend:
        made = load(self.backend_class)()
        assert isinstance(made, DatabaseBackend)
        return made

    @pytest.fixture
    def server(self, backend: DatabaseBackend) -> Server:
        try:
            return backend.find(os.environ)
        except DatabaseError as error:
            pytest.skip(str(error))

    @pytest.fixture
    def room(self, backend: DatabaseBackend, server: Server) -> Iterator[Room]:
        # The path of a unix socket must be short; that of tmp_path may not be.
        with tempfile.TemporaryDirectory(prefix="sc db'") as path:
            room = Room(backend, server, Path(path))
            try:
                yield room
            finally:
                room.close()

    # -- finding --------------------------------------------------------------------------------

    @case("F32")
    def test_a_program_that_is_not_there_is_an_error_that_names_it(
        self, backend: DatabaseBackend
    ) -> None:
        with pytest.raises(DatabaseError, match="/no/such/server"):
            backend.find(os.environ, setting="/no/such/server")

    @case("F29", "F32")
    def test_another_program_is_not_taken_for_the_server(self, backend: DatabaseBackend) -> None:
        with pytest.raises(DatabaseError, match="/bin/true"):
            backend.find(os.environ, setting="/bin/true")

    @case("F32")
    def test_without_path_it_is_found_elsewhere_or_told_how_to_get_it(
        self, backend: DatabaseBackend
    ) -> None:
        try:
            found = backend.find({"PATH": ""})
        except DatabaseError as error:
            assert "install" in str(error)
        else:
            assert Path(found.executable).is_absolute()

    @case("F27", "F29")
    def test_a_server_is_found_with_its_version_and_where_it_is_from(self, server: Server) -> None:
        assert os.access(server.executable, os.X_OK)
        assert Path(server.executable).is_absolute()
        assert server.version[:1].isdigit()
        assert server.source

    # -- the command ----------------------------------------------------------------------------

    @case("F36")
    def test_no_secret_is_on_the_command_line_or_in_an_error_message(self, room: Room) -> None:
        (plan,) = room.plans()
        command = room.backend.command(room.server, plan)
        assert "secret" not in repr(command)
        assert "secret" not in " ".join((*command.argv, *command.env.values()))

    @case("F36")
    def test_files_are_for_the_owner_only_and_in_the_shards_directory(self, room: Room) -> None:
        (plan,) = room.plans()
        for file in room.backend.command(room.server, plan).files:
            assert file.mode & 0o077 == 0
            assert file.path.is_relative_to(plan.directory)

    @case("F25")
    def test_the_command_depends_on_the_plan_alone(self, room: Room) -> None:
        (plan,) = room.plans()
        first = room.backend.command(room.server, plan)
        assert room.backend.command(room.server, plan) == first
        assert first.argv[0] == room.server.executable

    @case("F27")
    @pytest.mark.parametrize("key", SETTINGS)
    def test_every_common_setting_has_a_directive(self, backend: DatabaseBackend, key: str) -> None:
        directive, value = backend.option(key, SETTINGS[key])
        assert directive
        assert value

    @case("F26")
    def test_variables_for_models_are_texts(self, room: Room) -> None:
        found: Mapping[str, str] = room.backend.environment(room.plans())
        assert all(isinstance(each, str) for pair in found.items() for each in pair)

    @case("F27")
    def test_any_other_setting_is_a_directive_already(self, backend: DatabaseBackend) -> None:
        assert backend.option("some-directive", "a value") == ("some-directive", "a value")

    @case("F30", "F32")
    def test_a_directive_that_does_not_exist_is_refused_by_name_before_the_start(
        self, room: Room
    ) -> None:
        room.backend.check(room.server, {})
        room.backend.check(room.server, dict([self.setting]))
        with pytest.raises(InputError, match="no-such-setting"):
            room.backend.check(room.server, {**dict([self.setting]), "no-such-setting": "1"})

    # -- serving --------------------------------------------------------------------------------

    @case("F39")
    def test_it_is_not_ready_before_it_listens_and_is_when_it_does(self, room: Room) -> None:
        plans = room.plans()
        assert not room.backend.ready(plans, QUICKLY)
        room.serve(*plans)
        assert room.backend.ready(plans, QUICKLY)

    @case("F39")
    def test_readiness_can_be_seen_without_the_back_end(self, room: Room) -> None:
        (plan,) = room.plans()
        room.serve(plan)
        ready = room.backend.readiness(plan)
        assert ready.expect
        assert asked(ready).startswith(ready.expect)

    @case("F36")
    def test_who_has_another_password_is_not_let_in(self, room: Room) -> None:
        (plan,) = room.plans()
        room.serve(plan)
        wrong = replace(plan, credentials=replace(plan.credentials, admin_password="wrong"))
        ready = room.backend.readiness(wrong)
        assert not asked(ready).startswith(ready.expect)

    @case("F36")
    def test_a_server_of_somebody_else_is_an_error_and_left_alone(self, room: Room) -> None:
        (theirs,) = room.plans(name="theirs")
        (job,) = room.serve(theirs)
        credentials = replace(theirs.credentials, admin_password="ours")
        ours = replace(theirs, name="ours_0", credentials=credentials)
        with pytest.raises(DatabaseError, match="ours_0"):
            room.backend.ready([ours], QUICKLY)
        with pytest.raises(DatabaseError):
            room.backend.configure([ours], *self.setting)
        with pytest.raises(DatabaseError):
            room.backend.shutdown([ours], QUICKLY)
        assert not _ended(room.processes.status([job])[job])
        assert room.backend.ready([theirs], QUICKLY)

    @case("F36")
    def test_a_taken_port_ends_the_second_server_and_not_the_first(self, room: Room) -> None:
        (first,) = room.plans(name="first")
        (second,) = room.plans(name="second")
        room.serve(first)
        (job,) = room.start(replace(second, address=first.address, peers=first.peers))
        assert room.end_of(job).returncode != 0
        assert room.backend.ready([first], QUICKLY)

    @case("F36")
    def test_it_listens_where_it_should_and_nowhere_else(self, room: Room) -> None:
        (plan,) = room.plans()
        room.serve(plan)
        with pytest.raises(ConnectionRefusedError), socket.socket() as client:
            client.connect(("127.0.0.2", plan.address.port))

    @case("F36")
    def test_it_speaks_tls_if_it_has_a_certificate_and_gets_none_if_it_cannot(
        self, room: Room
    ) -> None:
        (plan,) = room.plans()
        try:
            own, other = (
                room.backend.certificate(room.server, room.path / "ca", clients=True)
                for _ in range(2)
            )
        except UnsupportedError as error:
            assert "TLS" in str(error)
            return
        assert own.key
        assert own.key not in own.authority + own.certificate + repr(own)
        plan = encrypted(plan, own)
        room.serve(plan)
        ready = room.backend.readiness(plan)
        assert ready.authority == own.authority
        assert asked(ready).startswith(ready.expect)
        with pytest.raises(DatabaseError):
            room.backend.ready([encrypted(plan, other)], QUICKLY)
        with pytest.raises(OSError), socket.socket() as plain:
            plain.settimeout(PATIENCE.total_seconds())
            plain.connect((ready.host, ready.port))
            plain.sendall(ready.send)
            assert not plain.recv(100).startswith(ready.expect)
            raise ConnectionError

    @case("F36")
    def test_a_unix_socket_is_as_private_as_asked_for(self, room: Room) -> None:
        path = room.path / "s"
        address = ShardAddress(socket=str(path))
        (plan,) = room.plans(address=address, peers=(address,), socket_permissions=0o700)
        room.serve(plan)
        assert path.stat().st_mode & 0o777 == 0o700
        ready = room.backend.readiness(plan)
        assert asked(ready).startswith(ready.expect)

    @case("F30")
    def test_what_a_server_was_started_with_is_verified(self, room: Room) -> None:
        (plan,) = room.plans(options=dict([self.setting]))
        room.serve(plan)
        assert room.backend.verify(plan, asked(room.backend.inquiry(plan))) == {}

    @case("F30")
    def test_a_server_that_has_not_taken_a_setting_is_found_out(self, room: Room) -> None:
        (plan,) = room.plans(options={})
        room.serve(plan)
        assert not room.backend.inquiry(plan).send
        assert room.backend.verify(plan, b"") == {}
        hoped = replace(plan, options=dict([self.setting]))
        name, value = self.setting
        with pytest.raises(DatabaseError, match=rf"{plan.name}.*{name}.*{value}"):
            room.backend.verify(hoped, asked(room.backend.inquiry(hoped)))
        with pytest.raises(DatabaseError):
            room.backend.verify(hoped, b"")

    @case("F36")
    def test_no_secret_is_in_the_answer_about_settings(self, room: Room) -> None:
        (plan,) = room.plans(options=dict([self.setting]))
        room.serve(plan)
        assert b"secret" not in asked(room.backend.inquiry(plan))

    @case("F30")
    def test_a_setting_is_set_on_every_running_shard(self, room: Room) -> None:
        plans = [*room.plans(name="one"), *room.plans(name="two")]
        room.start(*plans)
        for plan in plans:
            wait_until(partial(room.backend.ready, [plan], QUICKLY), "a server that is ready")
            room.backend.configure([plan], *self.setting)

    @case("F30", "F32")
    def test_a_setting_that_does_not_exist_is_an_error(self, room: Room) -> None:
        plans = room.plans()
        room.serve(*plans)
        with pytest.raises((DatabaseError, InputError), match="no-such-setting"):
            room.backend.configure(plans, "no-such-setting", "1")

    @case("F30")
    def test_a_setting_for_a_server_that_is_not_there_is_an_error(self, room: Room) -> None:
        with pytest.raises(DatabaseError):
            room.backend.configure(room.plans(), *self.setting)

    @case("F01", "F27")
    def test_a_shard_tells_how_it_does(self, room: Room) -> None:
        (plan,) = room.plans()
        backend = room.backend
        room.serve(plan)
        backend.configure([plan], *backend.option("maxmemory", "100mb"))
        (first,) = backend.statistics([plan], QUICKLY)
        assert first.answered, first.problem
        assert (first.name, first.memory_limit, first.keys) == (plan.name, 100 * 1024**2, 0)
        assert 0 < first.memory <= first.memory_peak < first.memory_host
        assert first.clients == 0
        with connected(backend.readiness(plan)):
            (second,) = backend.statistics([plan], QUICKLY)
        assert second.clients == 1
        assert second.commands > first.commands
        assert second.received > first.received
        assert second.sent > first.sent

    @case("F01", "F36")
    def test_one_shard_that_does_not_answer_spoils_nothing_for_the_others(self, room: Room) -> None:
        (hung,), (gone,), (well,) = (room.plans(name=name) for name in ("hung", "gone", "well"))
        wrong = replace(well, credentials=replace(well.credentials, admin_password="wrong"))
        room.serve(hung)
        room.serve(well)
        with stopped(room, hung):
            found = room.backend.statistics([hung, gone, wrong, well], timedelta(seconds=1))
        assert [each.name for each in found] == ["hung_0", "gone_0", "well_0", "well_0"]
        assert [each.answered for each in found] == [False, False, False, True]
        assert all(len(each.problem) > 5 for each in found[:3])
        assert not any("wrong" in each.problem for each in found)

    @case("F01")
    def test_many_shards_that_do_not_answer_take_no_longer_than_one(self, room: Room) -> None:
        (hung,) = room.plans()
        room.serve(hung)
        with stopped(room, hung):
            began = time.monotonic()
            found = room.backend.statistics([hung] * 20, timedelta(seconds=0.5))
            # One after the other they take twice as long.
            assert time.monotonic() - began < 5
        assert not any(each.answered for each in found)

    @case("F36")
    def test_a_persons_client_has_its_password_in_the_environment_alone(self, room: Room) -> None:
        (plan,) = room.plans()
        command = room.backend.client(replace(room.server, cli="/usr/bin/some-client"), plan)
        if command is not None:
            assert "secret" not in " ".join(command.argv)
            assert plan.credentials.password in command.env.values()
            assert plan.credentials.admin_password not in command.env.values()
        recipe = room.backend.recipe([plan], Path("/some/auth.json"))
        assert "secret" not in recipe
        assert not recipe or "/some/auth.json" in recipe

    @case("F39")
    def test_shards_become_one_whole_database(self, room: Room) -> None:
        if not self.clusters:
            pytest.skip("it has no clusters")
        plans = room.plans(3)
        jobs = room.serve(*plans)
        assert not any(_ended(answer) for answer in room.processes.status(jobs).values())

    @case("F36", "F39")
    def test_shards_that_admit_nobody_else_become_one_whole_database(self, room: Room) -> None:
        if not self.clusters:
            pytest.skip("it has no clusters")
        file = room.path / "ca"
        try:
            peers = room.backend.certificate(room.server, file, clients=False)
        except UnsupportedError as error:
            assert "TLS" in str(error)
            return
        plans = [
            replace(plan, credentials=replace(plan.credentials, peers=peers))
            for plan in room.plans(3)
        ]
        room.serve(*plans)
        # Clients need to know nothing of that.
        assert not room.backend.readiness(plans[0]).authority

    @case("F39")
    def test_a_database_with_a_shard_missing_is_not_ready(self, room: Room) -> None:
        if not self.clusters:
            pytest.skip("it has no clusters")
        plans = room.plans(3)
        jobs = room.serve(*plans)
        room.processes.stop(jobs[:1])
        assert not room.backend.ready(plans, QUICKLY)

    @case("F23")
    def test_it_ends_when_asked_to(self, room: Room) -> None:
        (job,) = room.serve(*room.plans())
        room.processes.stop([job])
        assert room.end_of(job).returncode in {0, -signal.SIGTERM}

    @case("F23")
    def test_what_agrees_to_end_ends_well(self, room: Room) -> None:
        plans = [*room.plans(name="one"), *room.plans(name="two")]
        jobs = room.start(*plans)
        for plan in plans:
            wait_until(partial(room.backend.ready, [plan], QUICKLY), "a server that is ready")
        if not room.backend.end(plans, PATIENCE):
            pytest.skip("it ends by signals only")
        assert [room.end_of(job).returncode for job in jobs] == [0, 0]
        assert not room.backend.end(plans, QUICKLY)

    @case("F36")
    def test_a_server_of_somebody_else_is_not_told_to_end(self, room: Room) -> None:
        # Not even one that lets everybody in.
        (theirs,) = room.plans(name="theirs")
        theirs = replace(theirs, credentials=replace(theirs.credentials, open=True))
        room.serve(theirs)
        credentials = replace(theirs.credentials, admin_password="ours")
        assert not room.backend.end([replace(theirs, credentials=credentials)], QUICKLY)
        assert room.backend.ready([theirs], QUICKLY)

    @case("F23")
    def test_it_saves_and_ends_and_can_be_started_again(self, room: Room) -> None:
        (plan,) = room.plans()
        (job,) = room.serve(plan)
        assert room.backend.saved(plan) is None
        room.backend.shutdown([plan], PATIENCE)
        assert room.end_of(job).returncode == 0
        saved = room.backend.saved(plan)
        assert saved is not None
        assert saved.path.stat().st_size == saved.size > 0
        room.serve(plan)

    @case("F23", "F32")
    def test_a_shutdown_of_a_server_that_is_not_there_is_an_error(self, room: Room) -> None:
        with pytest.raises(DatabaseError):
            room.backend.shutdown(room.plans(), QUICKLY)

    @case("F30")
    def test_a_setting_made_while_it_ran_holds_when_its_files_start_it_again(
        self, room: Room
    ) -> None:
        (plan,) = room.plans()
        room.serve(plan)
        for key, value in (self.setting, room.backend.option("save", "77 1")):
            room.backend.configure([plan], key, value)
        files = {file.path: file.path.read_text() for file in self._files(room, plan)}
        room.processes.stop(room.jobs)
        assert any(self.setting[1] in text for text in files.values())
        step = Step(
            plan.name,
            Tag(f"{plan.name}-again"),
            replace(room.backend.command(room.server, plan), files=()),
            plan.directory,
            plan.directory / "out",
            plan.directory / "err",
        )
        (started,) = room.processes.start([step])
        assert started.id is not None, started.error
        room.jobs.append(started.id)
        wait_until(lambda: room.backend.ready([plan], QUICKLY), "a server that is ready")
        (found,) = room.backend.statistics([plan], QUICKLY)
        assert found.saves

    def _files(self, room: Room, plan: ShardPlan) -> Sequence[File]:
        return room.backend.command(room.server, plan).files

    @case("F21")
    def test_a_plan_can_be_started_again_in_its_directory(self, room: Room) -> None:
        plans = room.plans()
        for _ in range(2):
            (job,) = room.serve(*plans)
            room.processes.stop([job])


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


def _works_in(process: psutil.Process, directory: Path) -> bool:
    try:
        return Path(process.cwd()) == directory
    except (psutil.Error, OSError):
        return False


def _ended(answer: object) -> bool:
    return not isinstance(answer, Status) or answer.is_terminal
