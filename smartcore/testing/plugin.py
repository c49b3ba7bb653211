"""Options of pytest for the tests of plugins; load it with ``-p smartcore.testing.plugin``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("smartcore").addoption(
        "--live",
        action="store_true",
        help="run the contract of schedulers on the real workload manager of this host",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--live"):
        from .context import LIVE

        os.environ[LIVE] = "1"
