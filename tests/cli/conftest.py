"""The command, run in this process with plugins of the test's own."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from smartcore.cli import main
from smartcore.cli.shell import Shell

if TYPE_CHECKING:
    from tests.conftest import Site

Run = Callable[..., Result]


@pytest.fixture
def smartcore(site: Site, fresh_logging: logging.Logger) -> Run:
    """Runs ``smartcore`` with these arguments; of plugins it sees those of ``site``."""

    def run(*argv: str) -> Result:
        return CliRunner().invoke(main, list(argv), obj=Shell(site.points()))

    return run


@pytest.fixture
def smartcore_json(smartcore: Run) -> Callable[..., Any]:
    """Runs ``smartcore`` with these arguments and ``--json``, and reads what it prints."""

    def run(*argv: str) -> Any:
        return json.loads(smartcore(*argv, "--json").stdout)

    return run
