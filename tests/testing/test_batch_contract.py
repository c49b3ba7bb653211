"""The contract of launchers on the core's launcher for command-line schedulers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from smartcore.testing import LauncherContract
from smartcore.testing.fakewlm.cluster import FakeCluster, fake_cluster

SILENT = "a shell says nothing of a program that died of this signal: its reason tells of both"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeCluster]:
    with fake_cluster(tmp_path_factory.mktemp("cluster"), kill_wait=0.3) as cluster:
        yield cluster


class TestFake(LauncherContract):
    factory = "fake_launcher:make"
    expected_failures: ClassVar[Mapping[str, str]] = {
        "test_death_by_a_signal_is_a_failure_and_the_signal_told[2]": SILENT,
        "test_death_by_a_signal_is_a_failure_and_the_signal_told[13]": SILENT,
    }

    @pytest.fixture
    def machine(self, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(str(Path(__file__).parent))
        monkeypatch.setenv("PATH", f"{cluster.bin}:{os.environ['PATH']}")
