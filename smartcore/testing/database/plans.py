"""What is done before a server is started: it is found, and a command is made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from smartcore.error import DatabaseError, InputError
from smartcore.spec import (
    Credentials,
    DatabaseBackend,
    Server,
)

from ..contract import case
from .base import DatabaseCases
from .room import SETTINGS, Room, stand_ins


class PlansCases(DatabaseCases):
    """Finding a server, and its command."""

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

    @case("F21")
    def test_which_files_there_are_is_known_before_addresses_and_passwords(
        self, room: Room
    ) -> None:
        plans = room.plans(3 if self.clusters else 1)
        unknown, _ = stand_ins(plans, room.backend)
        for plan, later in zip(plans, unknown, strict=True):
            nobody = replace(later, credentials=Credentials(""))
            files = room.backend.command(room.server, plan).files
            known = room.backend.command(room.server, nobody).files
            assert {file.path for file in files} == {file.path for file in known}

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
