"""Questions to the workload manager: which one is here, and what the current allocation is.

What a manager can say beyond this stands in ``smartcore.wlm.<launcher>``, which its plugin serves.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

from smartcore.detection import choose
from smartcore.error import UnsupportedError
from smartcore.registration import LauncherEntry
from smartcore.registry import default_registry


def detect_launcher() -> str:
    """The launcher that ``Experiment(launcher="auto")`` takes on this host.

    :raises UnsupportedError: none is usable here
    """
    registry = default_registry()
    return choose(registry, registry.load_config(), os.environ).name


def get_hosts(launcher: str | None = None) -> list[str]:
    """Names of the nodes of the current allocation.

    :param launcher: whose allocation; None detects
    :raises UnsupportedError: that launcher has no allocations to ask about
    :raises PluginMissingError: its plugin is not installed
    :raises SmartcoreError: there is no allocation here
    """
    hosts: list[str] = _question("get_hosts", launcher)()
    return hosts


def get_queue(launcher: str | None = None) -> str:
    """Queue or partition of the current allocation; arguments and errors as in
    :func:`get_hosts`.
    """
    queue: str = _question("get_queue", launcher)()
    return queue


def get_tasks(launcher: str | None = None) -> int:
    """Number of tasks in the current allocation; arguments and errors as in :func:`get_hosts`."""
    tasks: int = _question("get_tasks", launcher)()
    return tasks


def get_tasks_per_node(launcher: str | None = None) -> dict[str, int]:
    """Number of tasks on each node of the current allocation; arguments and errors as in
    :func:`get_hosts`.
    """
    tasks: dict[str, int] = _question("get_tasks_per_node", launcher)()
    return tasks


def _question(function: str, launcher: str | None) -> Callable[[], Any]:
    name = detect_launcher() if launcher is None else launcher.lower()
    module = f"{__name__}.{_scheduler(name)}"
    unsupported = UnsupportedError(
        f"the launcher {name!r} has no allocations that {function}() could ask about; name another"
        " one, as in smartcore launchers list"
    )
    try:
        served = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the plugin is there, something that it needs is not
        raise unsupported from None
    answer: Callable[[], Any] | None = getattr(served, function, None)
    if answer is None:
        raise unsupported
    return answer


def _scheduler(name: str) -> str:
    # A composed launcher's allocations are those of its scheduler.
    for entry in default_registry().entries("launchers"):
        if entry.name == name and isinstance(entry, LauncherEntry) and entry.scheduler:
            return entry.scheduler
    return name
