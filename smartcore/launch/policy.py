"""What the failure of one model leads to, for itself and for those that were started with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from smartcore.error import InputError, InputTypeError


class OnFailure(Enum):
    """What becomes of the other models of one start when a model has failed for good."""

    CONTINUE = "continue"
    """They go on; those that wait are started."""
    DRAIN = "drain"
    """What runs goes on; what waits is never started."""
    STOP = "stop"
    """All are stopped."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the failure of a model leads to.

    :param retries: how many times it is run again
    :param on_failure: what becomes of the others when that did not help
    """

    retries: int = 0
    on_failure: OnFailure = OnFailure.CONTINUE


DEFAULT = Policy()


def make_policy(retries: object, on_failure: object) -> Policy:
    """A policy from what a user gave.

    :raises InputError: a value that does not exist
    :raises InputTypeError: something else than a number and a text
    """
    if isinstance(retries, bool) or not isinstance(retries, int):
        raise InputTypeError(f"retries is {retries!r}; give a whole number")
    if retries < 0:
        raise InputError(f"retries is {retries}; give 0 or more")
    values = [choice.value for choice in OnFailure]
    if on_failure not in values:
        raise InputError(f"on_failure is {on_failure!r}; give one of: {', '.join(values)}")
    return Policy(retries, OnFailure(on_failure))
