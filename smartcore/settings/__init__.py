"""Settings: how programs are run and what batch jobs ask for.

The classes of plugins (``MpirunSettings``, ``SrunSettings``...) are found when first asked for.
"""

from __future__ import annotations

from typing import Any

from smartcore.spec.container import Container, Singularity

from .base import BatchSettings, RunSettings, SettingsBase

__all__ = ["BatchSettings", "Container", "RunSettings", "SettingsBase", "Singularity"]


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from smartcore.lazy import resolve_class

    return resolve_class(name)
