"""All experiments of a user on this host: what runs (``smartcore ps``), what has no owner and what
is left over (``smartcore gc``).

An owner is a living driver. Reading order: :mod:`~.places` (where experiments are, and who drives
them), :mod:`~.overview`, :mod:`~.orphans` (processes), :mod:`~.leftovers` (files).
"""

from __future__ import annotations

from .leftovers import Leftover, find_leftovers, remove
from .orphans import Orphan, databases_in_use, end_orphans, find_orphans, users_of
from .overview import Overview, look
from .places import Place, find_places, own_processes

__all__ = [
    "Leftover",
    "Orphan",
    "Overview",
    "Place",
    "databases_in_use",
    "end_orphans",
    "find_leftovers",
    "find_orphans",
    "find_places",
    "look",
    "own_processes",
    "remove",
    "users_of",
]
