"""Settings: whether a server has those that it was given, and gets those that it is given."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from smartcore.error import DatabaseError, InputError

from ..contract import case
from ..running import wait_until
from .base import DatabaseCases
from .room import QUICKLY, Room, asked


class SettingsCases(DatabaseCases):
    """Settings of a server that runs."""

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

    @case("F30")
    def test_a_setting_made_while_it_ran_holds_when_its_files_start_it_again(
        self, room: Room
    ) -> None:
        (plan,) = room.plans()
        room.serve(plan)
        for key, value in (self.setting, room.backend.option("save", "77 1")):
            room.backend.configure([plan], key, value)
        files = [file.path.read_text() for file in room.backend.command(room.server, plan).files]
        room.processes.stop(room.jobs)
        assert any(self.setting[1] in text for text in files)
        room.run((plan, replace(room.backend.command(room.server, plan), files=())))
        wait_until(lambda: room.backend.ready([plan], QUICKLY), "a server that is ready")
        (found,) = room.backend.statistics([plan], QUICKLY)
        assert found.saves
