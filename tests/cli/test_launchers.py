from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import Result

if TYPE_CHECKING:
    from tests.conftest import Site

Run = Callable[..., Result]
RunJson = Callable[..., Any]


def add(site: Site, name: str, score: int, *, auto: bool = True, version: str = "1.0") -> None:
    site.add(
        name,
        f"""
@hookimpl
def smartcore_register_launchers(registry):
    registry.add({name!r}, "{name}_parts:L", detect="{name}_parts:detect", auto={auto},
                 run_commands=["{name}run"], summary="the {name} scheduler")
""",
        version=version,
        files={
            f"{name}_parts": f"""
from smartcore.spec import Detection
def detect(environment): return Detection({score}, "{name} was\\nseen", "23.1")
"""
        },
    )


def test_launchers_are_listed_best_first_with_the_one_that_auto_takes(
    site: Site, smartcore: Run
) -> None:
    add(site, "flux", 10)
    add(site, "maui", 100, version="2.10")
    add(site, "shy", 200, auto=False)
    add(site, "gone", 0)
    result = smartcore("launchers", "list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    rows = [re.split(r"\s{2,}", line) for line in lines[2:6]]
    assert rows == [
        ["shy", "smartcore-shy", "1.0", "yes", "200", "no", "shy was seen"],
        ["maui", "smartcore-maui", "2.10", "yes", "100", "yes", "maui was seen"],
        ["flux", "smartcore-flux", "1.0", "yes", "10", "no", "flux was seen"],
        ["gone", "smartcore-gone", "1.0", "no", "0", "no", "gone was seen"],
    ]
    assert lines[-1] == "auto takes maui: maui was seen (score 100)"


def test_the_list_as_json_has_the_same_facts(site: Site, smartcore_json: RunJson) -> None:
    add(site, "flux", 10)
    listed = smartcore_json("launchers", "list")
    assert listed["launchers"] == [
        {
            "name": "flux",
            "distribution": "smartcore-flux",
            "version": "1.0",
            "usable": True,
            "score": 10,
            "auto": True,
            "evidence": "flux was\nseen",
        }
    ]
    assert listed["auto"]["name"] == "flux"


def test_the_setting_decides_what_auto_takes(
    site: Site, smartcore_json: RunJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(site, "flux", 10)
    add(site, "maui", 100)
    monkeypatch.setenv("SMARTCORE_LAUNCHER", "Flux")
    taken = smartcore_json("launchers", "list")["auto"]
    assert taken["name"] == "flux"
    assert "SMARTCORE_LAUNCHER" in taken["why"]
    monkeypatch.setenv("SMARTCORE_LAUNCHER", "auto")
    assert smartcore_json("launchers", "detect")["name"] == "maui"


def test_a_setting_that_names_a_missing_launcher_is_told(
    site: Site, smartcore: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(site, "flux", 10)
    monkeypatch.setenv("SMARTCORE_LAUNCHER", "slurm")
    listed = smartcore("launchers", "list")
    assert listed.exit_code == 0
    assert "auto takes none: the launcher 'slurm' is not installed" in listed.stdout
    detected = smartcore("launchers", "detect")
    assert detected.exit_code == 1
    assert "pip install 'smartcore-slurm'" in detected.stderr


def test_broken_plugins_and_launchers_in_conflict_are_no_end_of_the_list(
    site: Site, smartcore: Run
) -> None:
    add(site, "flux", 10)
    site.add("bad", "1 / 0")
    hook = """
@hookimpl
def smartcore_register_launchers(registry):
    registry.add("twice", "x:Y")
"""
    site.add("one", hook)
    site.add("two", hook)
    result = smartcore("launchers", "list")
    assert result.exit_code == 0
    assert re.search(r"^twice\s+smartcore-one, smartcore-two\s.*no", result.stdout, re.M)
    assert "auto takes flux" in result.stdout
    assert result.stderr == "broken plugins: bad; see: smartcore plugins list\n"


def test_one_launcher_is_shown_with_what_it_is_made_of(site: Site, smartcore: Run) -> None:
    add(site, "flux", 10)
    result = smartcore("launchers", "show", "FLUX")
    assert result.exit_code == 0
    facts = dict(re.findall(r"^(.+?):\s+(.+)$", result.stdout, re.M))
    assert facts["summary"] == "the flux scheduler"
    assert facts["run commands"] == "fluxrun"
    assert facts["workload manager"] == "23.1"
    assert facts["batch settings"] == "-"


def test_detect_prints_the_name_alone(site: Site, smartcore: Run) -> None:
    add(site, "flux", 10)
    assert smartcore("launchers", "detect").stdout == "flux\n"


def test_detect_fails_where_nothing_is_usable(smartcore: Run) -> None:
    result = smartcore("launchers", "detect")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no installed launcher is usable here" in result.stderr
    as_json = smartcore("launchers", "detect", "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["name"] is None
