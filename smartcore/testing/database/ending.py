"""Ends of servers, and new starts."""

from __future__ import annotations

import signal
from dataclasses import replace
from functools import partial

import pytest

from smartcore.error import DatabaseError

from ..contract import case
from ..running import PATIENCE, wait_until
from .base import DatabaseCases
from .room import QUICKLY, Room


class EndingCases(DatabaseCases):
    """Ends of servers, and new starts."""

    @case("F23")
    def test_it_ends_when_asked_to(self, room: Room) -> None:
        (plan,) = room.plans()
        (job,) = room.serve(plan)
        room.processes.stop([job])
        assert room.end_of(job).returncode in {0, -signal.SIGTERM}
        # It is configured to write nothing when it ends.
        assert not room.backend.kept_all(plan, (plan.directory / "out").read_text())

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

    @case("F21")
    def test_a_plan_can_be_started_again_in_its_directory(self, room: Room) -> None:
        plans = room.plans()
        for _ in range(2):
            (job,) = room.serve(*plans)
            room.processes.stop([job])
