"""Limits that a site or a user sets to how hard a scheduler may be pressed: pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from smartcore.spec.scheduler import Rates

# A burst above a limit is allowed for as long as a person hardly notices, in seconds.
BURST = 5.0


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Limits of a site or a user; None where they set none.

    :param queries_per_minute: queries and cancels
    :param submits_per_second: submits
    :param first_interval: the least time between two queries, soon after a change
    :param last_interval: the same when nothing changes
    :param timeout: how long one command may take; no limit, but instead of what the plugin says
    """

    queries_per_minute: float | None = None
    submits_per_second: float | None = None
    first_interval: timedelta | None = None
    last_interval: timedelta | None = None
    timeout: timedelta | None = None


def configured(number: Callable[[str], float]) -> Ceiling:
    """The ceiling that the settings say.

    :param number: the value of a setting, by its name
    """

    def limit(name: str) -> float | None:
        return number(f"scheduler.{name}") or None

    def time(name: str) -> timedelta | None:
        seconds = limit(name)
        return None if seconds is None else timedelta(seconds=seconds)

    return Ceiling(
        limit("queries_per_minute"),
        limit("submits_per_second"),
        time("query_interval_min"),
        time("query_interval_max"),
        time("command_timeout"),
    )


def limited(rates: Rates, ceiling: Ceiling) -> Rates:
    """The rates of a plugin, none of them above those that a site or a user allows."""
    queries, query_burst = _rate(
        rates.queries_per_minute, rates.query_burst, ceiling.queries_per_minute, 60
    )
    submits, submit_burst = _rate(
        rates.submits_per_second, rates.submit_burst, ceiling.submits_per_second, 1
    )
    first = max(rates.first_interval, ceiling.first_interval or rates.first_interval)
    last = max(rates.last_interval, ceiling.last_interval or rates.last_interval, first)
    return replace(
        rates,
        timeout=ceiling.timeout or rates.timeout,
        queries_per_minute=queries,
        query_burst=query_burst,
        submits_per_second=submits,
        submit_burst=submit_burst,
        first_interval=first,
        last_interval=last,
    )


def _rate(rate: float, burst: int, limit: float | None, seconds: float) -> tuple[float, int]:
    if limit is None or limit >= rate:
        return rate, burst
    return limit, max(1, min(burst, int(BURST * limit / seconds)))
