from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from smartcore.detection import best, find
from smartcore.error import (
    ConfigError,
    PluginBrokenError,
    PluginConflictError,
    PluginMissingError,
    UnsupportedError,
)
from smartcore.loader import Plugin
from smartcore.registration import LauncherEntry
from smartcore.registry import Registry
from smartcore.spec import RunCommand, State, Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Site

FLUX = """
@hookimpl
def smartcore_register_launchers(registry):
    registry.add(
        "flux",
        "smartcore_flux_parts:Flux",
        detect="smartcore_flux_parts:detect",
        run_commands=["fluxrun"],
        batch_settings="smartcore_flux_parts:FluxBatch",
        summary="a scheduler",
    )

@hookimpl
def smartcore_register_run_commands(registry):
    registry.add("fluxrun", "smartcore_flux_parts:FluxRun", settings="smartcore_flux_parts:Run")
"""
PARTS = """
from smartcore.spec import *

class Flux(Launcher):
    def __init__(self, context): self.context = context
    def start(self, work, /): return []
    def status(self, ids, /): return {}
    def stop(self, ids, /): pass

class FluxRun(RunCommand):
    def facts(self, executable, output, /): return Facts(executable)
    def build(self, launch, placement, facts, /): return Command(launch.argv)

class Run(RunSettings): pass
class FluxBatch: pass
def detect(environment): return Detection(int(environment.get("FLUX", 50)), "flux answers", "0.6")
"""
COMPOSED = """
@hookimpl
def smartcore_register_launchers(registry):
    registry.compose("aflux", scheduler="flux", run_command="fluxrun")
"""


def launcher_hook(name: str, *, target: str = "x:Y", more: str = "") -> str:
    return f"""
@hookimpl
def smartcore_register_launchers(registry):
    registry.add({name!r}, {target!r}{more})
"""


def add_flux(site: Site) -> None:
    site.add("flux", FLUX, files={"smartcore_flux_parts": PARTS})


def test_listing_names_imports_no_target(site: Site) -> None:
    site.add("flux", FLUX, files={"smartcore_flux_parts": "raise SystemError('imported')"})
    registry = site.registry()
    assert registry.names("launchers") == ["flux"]
    assert registry.names("run_commands") == ["fluxrun"]
    with pytest.raises(PluginBrokenError, match="imported") as caught:
        registry.run_command("fluxrun")
    assert "'flux' of smartcore-flux" in str(caught.value)


def test_a_target_is_made_once_and_is_what_it_must_be(site: Site) -> None:
    add_flux(site)
    registry = site.registry()
    made = registry.run_command("fluxrun")
    assert isinstance(made, RunCommand)
    assert registry.run_command("fluxrun") is made
    settings = registry.run_settings_class("fluxrun")
    assert settings is not None
    assert settings.__name__ == "Run"
    assert registry.batch_settings_class("flux").__name__ == "FluxBatch"


def test_a_target_of_the_wrong_kind_is_the_plugins_error(site: Site) -> None:
    wrong = PARTS.replace("class FluxRun(RunCommand)", "class FluxRun")
    site.add("flux", FLUX, files={"smartcore_flux_parts": wrong})
    with pytest.raises(PluginBrokenError, match="is a FluxRun, not a RunCommand"):
        site.registry().run_command("fluxrun")


def test_a_class_that_cannot_be_made_is_the_plugins_error(site: Site) -> None:
    wrong = PARTS.replace("def build", "def built")
    site.add("flux", FLUX, files={"smartcore_flux_parts": wrong})
    with pytest.raises(PluginBrokenError, match="'flux' of smartcore-flux cannot make"):
        site.registry().run_command("fluxrun")


def test_an_unknown_launcher_is_an_error_that_lists_the_installed_ones(site: Site) -> None:
    add_flux(site)
    with pytest.raises(UnsupportedError, match="no launcher named 'flx'; installed: flux"):
        site.registry().launcher("flx")


def test_a_well_known_launcher_that_is_missing_is_an_error_with_its_pip_name(site: Site) -> None:
    add_flux(site)
    with pytest.raises(PluginMissingError, match="pip install 'smartcore-slurm'; installed: flux"):
        site.registry().launcher("slurm")


def test_asking_for_a_broken_plugins_launcher_raises_what_broke_it(site: Site) -> None:
    site.add("slurm", "1 / 0")
    with pytest.raises(PluginBrokenError, match="ZeroDivisionError"):
        site.registry().launcher("slurm")


def test_an_unknown_name_with_a_broken_plugin_around_says_so(site: Site) -> None:
    site.add("bad", "1 / 0")
    with pytest.raises(UnsupportedError, match="broken plugins: bad"):
        site.registry().launcher("something")


def test_one_launcher_from_two_plugins_is_an_error_that_names_both_distributions(
    site: Site,
) -> None:
    site.add("one", launcher_hook("flux"))
    site.add(
        "two", launcher_hook("flux") + launcher_hook("other").replace("launchers", "databases")
    )
    registry = site.registry()
    with pytest.raises(PluginConflictError, match=r"smartcore-one 1\.0 and smartcore-two 1\.0"):
        registry.launcher("flux")
    assert registry.entries("launchers") == []
    assert registry.names("databases") == ["other"]
    (finding,) = find(registry, {})
    assert not finding.detection.usable
    assert "smartcore-two" in finding.detection.evidence


def test_one_name_twice_from_one_plugin_is_that_plugins_error(site: Site) -> None:
    more = '; registry.add("flux", "x:Z")'
    site.add("one", launcher_hook("flux").rstrip() + more)
    assert "'flux' is registered twice" in str(site.registry().plugin("one").error)


def test_a_plugin_whose_hook_fails_half_way_registers_nothing(site: Site) -> None:
    site.add("half", launcher_hook("flux").rstrip() + "; raise OSError('no licence')")
    registry = site.registry()
    assert registry.names("launchers") == []
    error = registry.plugin("half").error
    assert isinstance(error, PluginBrokenError)
    assert "smartcore_register_launchers" in str(error)
    assert "no licence" in str(error)


def test_a_plugin_whose_second_hook_fails_loses_the_first_ones_entries(site: Site) -> None:
    site.add("half", FLUX.replace('settings="smartcore_flux_parts:Run"', 'settings="nonsense"'))
    registry = site.registry()
    assert registry.names("launchers") == []
    assert "'nonsense' is not of the form 'module:attribute'" in str(registry.plugin("half").error)


@pytest.mark.parametrize("text", ["flux", " one , flux ", "all"])
def test_plugins_are_disabled_by_the_environment(
    text: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_flux(site)
    monkeypatch.setenv("SMARTCORE_DISABLE_PLUGINS", text)
    registry = site.registry(None)
    assert registry.names("launchers") == []
    with pytest.raises(PluginMissingError, match="switched off"):
        registry.launcher("flux")


def test_plugins_are_disabled_by_a_file(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_flux(site)
    (tmp_path / "own.toml").write_text('disable_plugins = ["flux"]')
    monkeypatch.setenv("SMARTCORE_CONFIG", str(tmp_path / "own.toml"))
    assert site.registry(None).plugin("flux").disabled


def test_an_event_hook_that_fails_is_logged_by_name_and_aborts_nothing(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trace = tmp_path / "told"
    hook = """
    @hookimpl
    def smartcore_after_end(name, status):
        {}
    """
    site.add("aaa", hook.format("raise RuntimeError('disk full')"))
    site.add("bbb", hook.format(f"__import__('pathlib').Path({str(trace)!r}).write_text(name)"))
    site.add("ccc", hook.format("raise RuntimeError('disk full')"))
    site.registry().emit(
        "smartcore_after_end", experiment="e", name="heat", status=Status(State.COMPLETED)
    )
    assert trace.read_text() == "heat"
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "the plugin 'aaa' failed in smartcore_after_end" in caplog.text
    assert "'ccc'" in caplog.text
    assert "disk full" in caplog.text


def test_a_composed_launcher_has_the_targets_of_its_scheduler(site: Site) -> None:
    add_flux(site)
    site.add("aflux", COMPOSED)
    entry = site.registry().launcher("aflux")
    assert entry.target == "smartcore_flux_parts:Flux"
    assert entry.detect == "smartcore_flux_parts:detect"
    assert entry.batch_settings == "smartcore_flux_parts:FluxBatch"
    assert (entry.scheduler, entry.run_commands) == ("flux", ("fluxrun",))
    assert entry.plugin == "aflux"


def test_auto_takes_the_scheduler_before_what_is_composed_of_it(site: Site) -> None:
    add_flux(site)
    site.add("aflux", COMPOSED)
    registry = site.registry()
    chosen = best(find(registry, {}))
    assert chosen is not None
    assert chosen.entry.name == "flux"


def test_a_composed_launcher_without_its_scheduler_is_listed_with_the_reason(site: Site) -> None:
    site.add("aflux", COMPOSED)
    registry = site.registry()
    (finding,) = find(registry, {})
    assert finding.entry.name == "aflux"
    assert "no launcher named 'flux'" in finding.detection.evidence
    assert best([finding]) is None


@pytest.mark.parametrize("scheduler", ["aflux", "bflux"])
def test_a_launcher_composed_of_a_composed_one_is_refused(scheduler: str, site: Site) -> None:
    site.add("aflux", COMPOSED.replace('"flux"', repr(scheduler)))
    site.add("bflux", COMPOSED.replace("aflux", "bflux").replace('"flux"', '"aflux"'))
    registry = site.registry()
    with pytest.raises(PluginBrokenError, match="itself composed"):
        registry.launcher("aflux")
    assert [found.detection.usable for found in find(registry, {})] == [False, False]


def test_the_highest_score_wins_and_what_declines_is_never_taken(site: Site) -> None:
    add_flux(site)
    detect = "from smartcore.spec import Detection\ndef {0}(e): return Detection({1}, 'seen')"
    for name, score, more in [
        ("shy", 100, ", detect='shy_parts:shy', auto=False"),
        ("low", 10, ", detect='low_parts:low'"),
        ("silent", 100, ""),
    ]:
        site.add(
            name,
            launcher_hook(name, more=more),
            files={f"{name}_parts": detect.format(name, score)},
        )
    registry = site.registry()
    findings = find(registry, {"FLUX": "50"})
    assert [found.entry.name for found in findings] == ["shy", "flux", "low", "silent"]
    assert not findings[-1].detection.usable
    chosen = best(findings)
    assert chosen is not None
    assert chosen.entry.name == "flux"
    assert chosen.detection.version == "0.6"


@pytest.mark.parametrize("body", ["raise OSError('no sinfo')", "return None", "return 100"])
def test_a_detector_that_fails_is_evidence_and_the_others_are_asked(body: str, site: Site) -> None:
    add_flux(site)
    site.add(
        "odd",
        launcher_hook("odd", more=", detect='odd_parts:detect'"),
        files={"odd_parts": f"def detect(environment): {body}"},
    )
    findings = find(site.registry(), {})
    assert [found.entry.name for found in findings] == ["flux", "odd"]
    assert not findings[1].detection.usable
    assert "'odd' of smartcore-odd failed in odd_parts:detect" in findings[1].detection.evidence


def test_a_detector_is_given_the_environment_asked_about(site: Site) -> None:
    add_flux(site)
    (finding,) = find(site.registry(), {"FLUX": "0"})
    assert not finding.detection.usable


def test_all_that_a_plugin_registered_is_listed(site: Site) -> None:
    add_flux(site)
    registered = site.registry().registered("flux")
    assert [(kind, entry.name) for kind, entry in registered] == [
        ("launchers", "flux"),
        ("run_commands", "fluxrun"),
    ]
    assert isinstance(registered[0][1], LauncherEntry)


SITE = """
@hookimpl
def smartcore_register_sites(registry):
    registry.add("here", "here_parts:SITE")
"""


def test_the_defaults_of_this_hosts_site_hold(site: Site) -> None:
    facts = (
        "from smartcore.spec import Site\nSITE = Site(({0!r},), {{'database.interface': 'ib0'}})"
    )
    site.add("here", SITE, files={"here_parts": facts.format(os.uname().nodename)})
    settings = site.registry().load_config({})
    assert settings.text("database.interface") == "ib0"
    assert settings.origin("database.interface") == "site"
    settings = site.registry().load_config({"SMARTCORE_DB_INTERFACE": "lo"})
    assert settings.text("database.interface") == "lo"


def test_another_hosts_site_changes_nothing(site: Site) -> None:
    facts = "from smartcore.spec import Site\nSITE = Site(('no-such-host*',), {'launcher': 'x'})"
    site.add("here", SITE, files={"here_parts": facts})
    assert site.registry().load_config({}).text("launcher") == ""


def test_nonsense_among_a_sites_defaults_is_an_error(site: Site) -> None:
    facts = "from smartcore.spec import Site\nSITE = Site(('*',), {'laucher': 'x'})"
    site.add("here", SITE, files={"here_parts": facts})
    with pytest.raises(ConfigError, match="is launcher meant"):
        site.registry().load_config({})


def test_a_registry_of_nothing_is_usable() -> None:
    registry = Registry([])
    assert registry.plugins == []
    assert find(registry, {}) == []
    assert best([]) is None
    assert registry.run_settings_class("anything") is None


def test_the_state_of_a_plugin_is_one_of_three() -> None:
    assert Plugin("a", "m").state == "ok"
    assert Plugin("a", "m", disabled=True).state == "disabled"
    assert Plugin("a", "m", error=PluginBrokenError("x")).state == "broken"
