from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smartcore.cli.scaffold import new_plugin
from smartcore.error import InputError, PathExistsError


def run(*argv: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.parametrize(
    "name", ["", "Flux", "1st", "a b", "a--b", "-a", "a-", "a_b", "../a", "ü", "a\n"]
)
def test_a_name_that_no_launcher_can_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be the name of a launcher"):
        new_plugin(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_name_that_another_launcher_has_is_refused_with_its_distribution(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pip install smartcore-slurm"):
        new_plugin("slurm", tmp_path)


def test_nothing_that_is_there_is_overwritten(tmp_path: Path) -> None:
    new_plugin("flux", tmp_path)
    kept = (tmp_path / "smartcore-flux" / "README.md").read_text()
    with pytest.raises(PathExistsError, match="smartcore-flux exists already"):
        new_plugin("flux", tmp_path)
    assert (tmp_path / "smartcore-flux" / "README.md").read_text() == kept


def test_the_command_tells_what_it_wrote(tmp_path: Path) -> None:
    argv = (sys.executable, "-m", "smartcore", "plugins", "new", "my-site", "--into", "made")
    done = run(*argv, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = {Path(line) for line in done.stdout.splitlines()}
    assert Path("made/smartcore-my-site/src/smartcore_my_site/scheduler.py") in written
    assert all((tmp_path / path).is_file() for path in written)


@pytest.mark.timeout(300)
def test_a_new_plugin_installs_is_listed_and_its_tests_are_green(tmp_path: Path) -> None:
    source = new_plugin("my-site", tmp_path)
    site = tmp_path / "site"
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(site)]
    done = run(sys.executable, "-m", "pip", "install", *options, str(source), cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    argv = (sys.executable, "-m", "smartcore", "plugins", "check", "my-site")
    done = run(*argv, cwd=tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stdout + done.stderr

    argv = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    done = run(*argv, cwd=source, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
