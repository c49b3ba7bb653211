"""Runs a scheduler's commands: in the right environment, not too many, none of them for ever."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from smartcore.error import LauncherError, ShellError
from smartcore.launch.batch.environment import query_environment, submit_environment
from smartcore.launch.batch.limiter import Bucket
from smartcore.spec import Completed, run_command
from smartcore.spec.scheduler import CommandLineScheduler, Invocation, Rates


class Runner(Protocol):
    """Runs one command to its end; a program of this host unless a test says otherwise."""

    def __call__(
        self, invocation: Invocation, env: Mapping[str, str], rates: Rates, /
    ) -> Completed:
        """Run it within ``rates.timeout``.

        :raises ShellError: it could not be started, or did not end in time
        """


def run_program(invocation: Invocation, env: Mapping[str, str], rates: Rates, /) -> Completed:
    """Run a program of this host."""
    text = ""
    if invocation.stdin is not None:
        text = invocation.stdin.read_text(encoding="utf-8", errors="surrogateescape")
    return run_command(invocation.argv, timeout=rates.timeout, stdin=text, env=env)


@dataclass(frozen=True, slots=True)
class World:
    """What this part of the core touches, so that tests can give it another one.

    :param runner: runs commands
    :param clock: monotonic seconds, the same for all processes of the host
    :param sleep: waits for seconds
    :param environment: what commands inherit; None is that of this process at each command
    """

    runner: Runner = run_program
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    environment: Mapping[str, str] | None = None


@dataclass
class Commands:
    """One scheduler's commands.

    :param runtime: directory of this user on this host, where limits of rate are kept
    :param patience: how long a command may wait for its turn
    :param waited: seconds that commands have waited for their turns
    """

    scheduler: CommandLineScheduler
    rates: Rates
    runtime: Path
    world: World = field(default_factory=World)
    patience: float = 20.0
    waited: float = 0.0
    issued: dict[str, int] = field(default_factory=lambda: {"submit": 0, "query": 0})

    def __post_init__(self) -> None:
        rates, clock = self.rates, self.world.clock
        place = self.runtime / f"rate-{self.scheduler.name}"
        self._submits = Bucket(
            place.with_name(f"{place.name}-submit.json"),
            rates.submits_per_second,
            rates.submit_burst,
            clock,
        )
        self._queries = Bucket(
            place.with_name(f"{place.name}-query.json"),
            rates.queries_per_minute / 60,
            rates.query_burst,
            clock,
        )

    def submit(self, invocation: Invocation, patience: float) -> Completed:
        """Run a submit.

        :param patience: how long it may wait for its turn
        :raises ShellError: it could not be started, or did not end in time
        :raises RateLimitError: it is not its turn for long; nothing was run
        """
        environment = submit_environment(self._inherited(), self.scheduler.variables)
        return self._run("submit", self._submits, invocation, environment, patience)

    def query(self, invocation: Invocation) -> Completed:
        """Run a query or a cancel; errors as for ``submit``."""
        environment = query_environment(self._inherited(), self.scheduler.variables)
        return self._run("query", self._queries, invocation, environment, self.patience)

    def _inherited(self) -> Mapping[str, str]:
        given = self.world.environment
        return os.environ if given is None else given

    def _run(
        self,
        kind: str,
        bucket: Bucket,
        invocation: Invocation,
        environment: Mapping[str, str],
        patience: float,
    ) -> Completed:
        waited = 0.0
        while wait := bucket.take():
            if waited + wait > patience:
                raise RateLimitError(
                    f"{self.scheduler.name}: the limit of rate for {kind} commands of this user on"
                    " this host is used up by all experiments together",
                    wait,
                )
            self.world.sleep(wait)
            waited += wait
            self.waited += wait
        self.issued[kind] += 1
        return self.world.runner(invocation, environment, self.rates)


class RateLimitError(LauncherError):
    """A command was not run, because too many were run before.

    :param wait: seconds until there is a turn
    """

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


def never_started(error: ShellError) -> bool:
    """True if the program could not even be started, so that it certainly did nothing."""
    return isinstance(error.__cause__, OSError)
