"""In-memory databases: their description, and what is common to all kinds of servers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .live import LiveDatabase, client_environment
from .orchestrator import DEFAULT_BACKEND, Orchestrator

if TYPE_CHECKING:
    from .checkpoint import reconnect
    from .credentials import read_secret
    from .plan import planned_shards
    from .start import Runner, start_database

__all__ = [
    "DEFAULT_BACKEND",
    "LiveDatabase",
    "Orchestrator",
    "Runner",
    "client_environment",
    "planned_shards",
    "read_secret",
    "reconnect",
    "start_database",
]

# What only a start needs is imported with it: describing a database stays cheap.
_LATER = {
    "Runner": "start",
    "planned_shards": "plan",
    "read_secret": "credentials",
    "reconnect": "checkpoint",
    "start_database": "start",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
