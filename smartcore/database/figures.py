"""What a database does, for people: figures of its shards over a span of time, and their total."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from smartcore.amounts import size
from smartcore.spec import ShardStatistics

Fact = str | int | float | bool | None

NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Figures:
    """One shard over a span of time, or several in total.

    :param name: the shard
    :param problem: why nothing is known, the numbers are None then; or why the last attempt to
        write its data to disk failed
    :param memory: bytes used now
    :param memory_limit: bytes that may be used, 0 for no limit
    :param keys: how many there are now
    :param clients: connections now
    :param ops: commands in a second
    :param hits: reads in that time that found their key
    :param misses: reads in that time that did not
    :param evicted: keys that went in that time because the memory was full
    :param received: bytes from clients in a second, None if that is not known
    :param sent: bytes to clients in a second, None if that is not known
    """

    name: str
    problem: str = ""
    memory: int | None = None
    memory_limit: int | None = None
    keys: int | None = None
    clients: int | None = None
    ops: float | None = None
    hits: int | None = None
    misses: int | None = None
    evicted: int | None = None
    received: float | None = None
    sent: float | None = None

    @property
    def hit_ratio(self) -> float | None:
        """Part of the reads that found their key, from 0 to 1; None if there were none."""
        reads = (self.hits or 0) + (self.misses or 0)
        return (self.hits or 0) / reads if reads else None


def figures(
    now: ShardStatistics, before: ShardStatistics | None = None, seconds: float = 0.0
) -> Figures:
    """What a shard did between two answers.

    Without an earlier answer of the same life of the server: since its start, and commands in a
    second as the server itself measures them.

    :param seconds: the time between both
    """
    if not now.answered:
        return Figures(now.name, now.problem)
    told = Figures(
        now.name,
        now.save_problem,
        memory=now.memory,
        memory_limit=now.memory_limit,
        keys=now.keys,
        clients=now.clients,
        ops=now.ops_per_second,
        hits=now.hits,
        misses=now.misses,
        evicted=now.evicted,
    )
    if before is None or not before.answered or seconds <= 0 or now.commands < before.commands:
        return told
    return Figures(
        now.name,
        told.problem,
        memory=told.memory,
        memory_limit=told.memory_limit,
        keys=told.keys,
        clients=told.clients,
        ops=(now.commands - before.commands) / seconds,
        # CONFIG RESETSTAT sets them back.
        hits=max(0, now.hits - before.hits),
        misses=max(0, now.misses - before.misses),
        evicted=max(0, now.evicted - before.evicted),
        received=max(0, now.received - before.received) / seconds,
        sent=max(0, now.sent - before.sent) / seconds,
    )


def between(
    now: Sequence[ShardStatistics], before: Sequence[ShardStatistics] = (), seconds: float = 0.0
) -> list[Figures]:
    """:func:`figures` of each shard, by its name."""
    earlier = {each.name: each for each in before}
    return [figures(each, earlier.get(each.name), seconds) for each in now]


def total(all_of: Iterable[Figures], name: str = "total") -> Figures:
    """The sum over those that answered. There is a limit of memory if each of them has one."""
    known = [each for each in all_of if each.memory is not None]
    if not known:
        return Figures(name)
    limits = [each.memory_limit or 0 for each in known]
    return Figures(
        name,
        memory=sum(each.memory or 0 for each in known),
        memory_limit=sum(limits) if all(limits) else 0,
        keys=sum(each.keys or 0 for each in known),
        clients=sum(each.clients or 0 for each in known),
        ops=sum(each.ops or 0.0 for each in known),
        hits=sum(each.hits or 0 for each in known),
        misses=sum(each.misses or 0 for each in known),
        evicted=sum(each.evicted or 0 for each in known),
        received=_sum(each.received for each in known),
        sent=_sum(each.sent for each in known),
    )


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def facts(one: Figures) -> dict[str, Fact]:
    """The figures as they are written for programs; bytes, and None for what is not known."""
    ratio = one.hit_ratio
    return {
        "memory": one.memory,
        "memory_limit": one.memory_limit or None,
        "keys": one.keys,
        "clients": one.clients,
        "ops_per_second": _rounded(one.ops),
        "hits": one.hits,
        "misses": one.misses,
        "hit_ratio": None if ratio is None else round(ratio, 4),
        "evicted": one.evicted,
        "received_per_second": _rounded(one.received),
        "sent_per_second": _rounded(one.sent),
    }


def columns(one: Figures) -> dict[str, str]:
    """The figures as columns of a table; a dash for what is not known."""
    ratio = one.hit_ratio
    return {
        "memory": NOTHING if one.memory is None else size(one.memory),
        "limit": _limit(one),
        "keys": _count(one.keys),
        "clients": _count(one.clients),
        "ops/s": NOTHING if one.ops is None else _rate(one.ops),
        "hits": NOTHING if ratio is None else f"{ratio:.1%}",
        "in/s": NOTHING if one.received is None else size(one.received),
        "out/s": NOTHING if one.sent is None else size(one.sent),
        "evicted": _count(one.evicted),
    }


def fullness(one: Figures) -> float | None:
    """Part of the memory that is used, from 0 to 1; None without a limit."""
    if one.memory is None or not one.memory_limit:
        return None
    return one.memory / one.memory_limit


def _limit(one: Figures) -> str:
    if one.memory is None:
        return NOTHING
    part = fullness(one)
    return "none" if part is None else f"{size(one.memory_limit or 0)} ({part:.0%})"


def _count(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def shard_facts(one: ShardStatistics) -> Mapping[str, Fact]:
    """All that a shard said, for programs."""
    if not one.answered:
        return {"problem": one.problem}
    return {
        "memory": one.memory,
        "memory_peak": one.memory_peak,
        "memory_limit": one.memory_limit or None,
        "memory_host": one.memory_host,
        "keys": one.keys,
        "clients": one.clients,
        "commands": one.commands,
        "ops_per_second": one.ops_per_second,
        "hits": one.hits,
        "misses": one.misses,
        "evicted": one.evicted,
        "received": one.received,
        "sent": one.sent,
        "uptime": one.uptime.total_seconds(),
        "role": one.role or None,
        "cluster": one.cluster or None,
        "saves": one.saves,
        "saved": one.saved.isoformat() if one.saved else None,
        "save_problem": one.save_problem or None,
        "unsaved_changes": one.unsaved,
        "data": str(one.data) if one.saves and one.data else None,
        "problem": None,
    }
