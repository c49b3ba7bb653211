"""The contract of database back ends, on real servers of this host where one is installed."""

from __future__ import annotations

from .base import DatabaseCases
from .clusters import ClusterCases
from .ending import EndingCases
from .plans import PlansCases
from .serving import ServingCases
from .settings import SettingsCases
from .telling import TellingCases


class DatabaseContract(
    PlansCases,
    ServingCases,
    SettingsCases,
    TellingCases,
    ClusterCases,
    EndingCases,
):
    """What a database back end promises. A plugin's tests subclass this.

    Cases that need a server are skipped where ``find`` does not find one.
    """


__all__ = ["DatabaseCases", "DatabaseContract"]
