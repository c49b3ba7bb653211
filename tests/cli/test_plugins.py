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
def smartcore_register_launchers(registry):
    registry.add("flux", "flux_parts:Flux", detect="flux_parts:detect",
                 batch_settings="flux_parts:Batch", summary="a scheduler")
    registry.compose("aflux", scheduler="flux", run_command="fluxrun")

@hookimpl
def smartcore_register_run_commands(registry):
    registry.add("fluxrun", "flux_parts:Run", settings="flux_parts:RunSettings")

@hookimpl
def smartcore_register_sites(registry):
    registry.add("lab", "flux_parts:LAB")

@hookimpl
def smartcore_register_checks(registry):
    registry.add("broker", "flux_parts:check")

@hookimpl
def smartcore_register_commands(registry):
    registry.add("flux", "flux_parts:command")
"""
PARTS = """
import click
from smartcore.spec import *

class Flux: pass
class Run(RunCommand):
    def facts(self, executable, output, /): return Facts(executable)
    def build(self, launch, placement, facts, /): return Command(launch.argv)
class Batch(BatchSettings): pass
LAB = Site(("lab*",))
def detect(environment): return Detection(10, "seen")
def check(environment): return []
@click.command()
def command(): pass
"""
FACTS = {"module", "name", "distribution", "version", "requires", "state", "error", "registers"}


def add_flux(site: Site, parts: str = PARTS) -> None:
    site.add("flux", HOOKS, version="0.6", files={"flux_parts": parts})


def test_plugins_are_listed_in_one_line_each_with_their_state(site: Site, smartcore: Run) -> None:
    add_flux(site)
    site.add("bad", "raise OSError('first line\\nsecond line')")
    site.add("old", requires="smartcore ~= 99.0")
    result = smartcore("plugins", "list")
    assert result.exit_code == 0
    rows = [re.split(r"\s{2,}", line) for line in result.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["bad", "flux", "old"]
    assert [row[4] for row in rows] == ["broken", "ok", "broken"]
    assert rows[0][5].endswith("OSError: first line second line")
    assert rows[1] == ["flux", "smartcore-flux", "0.6", "smartcore ~= 0.1.0", "ok", "-"]
    assert "pip install --upgrade smartcore-old" in rows[2][5]


def test_a_disabled_plugin_is_listed_as_such(
    site: Site, smartcore_json: RunJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("bad", "1 / 0")
    monkeypatch.setenv("SMARTCORE_DISABLE_PLUGINS", "bad")
    (row,) = smartcore_json("plugins", "list")
    assert (row["state"], row["error"]) == ("disabled", None)


def test_one_plugin_is_shown_with_all_that_it_registers(
    site: Site, smartcore: Run, smartcore_json: RunJson
) -> None:
    add_flux(site)
    shown = smartcore_json("plugins", "show", "flux")
    assert set(shown) == FACTS
    assert [(entry["kind"], entry["name"]) for entry in shown["registers"]] == [
        ("launchers", "flux"),
        ("launchers", "aflux"),
        ("run_commands", "fluxrun"),
        ("sites", "lab"),
        ("checks", "broker"),
        ("commands", "flux"),
    ]
    text = smartcore("plugins", "show", "flux").stdout
    assert "smartcore_flux_plugin" in text
    assert "a scheduler" in text


def test_an_unknown_plugin_is_an_error_that_lists_the_installed_ones(
    site: Site, smartcore: Run
) -> None:
    add_flux(site)
    for command in ("show", "check"):
        result = smartcore("plugins", command, "flx")
        assert result.exit_code == 1
        assert result.stderr == "smartcore: error: no plugin named 'flx'; installed: flux\n"


def test_a_good_plugin_passes_its_check(site: Site, smartcore: Run) -> None:
    add_flux(site)
    result = smartcore("plugins", "check")
    assert result.exit_code == 0, result.stdout
    assert len(re.findall(r"\bok\b", result.stdout)) == 6


@pytest.mark.parametrize(
    ("good", "bad", "what", "words"),
    [
        ("class Flux: pass", "Flux = 3", "launcher flux", "flux_parts:Flux of 'flux'"),
        ("def detect", "def other", "launcher flux", "cannot give flux_parts:detect"),
        ("Batch(BatchSettings)", "Batch", "launcher flux", "is no BatchSettings class"),
        ("Run(RunCommand)", "Run", "run command fluxrun", "not a RunCommand"),
        ("LAB = Site", "LAB = str", "site lab", "not a Site"),
        ("def check", "check = 1\ndef other", "check broker", "cannot be called"),
        ("@click.command()", "", "command flux", "is no click command"),
    ],
)
def test_a_target_that_is_not_what_it_must_be_is_found(
    good: str, bad: str, what: str, words: str, site: Site, smartcore: Run, smartcore_json: RunJson
) -> None:
    assert good in PARTS
    add_flux(site, PARTS.replace(good, bad))
    rows = {row["what"]: row for row in smartcore_json("plugins", "check", "flux")}
    assert rows[what]["result"] == "broken"
    assert words in rows[what]["error"]
    assert smartcore("plugins", "check", "flux").exit_code == 1


@pytest.mark.parametrize(
    ("scheduler", "run_command", "words"),
    [
        ("slurm", "fluxrun", "pip install 'smartcore-slurm'"),
        ("flux", "jsrun", "pip install 'smartcore-lsf'"),
    ],
)
def test_a_composed_launcher_without_its_parts_is_found(
    scheduler: str, run_command: str, words: str, site: Site, smartcore_json: RunJson
) -> None:
    hook = f"""
@hookimpl
def smartcore_register_launchers(registry):
    registry.compose("mine", scheduler="{scheduler}", run_command="{run_command}")
"""
    add_flux(site)
    site.add("mine", hook)
    (row,) = smartcore_json("plugins", "check", "mine")
    assert words in row["error"]


def test_a_broken_plugin_fails_its_check_and_not_that_of_another(
    site: Site, smartcore: Run
) -> None:
    add_flux(site)
    site.add("bad", "1 / 0")
    assert smartcore("plugins", "check", "bad").exit_code == 1
    assert smartcore("plugins", "check", "flux").exit_code == 0
    assert smartcore("plugins", "check").exit_code == 1


def test_a_disabled_plugin_is_not_checked(
    site: Site, smartcore: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("bad", "1 / 0")
    monkeypatch.setenv("SMARTCORE_DISABLE_PLUGINS", "bad")
    result = smartcore("plugins", "check")
    assert result.exit_code == 0
    assert "disabled" in result.stdout


def test_where_there_are_no_plugins_that_is_said(smartcore: Run, smartcore_json: RunJson) -> None:
    for command in ("list", "check"):
        result = smartcore("plugins", command)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr == "no plugins are installed\n"
        assert smartcore_json("plugins", command) == []


def test_a_launcher_that_lacks_a_method_is_found_by_check(site: Site, smartcore: Run) -> None:
    unfinished = "class Flux(Launcher):\n    def start(self, work, /): return []\n"
    add_flux(site, PARTS.replace("class Flux: pass", unfinished))
    result = smartcore("plugins", "check", "flux")
    assert result.exit_code == 1
    assert "lacks status, stop" in " ".join(result.output.split())
