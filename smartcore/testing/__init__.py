"""The conformance suite: contracts that a plugin's tests subclass, and programs to run them on.

Needs ``pip install 'smartcore[testing]'``. ::

    from smartcore.testing import LauncherContract

    class TestFlux(LauncherContract):
        factory = "smartcore_flux.launcher:Flux"
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .colocation import ColocationContract
    from .contract import Contract, case
    from .database import DatabaseContract
    from .launcher import LauncherContract
    from .run_command import RunCommandContract
    from .running import Bench, run_to_end
    from .scheduler import SchedulerContract

__all__ = [
    "Bench",
    "ColocationContract",
    "Contract",
    "DatabaseContract",
    "LauncherContract",
    "RunCommandContract",
    "SchedulerContract",
    "case",
    "run_to_end",
]

_HOMES = {
    "Bench": "running",
    "ColocationContract": "colocation",
    "Contract": "contract",
    "DatabaseContract": "database",
    "LauncherContract": "launcher",
    "RunCommandContract": "run_command",
    "SchedulerContract": "scheduler",
    "case": "contract",
    "run_to_end": "running",
}
# Their assertions are to explain themselves as those of test files do.
_REWRITTEN = ("colocation", "database", "launcher", "run_command", "scheduler")


def __getattr__(name: str) -> object:
    # The fake programs live below this package and must start quickly: without pytest.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in _REWRITTEN))
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
