from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import Home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    path = tmp_path / "e"
    path.mkdir()
    home = Home(path, [])
    yield home
    for driver in home.drivers:
        driver.processes.stop(driver.jobs)
        driver.processes.close()
