"""The environment that a scheduler's commands get: pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

from smartcore.spec.scheduler import Variables


def submit_environment(inherited: Mapping[str, str], variables: Variables) -> dict[str, str]:
    """What a submit inherits: everything but the facts of a job that we are inside of.

    The user's own defaults and the client's configuration stay.
    """
    return {
        name: value
        for name, value in inherited.items()
        if _matches(name, variables.kept) or not _matches(name, variables.set_by_jobs)
    }


def query_environment(inherited: Mapping[str, str], variables: Variables) -> dict[str, str]:
    """What a query inherits: nothing that changes the form of its answer."""
    plain = {
        name: value
        for name, value in inherited.items()
        if not _matches(name, variables.format_queries)
    }
    for name in ("LANG", "LANGUAGE"):
        plain.pop(name, None)
    return {**plain, "LC_ALL": "C", **variables.query}


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
