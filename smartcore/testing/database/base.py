"""What every part of the contract of database back ends builds on: the facts, and servers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from smartcore.error import DatabaseError
from smartcore.spec import (
    DatabaseBackend,
    Server,
)

from ..context import load
from ..contract import Contract
from .room import Room


class DatabaseCases(Contract):
    """The facts that a subclass states, and the fixtures that it may replace.

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
