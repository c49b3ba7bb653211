"""Experiments whose launcher has nodes, which are addresses of this host."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from placing import HOOKS, ON, PARTS, points

from smartcore import Experiment
from smartcore.registry import Registry
from smartcore.testing.running import lacks

if TYPE_CHECKING:
    from tests.conftest import Site


@pytest.fixture
def registry(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    if shutil.which("redis-server") is None:
        lacks("redis-server is not installed")
    site.add("placing", HOOKS, files={"placing_parts": PARTS})
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "on").write_text(ON)
    (programs / "on").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return Registry(points(site))


@pytest.fixture
def exp(registry: Registry, tmp_path: Path) -> Iterator[Experiment]:
    path = tmp_path / "exp"
    path.mkdir()
    with Experiment("exp", str(path), "placing", registry=registry) as made:
        yield made
