from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smartcore.doctor import examine, servers
from smartcore.spec import CheckResult, Verdict

if TYPE_CHECKING:
    from tests.conftest import Site

LAUNCHER = """
@hookimpl
def smartcore_register_launchers(registry):
    registry.add("flux", "x:Y", detect="flux_parts:detect")
"""
DETECT = "from smartcore.spec import Detection\ndef detect(e): return Detection(10, 'seen')"
CHECK = """
@hookimpl
def smartcore_register_checks(registry):
    registry.add("licence", "licence_parts:check")
"""


def checks(site: Site, **variables: str) -> dict[str, CheckResult]:
    environment = {"SMARTCORE_RUNTIME_DIR": str(site.path.parent / "rt"), **variables}
    return {result.name: result for result in examine(site.registry(), environment)}


def add_launcher(site: Site) -> None:
    site.add("flux", LAUNCHER, files={"flux_parts": DETECT})


def test_a_sound_host_passes_every_check(site: Site) -> None:
    add_launcher(site)
    found = checks(site)
    expected = "Python, smartcore, plugin flux, settings, launcher, ports, open files, processes"
    for name in [*expected.split(", "), "kernel", "working directory", "runtime directory"]:
        assert found[name].verdict is Verdict.OK, found[name]
    assert found["launcher"].detail == "auto takes flux: seen (score 10)"
    assert all(result.detail for result in found.values())


def test_a_missing_database_is_a_warning_with_the_pip_name(site: Site) -> None:
    found = checks(site)["database redis"]
    assert found.verdict is Verdict.WARNING
    assert "pip install 'smartcore-redis[embedded]'" in found.detail


def test_every_problem_comes_with_advice(site: Site) -> None:
    site.add("bad", "1 / 0")
    for result in checks(site, SMARTCORE_MAX_RUNING="1").values():
        assert bool(result.advice) is (result.verdict is not Verdict.OK), result


def test_a_broken_plugin_is_a_failure_that_shows_the_error(site: Site) -> None:
    site.add("bad", "1 / 0")
    found = checks(site)["plugin bad"]
    assert found.verdict is Verdict.FAILURE
    assert "ZeroDivisionError" in found.detail
    assert "smartcore-bad" in found.advice


def test_a_host_where_nothing_can_launch_is_a_failure(site: Site) -> None:
    assert checks(site)["launcher"].verdict is Verdict.FAILURE


def test_a_setting_that_names_a_missing_launcher_is_a_failure(site: Site) -> None:
    add_launcher(site)
    found = checks(site, SMARTCORE_LAUNCHER="slurm")["launcher"]
    assert found.verdict is Verdict.FAILURE
    assert "smartcore-slurm" in found.detail
    assert checks(site, SMARTCORE_LAUNCHER="Flux")["launcher"].verdict is Verdict.OK


def test_wrong_settings_are_a_failure_and_no_end_of_the_checks(site: Site) -> None:
    add_launcher(site)
    found = checks(site, SMARTCORE_MAX_RUNNING="many")
    assert found["settings"].verdict is Verdict.FAILURE
    assert "SMARTCORE_MAX_RUNNING is 'many'" in found["settings"].detail
    assert found["launcher"].verdict is Verdict.OK


def test_a_misspelt_variable_is_a_warning(site: Site) -> None:
    found = checks(site, SMARTCORE_MAX_RUNING="3")["settings"]
    assert found.verdict is Verdict.WARNING
    assert found.advice == "is SMARTCORE_MAX_RUNNING meant?"


@contextmanager
def limit(which: int, soft: int) -> Iterator[None]:
    before = resource.getrlimit(which)
    resource.setrlimit(which, (soft, before[1]))
    yield
    resource.setrlimit(which, before)


def test_a_low_limit_of_open_files_is_a_warning(site: Site) -> None:
    registry = site.registry()
    with limit(resource.RLIMIT_NOFILE, 256):
        found = {result.name: result for result in examine(registry, {})}["open files"]
    assert found.verdict is Verdict.WARNING
    assert found.detail.startswith("256 ")
    assert "ulimit -n" in found.advice


def test_a_runtime_directory_open_to_others_is_a_failure(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "open"
    path.mkdir()
    path.chmod(0o755)
    found = checks(site, SMARTCORE_RUNTIME_DIR=str(path))["runtime directory"]
    assert found.verdict is Verdict.FAILURE
    assert "chmod 700" in found.detail


def test_a_runtime_directory_too_long_for_sockets_is_a_warning(site: Site, tmp_path: Path) -> None:
    found = checks(site, SMARTCORE_RUNTIME_DIR=str(tmp_path / ("x" * 90)))["runtime directory"]
    assert found.verdict is Verdict.WARNING
    assert "shorter" in found.advice


def test_a_working_directory_that_is_gone_is_a_warning(site: Site, tmp_path: Path) -> None:
    code = (
        "import os, pathlib; pathlib.Path('gone').mkdir(); os.chdir('gone'); os.rmdir('../gone')\n"
    )
    code += "from smartcore.doctor import examine\nfrom smartcore.registry import Registry\n"
    code += "print([(r.name, r.verdict.name) for r in examine(Registry([]), {})])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "('working directory', 'WARNING')" in done.stdout


@pytest.mark.parametrize(
    ("body", "verdicts", "words"),
    [
        ("return CheckResult('a', Verdict.OK, 'fine')", {"a": "OK"}, "fine"),
        (
            "return [CheckResult(e['N'], Verdict.OK, 'x'), CheckResult('b', Verdict.WARNING, 'x')]",
            {"n": "OK", "b": "WARNING"},
            "x",
        ),
        ("raise OSError('no server')", {"licence": "FAILURE"}, "'licence' failed: OSError"),
        ("return 'fine'", {"licence": "FAILURE"}, "no CheckResult"),
    ],
)
def test_the_checks_of_plugins_are_run(
    body: str, verdicts: dict[str, str], words: str, site: Site
) -> None:
    parts = f"from smartcore.spec import CheckResult, Verdict\ndef check(e): {body}"
    site.add("licence", CHECK, files={"licence_parts": parts})
    found = checks(site, N="n")
    assert {name: found[name].verdict.name for name in verdicts} == verdicts
    assert words in found[next(iter(verdicts))].detail


def test_a_check_that_cannot_be_loaded_is_a_failure(site: Site) -> None:
    site.add("licence", CHECK)
    assert checks(site)["licence"].verdict is Verdict.FAILURE


def test_back_ends_in_conflict_are_told_as_such(site: Site) -> None:
    hook = """
    @hookimpl
    def smartcore_register_databases(registry):
        registry.add("redis", "x:Y")
    """
    site.add("one", hook)
    site.add("two", hook)
    (found,) = servers(site.registry(), {})
    assert "two distributions" in found.error
    assert checks(site)["database redis"].verdict is Verdict.WARNING


def test_a_server_that_was_asked_for_and_is_not_there_is_a_failure(site: Site) -> None:
    add_launcher(site)
    assert checks(site, SMARTCORE_DB_BACKEND="nosuch")["database nosuch"].verdict is Verdict.FAILURE


def test_an_interface_that_is_not_there_is_a_failure(site: Site) -> None:
    add_launcher(site)
    found = checks(site, SMARTCORE_DB_INTERFACE="nosuch0")["database interface"]
    assert found.verdict is Verdict.FAILURE
    assert "nosuch0" in found.detail


def test_a_disabled_plugin_that_is_not_there_is_a_warning(site: Site) -> None:
    add_launcher(site)
    found = checks(site, SMARTCORE_DISABLE_PLUGINS="nosuch")["disable_plugins"]
    assert (found.verdict, found.detail) == (Verdict.WARNING, "no plugin is called nosuch")
