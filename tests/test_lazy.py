from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from smartcore import lazy
from smartcore.error import PluginMissingError
from smartcore.known import KnownPlugin, known_plugins

if TYPE_CHECKING:
    from tests.conftest import Site

CLASSES = [(plugin, name) for plugin in known_plugins() for name in plugin.classes]
MODULES = [(plugin, name) for plugin in known_plugins() for name in plugin.modules]


def installed(module: str) -> bool:
    return find_spec(module.partition(".")[0]) is not None


@pytest.mark.parametrize(("plugin", "name"), CLASSES, ids=lambda value: str(value)[-30:])
def test_a_well_known_class_is_served_or_its_pip_name_is_told(
    plugin: KnownPlugin, name: str
) -> None:
    settings = importlib.import_module("smartcore.settings")
    if installed(plugin.classes[name]):
        assert getattr(settings, name).__name__ == name
        return
    with pytest.raises(PluginMissingError, match=plugin.distribution) as caught:
        getattr(settings, name)
    assert isinstance(caught.value, ImportError)


@pytest.mark.parametrize(("plugin", "name"), MODULES, ids=lambda value: str(value)[-30:])
def test_a_well_known_module_is_served_or_its_pip_name_is_told(
    plugin: KnownPlugin, name: str
) -> None:
    target = plugin.modules[name]
    if installed(target):
        assert importlib.import_module(name) is importlib.import_module(target)
        return
    with pytest.raises(PluginMissingError, match=plugin.distribution) as caught:
        importlib.import_module(name)
    assert isinstance(caught.value, ImportError)
    assert name not in sys.modules


def test_importing_a_function_of_a_missing_scheduler_tells_the_pip_name() -> None:
    if installed("smartcore_lsf"):
        pytest.skip("smartcore-lsf is installed")
    with pytest.raises(ImportError, match="pip install 'smartcore-lsf'") as caught:
        exec("from smartcore.settings.lsfSettings import JsrunSettings")
    assert isinstance(caught.value, PluginMissingError)


def test_a_plugin_that_is_installed_later_is_served(site: Site) -> None:
    if installed("smartcore_sge"):
        pytest.skip("smartcore-sge is installed")
    package = site.path / "smartcore_sge"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "settings.py").write_text("class SgeQsubBatchSettings: pass")
    code = "from smartcore.settings.sgeSettings import SgeQsubBatchSettings as a\n"
    code += "from smartcore.settings import SgeQsubBatchSettings as b\nassert a is b"
    done = site.run("-c", code)
    assert done.returncode == 0, done.stderr


def test_what_a_plugin_itself_lacks_is_not_called_a_missing_plugin(site: Site) -> None:
    if installed("smartcore_sge"):
        pytest.skip("smartcore-sge is installed")
    package = site.path / "smartcore_sge"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "settings.py").write_text("import no_such_library")
    done = site.run("-c", "import smartcore.settings.sgeSettings")
    assert "ModuleNotFoundError: No module named 'no_such_library'" in done.stderr
    assert "pip install" not in done.stderr


@pytest.mark.parametrize("name", ["smartcore.wlm.nobody", "smartcore.nobody", "smartcore.ml.x"])
def test_an_unknown_module_is_an_ordinary_import_error(name: str) -> None:
    with pytest.raises(ImportError) as caught:
        importlib.import_module(name)
    if not name.startswith("smartcore.ml"):
        assert type(caught.value) is ModuleNotFoundError


def test_an_unknown_class_is_an_ordinary_attribute_error() -> None:
    settings = importlib.import_module("smartcore.settings")
    assert not hasattr(settings, "NobodySettings")
    with pytest.raises(AttributeError, match="NobodySettings"):
        _ = settings.NobodySettings


def test_the_finder_is_installed_once_and_stands_last() -> None:
    lazy.install()
    finders = [finder for finder in sys.meta_path if isinstance(finder, lazy.PluginPathFinder)]
    assert len(finders) == 1


HEAVY = ["click", "rich", "jinja2", "psutil", "tabulate", "pluggy", "packaging", "logging"]


def test_importing_smartcore_imports_nothing_heavy() -> None:
    code = f"import sys, smartcore; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
