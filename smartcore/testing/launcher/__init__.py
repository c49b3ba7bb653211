"""The contract of launchers: what holds for every one of them, whatever it launches on."""

from __future__ import annotations

from .asking import AskingCases
from .base import LauncherCases
from .ends import EndsCases
from .leaks import LeaksCases
from .many import ManyCases
from .names import NamesCases
from .others import OthersCases
from .output import OutputCases
from .passing import PassingCases
from .refusals import RefusalsCases
from .stopping import StoppingCases
from .telling import DetectionCases, TellingCases


class LauncherContract(
    EndsCases,
    OutputCases,
    PassingCases,
    NamesCases,
    RefusalsCases,
    ManyCases,
    AskingCases,
    StoppingCases,
    OthersCases,
    TellingCases,
    DetectionCases,
    LeaksCases,
):
    """What a launcher promises. A plugin's tests subclass this, and state ``factory``.

    Optional abilities (``Watches``, ``Attaches``, ``Limits``, ``Closes``) are found by looking at
    the launcher; cases for those that it has not are skipped.
    """


__all__ = ["LauncherCases", "LauncherContract"]
