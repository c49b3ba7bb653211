from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import Result

if TYPE_CHECKING:
    from tests.conftest import Site

Run = Callable[..., Result]
RunJson = Callable[..., Any]

HOOKS = """
@hookimpl
def smartcore_register_databases(registry):
    registry.add("redis", "store_parts:Good")
    registry.add("store", "store_parts:Missing")
    registry.add("worse", "store_parts:Worse")
"""
PARTS = """
from smartcore.error import DatabaseError
from smartcore.spec import DatabaseBackend, Server

class Good(DatabaseBackend):
    name = "redis"
    def find(self, environment, /, *, setting=""): return Server("/opt/redis", "7.2", "REDIS_PATH")
for method in DatabaseBackend.__abstractmethods__ - {"find"}:
    setattr(Good, method, print)
Good.__abstractmethods__ = frozenset()

class Missing(Good):
    def find(self, environment, /, *, setting=""): raise DatabaseError("not on PATH; install one")

class Worse(Good):
    def find(self, environment, /, *, setting=""): return 1 / 0
"""


def test_back_ends_are_listed_with_their_server_or_the_reason(
    site: Site, smartcore: Run, smartcore_json: RunJson
) -> None:
    site.add("store", HOOKS, files={"store_parts": PARTS})
    rows = smartcore_json("databases", "list")
    assert rows[0] == {
        "name": "redis",
        "distribution": "smartcore-store",
        "default": True,
        "server": "/opt/redis",
        "version": "7.2",
        "source": "REDIS_PATH",
        "error": None,
    }
    assert (rows[1]["name"], rows[1]["server"]) == ("store", None)
    assert rows[1]["error"] == "not on PATH; install one"
    assert rows[2]["error"] == "ZeroDivisionError: division by zero"
    result = smartcore("databases", "list")
    assert result.exit_code == 0
    assert re.search(r"^redis .*/opt/redis +7\.2 +REDIS_PATH", result.stdout, re.M)


def test_the_setting_decides_which_is_the_default(
    site: Site, smartcore_json: RunJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("store", HOOKS, files={"store_parts": PARTS})
    monkeypatch.setenv("SMARTCORE_DB_BACKEND", "store")
    rows = smartcore_json("databases", "list")
    assert [row["default"] for row in rows] == [False, True, False]


def test_where_there_is_no_back_end_that_is_said(smartcore: Run) -> None:
    result = smartcore("databases", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no database back end is installed" in result.stderr
