"""What all contracts share: cases that name their class of failure, and that nobody overrides."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, ParamSpec

import pytest

from smartcore.error import InputError

from .failures import FAILURES

P = ParamSpec("P")
_PACKAGE = __name__.rpartition(".")[0]


def case(*failures: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Mark a test of a contract with the classes of failure that it looks for.

    They are kept as ``failure_classes`` of the test, and told when it fails.
    """

    def mark(test: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(test)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            __tracebackhide__ = True
            try:
                test(*args, **kwargs)
            except AssertionError as error:
                for name in failures:
                    error.add_note(f"{name}: {FAILURES[name]}")
                raise

        run.failure_classes = failures  # type: ignore[attr-defined]
        return run

    return mark


class Contract:
    """Base of the contracts. A subclass states facts as class attributes; it cannot replace a test.

    :cvar expected_failures: tests that are known to fail, ``name -> reason``; a name may be that of
        a whole test or of one of its cases, ``test_x[case]``. One that passes is an error, so that
        the list stays true.
    :raises InputError: a subclass replaces a test, or expects one to fail that does not exist
    """

    expected_failures: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if _is_ours(cls):
            return
        for name in _cases(cls) | {"_expect_failure"}:
            if not _is_ours(_home(cls, name)):
                raise InputError(
                    f"{cls.__name__} replaces {name} of its contract; list what is known to fail in"
                    " expected_failures with a reason instead"
                )
        for name, reason in cls.expected_failures.items():
            if name.partition("[")[0] not in _cases(cls):
                raise InputError(
                    f"{cls.__name__} expects {name} to fail, but there is no such test"
                )
            if not reason.strip():
                raise InputError(f"{cls.__name__} gives no reason why {name} is expected to fail")

    @pytest.fixture(autouse=True)
    def _expect_failure(self, request: pytest.FixtureRequest) -> Iterator[None]:
        node = request.node
        known = self.expected_failures
        reason = known.get(node.name) or known.get(getattr(node, "originalname", ""))
        if reason:
            node.add_marker(pytest.mark.xfail(reason=reason, strict=True))
        yield


def _is_ours(cls: type) -> bool:
    return cls.__module__.startswith(f"{_PACKAGE}.")


def _cases(cls: type) -> set[str]:
    """Names of the tests that the contracts among the bases of a class have."""
    ours = [base for base in cls.__mro__ if _is_ours(base)]
    return {name for base in ours for name in vars(base) if name.startswith("test_")}


def _home(cls: type, name: str) -> type:
    return next(base for base in cls.__mro__ if name in vars(base))
