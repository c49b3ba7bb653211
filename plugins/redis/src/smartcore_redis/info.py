"""What servers say about themselves (INFO), of all shards at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

from smartcore.spec import ShardPlan, ShardStatistics

from .conf import data_path
from .resp import ProtocolError, Refusal, Reply, connect, login

_MOST_THREADS = 128


def ask_all(shards: Sequence[ShardPlan], timeout: timedelta) -> list[ShardStatistics]:
    """Ask each shard on a connection of its own; who hangs keeps nobody else waiting."""
    if len(shards) == 1:
        return [_ask(shards[0], timeout)]
    with ThreadPoolExecutor(min(len(shards), _MOST_THREADS)) as threads:
        return list(threads.map(partial(_ask, timeout=timeout), shards))


def _ask(shard: ShardPlan, timeout: timedelta) -> ShardStatistics:
    asked = ("INFO",), ("CONFIG", "GET", "save")
    questions: list[tuple[str, ...]] = [login(shard.credentials), *asked]
    if shard.clustered:
        questions.append(("CLUSTER", "INFO"))
    try:
        with connect(shard, timeout) as connection:
            welcome, *answers = connection.ask(*questions)
    except TimeoutError:
        seconds = timeout.total_seconds()
        problem = f"no answer at {shard.address} within {seconds:g} s"
        return ShardStatistics(shard.name, problem)
    except (OSError, EOFError, ProtocolError) as error:
        why = getattr(error, "strerror", None) or str(error) or "the connection was closed"
        return ShardStatistics(shard.name, f"no answer at {shard.address}: {why}")
    if isinstance(welcome, Refusal):
        return ShardStatistics(shard.name, f"refuses our password at {shard.address}: {welcome}")
    return statistics(shard, answers)


def statistics(shard: ShardPlan, answers: Sequence[Reply]) -> ShardStatistics:
    """What a shard says.

    :param answers: to INFO, CONFIG GET save and, if clustered, CLUSTER INFO. Formats: those
        commands' manual pages, <https://redis.io/docs/latest/commands/info/>
    """
    refused = next((answer for answer in answers if isinstance(answer, Refusal)), None)
    if refused is not None:
        return ShardStatistics(shard.name, f"refuses to tell: {refused}")
    info = facts(answers[0])
    number = partial(_number, info)
    configured = answers[1]
    points = configured[1] if isinstance(configured, list) and len(configured) == 2 else ""
    appends = info.get("aof_enabled") == "1"
    last = info.get("rdb_last_bgsave_status", "ok")
    return ShardStatistics(
        shard.name,
        memory=number("used_memory"),
        memory_peak=number("used_memory_peak"),
        memory_limit=number("maxmemory"),
        memory_host=number("total_system_memory"),
        keys=sum(_keys(value) for name, value in info.items() if re.fullmatch(r"db\d+", name)),
        clients=max(0, number("connected_clients") - 1),
        commands=number("total_commands_processed"),
        ops_per_second=float(number("instantaneous_ops_per_sec")),
        hits=number("keyspace_hits"),
        misses=number("keyspace_misses"),
        evicted=number("evicted_keys"),
        received=number("total_net_input_bytes"),
        sent=number("total_net_output_bytes"),
        uptime=timedelta(seconds=number("uptime_in_seconds")),
        saves=bool(points) or appends,
        saved=_saved(info),
        save_problem=""
        if last == "ok"
        else "it could not write its last checkpoint, its output says why",
        unsaved=number("rdb_changes_since_last_save"),
        data=shard.directory if appends else data_path(shard),
        role=info.get("role", ""),
        cluster=facts(answers[2]).get("cluster_state", "") if len(answers) > 2 else "",
    )


def facts(text: Reply) -> dict[str, str]:
    """``name:value`` lines; comments and blank lines are left out."""
    lines = text.splitlines() if isinstance(text, str) else []
    pairs = (line.partition(":") for line in lines if not line.startswith("#"))
    return {name: value for name, colon, value in pairs if colon}


def _number(info: Mapping[str, str], name: str) -> int:
    found = re.match(r"-?\d+", info.get(name, ""))
    return int(found[0]) if found else 0


def _keys(text: str) -> int:
    # keys=3,expires=0,avg_ttl=0
    return _number(dict(re.findall(r"(\w+)=(\d+)", text)), "keys")


def _saved(info: Mapping[str, str]) -> datetime | None:
    # A server that has never saved tells its own start as the time.
    last = _number(info, "rdb_last_save_time")
    now = _number(info, "server_time_usec") / 1e6
    began = now - _number(info, "uptime_in_seconds")
    in_background = info.get("rdb_last_bgsave_time_sec", "-1") != "-1"
    well = info.get("rdb_last_bgsave_status") == "ok"
    known = last > began + 1 or (in_background and well)
    return datetime.fromtimestamp(last, UTC) if known else None
