from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from smartcore import wlm
from smartcore.error import PluginMissingError, UnsupportedError
from smartcore.known import known_plugins

SERVED = [
    (module.removeprefix("smartcore.wlm."), target, plugin.distribution)
    for plugin in known_plugins()
    for module, target in plugin.modules.items()
    if module.startswith("smartcore.wlm.")
]


def installed(target: str) -> bool:
    return find_spec(target.partition(".")[0]) is not None


@pytest.fixture
def fresh_modules() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(("launcher", "target", "distribution"), SERVED)
def test_a_launcher_that_is_not_installed_is_an_error_with_the_pip_name(
    launcher: str, target: str, distribution: str
) -> None:
    if installed(target):
        pytest.skip(f"{distribution} is installed")
    with pytest.raises(PluginMissingError, match=f"pip install '{distribution}'"):
        wlm.get_hosts(launcher)


@pytest.mark.parametrize("launcher", ["local", "no-such-launcher", "", "a/b", "a.b"])
def test_a_launcher_without_allocations_cannot_be_asked(launcher: str) -> None:
    with pytest.raises(UnsupportedError, match=r"get_queue\(\)"):
        wlm.get_queue(launcher)


@pytest.mark.usefixtures("fresh_modules")
def test_the_plugin_s_module_answers_and_one_without_the_function_is_unsupported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher, target, distribution = SERVED[0]
    if installed(target):
        pytest.skip(f"{distribution} is installed")
    package, _, module = target.partition(".")
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    (tmp_path / package / f"{module}.py").write_text(
        "def get_hosts(): return ['n1', 'n2']\n"
        "def get_tasks_per_node(): return {'n1': 2, 'n2': 1}\n"
        "def get_tasks(): return 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert wlm.get_hosts(launcher.upper()) == ["n1", "n2"]
    assert wlm.get_tasks_per_node(launcher) == {"n1": 2, "n2": 1}
    assert wlm.get_tasks(launcher) == 3
    with pytest.raises(UnsupportedError, match="get_queue"):
        wlm.get_queue(launcher)


@pytest.mark.usefixtures("fresh_modules")
def test_a_plugin_that_lacks_something_it_needs_says_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher, target, distribution = SERVED[0]
    if installed(target):
        pytest.skip(f"{distribution} is installed")
    package, _, module = target.partition(".")
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    (tmp_path / package / f"{module}.py").write_text("import something_that_is_not_there\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="something_that_is_not_there"):
        wlm.get_hosts(launcher)


def test_the_detected_launcher_is_a_registered_one() -> None:
    from smartcore.registry import default_registry

    assert wlm.detect_launcher() in {*default_registry().names("launchers"), "local"}
