"""The launcher of docs/writing-a-launcher.md is made from the page, installed and used."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "writing-a-launcher.md"
BLOCK = re.compile(r"^```(?:toml|python)\n# (\S+)\n(.*?)^```$", re.M | re.S)


@pytest.fixture(scope="module")
def blocks() -> dict[str, str]:
    found = {name: text for name, text in BLOCK.findall(PAGE.read_text()) if "." in name}
    assert {"pyproject.toml", "driver.py"} <= set(found)
    return found


@pytest.fixture(scope="module")
def site(blocks: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("detached")
    for name, text in blocks.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    (source / "src" / "smartcore_detached" / "__init__.py").touch()
    target = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(target)]
    argv = [sys.executable, "-m", "pip", "install", *options, str(source)]
    subprocess.run(argv, check=True, timeout=100)
    return target


def run(site: Path, cwd: Path, *argv: str) -> str:
    # The site directory must be one that .pth files and metadata are looked for in: PYTHONPATH is.
    environment = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": str(cwd)}
    command = [sys.executable, *argv]
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_launcher_of_the_page_is_listed(site: Path, tmp_path: Path) -> None:
    table = run(site, tmp_path, "-m", "smartcore", "launchers", "list")
    (row,) = [line for line in table.splitlines() if line.startswith("detached")]
    assert "smartcore-detached" in row
    assert "setsid" in row


def test_the_driver_of_the_page_tells_the_truth(
    site: Path, tmp_path: Path, blocks: dict[str, str]
) -> None:
    (tmp_path / "driver.py").write_text(blocks["driver.py"])
    output = run(site, tmp_path, "driver.py")
    rows = {line.split("|")[2].strip(): line for line in output.splitlines() if line.count("|") > 6}
    assert "Completed" in rows["good"]
    assert re.search(r"Failed\s*\|\s*3\b", rows["bad"])
    assert re.search(r"Cancelled\s*\|\s*-15\b", rows["long"])
    assert (tmp_path / "hello" / "good" / "good.out").read_text() == "hello\n"
