"""Throw-away distributions, and settings and logging that no other test sees."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from textwrap import dedent

import pytest

from smartcore.launch import journal, spawn
from smartcore.registry import Registry

# Helpers of several modules of tests.
sys.path.insert(0, str(Path(__file__).parent / "support"))


class Site:
    """A directory of installed distributions."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(
        self,
        plugin: str,
        hooks: str = "",
        *,
        distribution: str = "",
        version: str = "1.0",
        requires: str = "smartcore ~= 0.1.0",
        module: str = "",
        files: Mapping[str, str] | None = None,
    ) -> None:
        """Install a distribution with one plugin, as pip leaves it.

        :param hooks: source of the module that the entry point names
        :param files: further modules, ``name -> source``
        """
        distribution = distribution or f"smartcore-{plugin}"
        module = module or f"{distribution.replace('-', '_')}_plugin"
        head = "from smartcore.spec import hookimpl\n"
        sources = {f"{module}.py": head + dedent(hooks)}
        sources |= {f"{name}.py": dedent(text) for name, text in (files or {}).items()}
        info = f"{distribution.replace('-', '_')}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        sources[f"{info}/METADATA"] = metadata + (
            f"Requires-Dist: {requires}\n" if requires else ""
        )
        sources[f"{info}/entry_points.txt"] = f"[smartcore]\n{plugin} = {module}\n"
        sources[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*sources, f"{info}/RECORD"])
        (self.path / info).mkdir()
        for name, text in sources.items():
            (self.path / name).write_text(text)

    def points(self) -> list[EntryPoint]:
        """The entry points of all that was installed here."""
        found = distributions(path=[str(self.path)])
        return [point for one in found for point in one.entry_points if point.group == "smartcore"]

    def registry(self, disabled: Collection[str] | None = ()) -> Registry:
        """A registry of what was installed here, and of nothing else."""
        return Registry(self.points(), disabled=disabled)

    def run(self, *argv: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python in an environment that has this directory, too."""
        return subprocess.run(
            [sys.executable, *argv],
            env={**os.environ, "PYTHONPATH": str(self.path), **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides the settings of whoever runs the tests."""
    for name in os.environ:
        if name.startswith("SMARTCORE_"):
            monkeypatch.delenv(name)
    empty = tmp_path / "no-settings.toml"
    empty.touch()
    monkeypatch.setenv("SMARTCORE_CONFIG", str(empty))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_settings: None) -> Iterator[Site]:
    """An empty site whose modules this process can import."""
    path = tmp_path / "site"
    path.mkdir()
    monkeypatch.syspath_prepend(str(path))
    yield Site(path)
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(path)):
            del sys.modules[name]


@pytest.fixture
def fresh_logging() -> Iterator[logging.Logger]:
    """The logger of smartcore as it is before anybody asked for messages."""
    root = logging.getLogger("smartcore")
    handlers, level = root.handlers, root.level
    root.handlers, root.level = [], logging.NOTSET
    root.setLevel(logging.NOTSET)
    yield root
    for handler in root.handlers:
        handler.close()
    root.handlers = handlers
    root.setLevel(level)


Drives = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Drives]:
    """Runs driver scripts in ``tmp_path``; what they leave is ended, however the test ends."""
    drivers = []

    def start(text: str, **variables: str) -> subprocess.Popen[str]:
        (tmp_path / "driver.py").write_text(dedent(text))
        process = subprocess.Popen(
            [sys.executable, "-u", "driver.py"],
            cwd=tmp_path,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        drivers.append(process)
        return process

    yield start
    for process in drivers:
        with process:
            process.kill()
    for directory in tmp_path.glob("*/.smartcore"):
        for run in journal.read(directory.parent).runs:
            target = spawn.open_process(run.job) if run.job else None
            if target is not None:
                spawn.end_sessions([target], 0)
