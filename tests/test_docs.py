"""The code blocks of the README are run, and its list of commands is what make offers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S)
OUTPUTS = re.findall(r"^```text\n(.*?)^```$", README, re.M | re.S)
LINK = re.compile(r"\[[^\]]+\]\(([^)#]+)[^)]*\)")


def test_the_readme_has_programs_to_run() -> None:
    assert PROGRAMS
    assert OUTPUTS


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_program_of_the_readme_prints_what_the_readme_shows(number: int, tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text(PROGRAMS[number])
    done = subprocess.run(
        [sys.executable, "driver.py"],
        cwd=tmp_path,
        env={**os.environ, "SMARTCORE_LAUNCHER": "local"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert masked(done.stdout) == masked(OUTPUTS[number])


def masked(text: str) -> list[list[str]]:
    """Rows of words; ids, times and the widths of columns differ from run to run."""
    text = re.sub(r"\d+\.\d+", "#", text)
    return [re.sub(r"-{2,}", "--", line).split() for line in text.strip().splitlines()]


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/*.md")), ids=str
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^\s*make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


RELIABILITY = (ROOT / "docs" / "reliability.md").read_text()


TESTS = re.compile(r"`((?:plugins/\w+/)?tests/[^`]+)`")


@pytest.mark.parametrize("name", sorted(set(TESTS.findall(RELIABILITY))))
def test_what_a_promise_is_tested_by_is_there(name: str) -> None:
    file, _, test = name.partition("::")
    path = ROOT / file
    assert path.exists()
    assert not test or f"\ndef {test}(" in path.read_text()


def test_every_promise_names_a_test() -> None:
    rows = [line for line in RELIABILITY.splitlines() if line.startswith("| ")]
    promises = [row for row in rows if not row.startswith("| promise |")]
    assert promises
    assert all("::test_" in row for row in promises)


DATABASES = (ROOT / "docs" / "databases.md").read_text()
SCRIPTS = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", DATABASES, re.M | re.S))
SAID = {
    "clustered.py": ["cold: mean 0.45", "warm: mean 0.45", "hot: mean 0.45"],
    "beside_tcp.py": ["the field came back by tcp"],
    "beside_uds.py": ["the field came back by unix socket"],
    "several.py": ["fields holds fields", "features holds features", "scratch holds scratch"],
}


def test_every_driver_script_about_databases_is_run() -> None:
    assert {name for name, text in SCRIPTS.items() if "import Experiment" in text} == set(SAID)


@pytest.mark.parametrize("name", SAID)
def test_a_driver_script_about_databases_runs_on_this_host(name: str, tmp_path: Path) -> None:
    for file, text in SCRIPTS.items():
        (tmp_path / file).write_text(text)
    done = subprocess.run(
        [sys.executable, name],
        cwd=tmp_path,
        env={**os.environ, "SMARTCORE_LAUNCHER": "local"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert [line for line in said if line in SAID[name]] == SAID[name]
