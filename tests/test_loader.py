from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smartcore.error import (
    PluginBrokenError,
    PluginConflictError,
    PluginVersionError,
)
from smartcore.loader import Plugin, core_version, discover

if TYPE_CHECKING:
    from tests.conftest import Site

ROOT = Path(__file__).parents[1]

GOOD = """
@hookimpl
def smartcore_register_launchers(registry):
    registry.add("good", "smartcore_good_launcher:Good")
"""


def only(site: Site) -> Plugin:
    (plugin,) = site.registry().plugins
    return plugin


def test_a_good_plugin_is_known_with_its_distribution(site: Site) -> None:
    site.add("good", GOOD, version="1.2")
    plugin = only(site)
    assert plugin.usable
    assert plugin.state == "ok"
    assert (plugin.name, plugin.distribution, plugin.version) == ("good", "smartcore-good", "1.2")
    assert plugin.requires.replace(" ", "") == "~=0.1.0"


def test_a_plugin_that_breaks_at_import_keeps_its_error_and_harms_nobody(site: Site) -> None:
    site.add("good", GOOD)
    site.add("bad", "import no_such_module_of_anybody")
    registry = site.registry()
    assert registry.names("launchers") == ["good"]
    error = registry.plugin("bad").error
    assert isinstance(error, PluginBrokenError)
    assert isinstance(error.__cause__, ModuleNotFoundError)
    assert "smartcore-bad" in str(error)
    assert "no_such_module_of_anybody" in str(error)


def test_a_misspelt_hook_is_found_and_the_nearest_one_named(site: Site) -> None:
    site.add("bad", GOOD.replace("register_launchers", "register_launcher"))
    site.add("good", GOOD)
    registry = site.registry()
    error = registry.plugin("bad").error
    assert isinstance(error, PluginBrokenError)
    assert "smartcore_register_launcher;" in str(error)
    assert "smartcore_register_launchers?" in str(error)
    assert registry.plugin("good").usable


def test_a_hook_without_its_mark_is_found(site: Site) -> None:
    site.add("bad", GOOD.replace("@hookimpl", ""))
    assert "smartcore_register_launchers is not marked with @hookimpl" in str(only(site).error)


def test_a_hook_with_an_argument_that_smartcore_does_not_give_is_found(site: Site) -> None:
    site.add("bad", GOOD.replace("(registry)", "(registry, more)"))
    assert isinstance(only(site).error, PluginBrokenError)
    assert "more" in str(only(site).error)


@pytest.mark.parametrize("requires", ["smartcore ~= 99.1", "smartcore[testing] (<0.1)"])
def test_a_plugin_for_another_core_is_told_apart_without_importing_it(
    requires: str, site: Site, tmp_path: Path
) -> None:
    trace = tmp_path / "imported"
    site.add("old", f"open({str(trace)!r}, 'w').close()", requires=requires)
    error = only(site).error
    assert isinstance(error, PluginVersionError)
    assert "pip install --upgrade smartcore-old smartcore" in str(error)
    assert core_version() in str(error)
    assert not trace.exists()


@pytest.mark.parametrize(
    "requires",
    ["", "smartcore", "smartcore-other ~= 99.1", "smartcore ~= 99.1; extra == 'test'"],
)
def test_a_plugin_that_states_no_range_of_the_core_is_loaded(requires: str, site: Site) -> None:
    site.add("good", GOOD, requires=requires)
    assert only(site).usable
    assert only(site).requires == ""


def test_a_range_that_cannot_be_read_is_the_plugins_error(site: Site) -> None:
    site.add("bad", GOOD, requires="smartcore ~= one")
    assert isinstance(only(site).error, PluginBrokenError)


@pytest.mark.parametrize("fork_module", ["fork_plugin", "smartcore_good_plugin"])
def test_two_plugins_of_one_name_are_an_error_that_names_both_distributions(
    fork_module: str, site: Site
) -> None:
    site.add("good", GOOD, version="1.0")
    site.add("good", GOOD, distribution="fork-of-good", version="2.0", module=fork_module)
    registry = site.registry()
    assert registry.names("launchers") == []
    errors = [plugin.error for plugin in registry.plugins]
    assert len(errors) == 2
    for error in errors:
        assert isinstance(error, PluginConflictError)
        assert "fork-of-good 2.0 and smartcore-good 1.0" in str(error)


@pytest.mark.parametrize("disabled", [["good"], ["all"], ["other", "good"]])
def test_a_disabled_plugin_is_not_imported(disabled: list[str], site: Site, tmp_path: Path) -> None:
    trace = tmp_path / "imported"
    site.add("good", f"open({str(trace)!r}, 'w').close()")
    (plugin,) = site.registry(disabled).plugins
    assert plugin.disabled
    assert plugin.state == "disabled"
    assert not plugin.usable
    assert not trace.exists()


def test_disabling_one_of_two_plugins_of_one_name_is_no_way_to_choose(site: Site) -> None:
    site.add("good", GOOD)
    site.add("good", GOOD, distribution="fork-of-good")
    assert [plugin.disabled for plugin in discover(site.points(), ["good"])] == [True, True]


LIGHT = """
import sys
import smartcore.spec
before = set(sys.modules)
import {module}
print(sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize(
    "project", sorted(ROOT.glob("plugins/*/pyproject.toml")), ids=lambda path: path.parent.name
)
def test_the_hooks_of_a_plugin_import_only_the_standard_library_and_spec(project: Path) -> None:
    (module,) = tomllib.loads(project.read_text())["project"]["entry-points"]["smartcore"].values()
    code = LIGHT.format(module=module)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    own = module.partition(".")[0]
    loaded: list[str] = ast.literal_eval(done.stdout)
    assert own in loaded
    heavy = [
        name
        for name in loaded
        if name not in {own, module}
        and name.partition(".")[0] not in sys.stdlib_module_names
        and not name.startswith("smartcore.spec")
    ]
    assert not heavy
