"""Facts and defaults of one machine, packaged by its administrators; and health checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class Site:
    """One machine.

    :param hostnames: shell patterns of the names of its hosts
    :param defaults: settings as in ``smartcore.toml``, as ``section.key -> value``
    :param description: one line for people
    """

    hostnames: tuple[str, ...]
    defaults: Mapping[str, str | int | bool] = field(default_factory=dict)
    description: str = ""


class Verdict(Enum):
    """How a health check came out."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one health check.

    :param name: what was checked
    :param verdict: how it came out; a failure makes ``smartcore doctor`` exit with 1
    :param detail: what was seen
    :param advice: the next step, for anything but OK
    """

    name: str
    verdict: Verdict
    detail: str
    advice: str = ""


Check = Callable[[Mapping[str, str]], CheckResult | list[CheckResult]]
"""Looks at the environment and the host, changes nothing, takes two seconds at most."""
