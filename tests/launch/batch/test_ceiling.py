"""How limits of a site or a user meet the rates of a plugin."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.config import load
from smartcore.launch.batch import BatchLauncher, Ceiling, configured
from smartcore.launch.batch.ceiling import BURST, limited
from smartcore.session import Session
from smartcore.spec import Rates

if TYPE_CHECKING:
    from tests.conftest import Site

RATES = Rates()
numbers = st.floats(0.01, 1e6)


def test_without_limits_the_plugins_rates_hold() -> None:
    """F08."""
    assert limited(RATES, configured(load({}).number)) == RATES


@given(numbers, numbers, numbers, numbers)
def test_a_ceiling_lowers_and_never_raises(
    queries: float, submits: float, first: float, last: float
) -> None:
    """F08."""
    found = limited(
        RATES, Ceiling(queries, submits, timedelta(seconds=first), timedelta(seconds=last))
    )
    assert found.queries_per_minute == min(queries, RATES.queries_per_minute)
    assert found.submits_per_second == min(submits, RATES.submits_per_second)
    assert found.first_interval >= max(timedelta(seconds=first), RATES.first_interval)
    assert found.last_interval >= max(timedelta(seconds=last), RATES.last_interval)
    assert found.last_interval >= found.first_interval
    assert 1 <= found.query_burst <= RATES.query_burst
    assert 1 <= found.submit_burst <= RATES.submit_burst
    if submits < RATES.submits_per_second:
        assert found.submit_burst <= max(1, BURST * submits)


def test_once_a_minute_is_once_a_minute() -> None:
    """F08: what some sites ask for."""
    found = limited(RATES, Ceiling(queries_per_minute=1))
    assert (found.queries_per_minute, found.query_burst) == (1, 1)


def test_the_settings_reach_the_rates() -> None:
    environment = {
        "SMARTCORE_SCHEDULER_QUERIES_PER_MINUTE": "6",
        "SMARTCORE_SCHEDULER_SUBMITS_PER_SECOND": "2",
        "SMARTCORE_SCHEDULER_QUERY_INTERVAL_MIN": "20",
        "SMARTCORE_SCHEDULER_QUERY_INTERVAL_MAX": "90",
        "SMARTCORE_SCHEDULER_COMMAND_TIMEOUT": "45",
    }
    found = limited(RATES, configured(load(environment).number))
    assert (found.queries_per_minute, found.submits_per_second) == (6, 2)
    assert found.first_interval == timedelta(seconds=20)
    assert found.last_interval == timedelta(seconds=90)
    assert found.timeout == timedelta(seconds=45)


HOOKS = """
@hookimpl
def smartcore_register_launchers(registry):
    registry.add("fake", "fake_ceiling_parts:make")
"""
PARTS = """
from smartcore.testing.fakewlm.scheduler import FakeScheduler

def make(context):
    return context.batch(FakeScheduler())
"""


def test_the_settings_of_an_experiment_hold_for_its_launcher(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("fake", HOOKS, files={"fake_ceiling_parts": PARTS})
    monkeypatch.syspath_prepend(str(site.path))
    config = load(
        {
            "SMARTCORE_SCHEDULER_QUERIES_PER_MINUTE": "6",
            "SMARTCORE_RUNTIME_DIR": str(tmp_path / "rt"),
        }
    )
    launcher = Session("e", tmp_path, "fake", site.registry(), config, None).engine.launcher
    assert isinstance(launcher, BatchLauncher)
    assert launcher.commands.rates.queries_per_minute == 6
