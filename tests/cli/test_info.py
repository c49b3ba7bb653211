from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import Result

import smartcore as package
from smartcore.config.table import OTHER_VARIABLES, SETTINGS

if TYPE_CHECKING:
    from tests.conftest import Site

Run = Callable[..., Result]
RunJson = Callable[..., Any]


def test_every_setting_and_variable_is_listed_with_its_meaning(
    smartcore: Run, smartcore_json: RunJson
) -> None:
    found = smartcore_json("info")
    assert [row["variable"] for row in found["settings"]] == [one.variable for one in SETTINGS]
    assert {row["variable"] for row in found["variables"]} == set(OTHER_VARIABLES)
    text = smartcore("info").stdout
    for setting in SETTINGS:
        assert re.search(
            rf"^{setting.variable} +{setting.key} .*{re.escape(setting.doc)}$", text, re.M
        )


def test_values_come_with_their_origin(
    smartcore: Run, smartcore_json: RunJson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.toml"
    own.write_text("stop_grace = 9\n[database]\nallow_unauthenticated = true\n")
    monkeypatch.setenv("SMARTCORE_CONFIG", str(own))
    monkeypatch.setenv("SMARTCORE_MAX_RUNNING", "4")
    found = smartcore_json("info")
    rows = {row["setting"]: (row["value"], row["origin"]) for row in found["settings"]}
    assert rows["max_running"] == (4, "SMARTCORE_MAX_RUNNING")
    assert rows["stop_grace"] == (9.0, str(own))
    assert rows["database.allow_unauthenticated"] == (True, str(own))
    assert rows["progress"] == ("auto", "default")
    assert found["paths"]["settings read"] == [str(own)]
    assert re.search(r"database\.allow_unauthenticated +true +", smartcore("info").stdout)


def test_versions_and_paths_are_shown(site: Site, smartcore_json: RunJson) -> None:
    site.add("flux", version="0.6")
    found = smartcore_json("info")
    assert found["versions"]["smartcore"] == package.__version__
    assert found["versions"]["smartcore-flux"] == "0.6"
    assert found["paths"]["package"] == str(Path(package.__file__).parent)


def test_the_runtime_directory_is_shown_and_not_made(
    smartcore_json: RunJson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTCORE_RUNTIME_DIR", str(tmp_path / "sockets"))
    assert smartcore_json("info")["paths"]["runtime directory"] == str(tmp_path / "sockets")
    assert not (tmp_path / "sockets").exists()


def test_of_a_password_file_only_the_path_is_shown(
    smartcore: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "auth.json"
    secret.write_text('{"user": "models", "password": "open sesame"}')
    monkeypatch.setenv("SMARTCORE_DB_AUTH", str(secret))
    text = smartcore("info").stdout
    assert str(secret) in text
    assert "sesame" not in text
