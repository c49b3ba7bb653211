"""Servers that serve: when, where, and whom."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from smartcore.error import DatabaseError, UnsupportedError
from smartcore.spec import (
    ShardAddress,
)

from ..contract import case
from ..running import PATIENCE, wait_until
from .base import DatabaseCases
from .room import QUICKLY, Room, asked, encrypted, ended, filled, stand_ins


class ServingCases(DatabaseCases):
    """Coming to serve, and for whom."""

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

    @case("F35", "F39")
    def test_where_it_listens_may_become_known_after_its_command_was_made(self, room: Room) -> None:
        plans = room.plans(3 if self.clusters else 1)
        unknown, words = stand_ins(plans, room.backend)
        commands = [room.backend.command(room.server, plan) for plan in unknown]
        made = [filled(command, words) for command in commands]
        assert not any("stand-in" in file.text for command in made for file in command.files)
        room.run(*zip(plans, made, strict=True))
        wait_until(lambda: room.backend.ready(plans, QUICKLY), "a server that is ready")

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
        assert not ended(room.processes.status([job])[job])
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
