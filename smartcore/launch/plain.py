"""Facts about runs as plain data, and back: what journals are made of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from smartcore.launch.plan import Share
from smartcore.spec import Cause, Node, Resources, Source, State, Status

_COUNTS = ("nodes", "tasks", "tasks_per_node", "cpus_per_task", "gpus_per_node", "memory_per_node")


def resources_to_json(resources: Resources) -> dict[str, object]:
    """What a step needs, as plain data; what is not said is left out."""
    found: dict[str, object] = {name: getattr(resources, name) for name in _COUNTS}
    found["hosts"], found["excluded_hosts"] = resources.hosts, resources.excluded_hosts
    found["allocation"] = resources.allocation
    return {name: value for name, value in found.items() if value}


def resources_from_json(content: Mapping[str, object]) -> Resources:
    """The way back from :func:`resources_to_json`."""
    return Resources(
        nodes=_count(content, "nodes"),
        tasks=_count(content, "tasks"),
        tasks_per_node=_count(content, "tasks_per_node"),
        cpus_per_task=_count(content, "cpus_per_task"),
        gpus_per_node=_count(content, "gpus_per_node"),
        memory_per_node=_count(content, "memory_per_node"),
        hosts=_texts(content.get("hosts")),
        excluded_hosts=_texts(content.get("excluded_hosts")),
        allocation=str(content.get("allocation", "")),
    )


def _count(content: Mapping[str, object], name: str) -> int | None:
    return int(str(content[name])) if name in content else None


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def status_to_json(status: Status) -> dict[str, object]:
    """A status as plain data."""
    return {
        "state": status.state.name,
        "returncode": status.returncode,
        "cause": status.cause.name if status.cause else None,
        "reason": status.reason,
        "source": status.source.name,
        "seen": status.seen.timestamp(),
        "host": status.host,
        "elapsed": status.elapsed.total_seconds() if status.elapsed is not None else None,
    }


def status_from_json(content: Mapping[str, object]) -> Status:
    """The way back from :func:`status_to_json`."""
    code, elapsed, cause = content["returncode"], content["elapsed"], content["cause"]
    return Status(
        state=State[str(content["state"])],
        returncode=None if code is None else int(str(code)),
        cause=None if cause is None else Cause[str(cause)],
        reason=str(content["reason"]),
        source=Source[str(content["source"])],
        seen=time_of(float(str(content["seen"]))),
        host=str(content["host"]),
        elapsed=None if elapsed is None else timedelta(seconds=float(str(elapsed))),
    )


def share_from_json(item: Mapping[str, object]) -> Share:
    """A part of a node, from its fields."""
    numbers = {key: int(str(item[key])) for key in ("tasks", "cpus", "gpus", "memory")}
    return Share(str(item["node"]), **numbers)


def node_from_json(item: Mapping[str, object]) -> Node:
    """A node, from its fields."""
    memory = item["memory"]
    return Node(
        str(item["name"]),
        int(str(item["cpus"])),
        int(str(item["gpus"])),
        None if memory is None else int(str(memory)),
    )


def time_of(seconds: float) -> datetime:
    """Seconds since 1970 as a time."""
    return datetime.fromtimestamp(seconds, UTC)
