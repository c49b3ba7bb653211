from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import Result

if TYPE_CHECKING:
    from tests.conftest import Site

Run = Callable[..., Result]

LAUNCHER = """
@hookimpl
def smartcore_register_launchers(registry):
    registry.add("flux", "x:Y", detect="flux_parts:detect")
"""
DETECT = "from smartcore.spec import Detection\ndef detect(e): return Detection(10, 'seen')"


@pytest.fixture
def sound(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add("flux", LAUNCHER, files={"flux_parts": DETECT})
    monkeypatch.setenv("SMARTCORE_RUNTIME_DIR", str(tmp_path / "rt"))


@pytest.mark.usefixtures("sound")
def test_warnings_are_no_failure(smartcore: Run) -> None:
    result = smartcore("doctor")
    assert result.exit_code == 0, result.stdout
    assert "WARNING" in result.stdout  # there is no database
    assert "FAILURE" not in result.stdout


@pytest.mark.usefixtures("sound")
def test_a_broken_plugin_is_a_failure(site: Site, smartcore: Run) -> None:
    site.add("bad", "1 / 0")
    result = smartcore("doctor", "--json")
    assert result.exit_code == 1
    rows = {row["check"]: row for row in json.loads(result.stdout)}
    assert rows["plugin bad"]["result"] == "FAILURE"
    assert rows["plugin flux"] == {
        "check": "plugin flux",
        "result": "OK",
        "seen": "smartcore-flux 1.0",
        "advice": None,
    }


@pytest.mark.usefixtures("sound")
def test_wrong_settings_are_a_row_of_the_table(
    smartcore: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTCORE_MAX_RUNNING", "many")
    result = smartcore("doctor")
    assert result.exit_code == 1
    assert "SMARTCORE_MAX_RUNNING is 'many'" in result.stdout
    assert "auto takes flux" in result.stdout
