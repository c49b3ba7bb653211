"""What every part of the launcher contract builds on: the facts, and the bench."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest

from smartcore.spec import Closes, Launcher, LauncherContext, Status, Step

from ..context import clean_up, launcher_context, load_factory
from ..contract import Contract
from ..running import PATIENCE, Bench

T = TypeVar("T")


class LauncherCases(Contract):
    """The facts that a subclass states, and the fixtures that it may replace.

    :cvar factory: target of the launcher's factory, as it is registered
    :cvar detect: target of its detector; empty if it has none
    :cvar exit_through_shell: exit codes come to the launcher through a shell, which spells death by
        signal n and exit code 128 + n alike
    :cvar patience: how long anything may take before a test fails. Longer for a queue.
    """

    factory: ClassVar[str]
    detect: ClassVar[str] = ""
    exit_through_shell: ClassVar[bool] = False
    patience: ClassVar[timedelta] = PATIENCE

    @pytest.fixture
    def machine(self) -> None:
        """Replace this to prepare what the launcher needs, such as a scheduler on PATH."""

    @pytest.fixture
    def experiment(self, tmp_path: Path) -> Path:
        """Replace this where jobs cannot see ``tmp_path``; the directory need not exist."""
        return tmp_path / "experiment"

    @pytest.fixture
    def bench(self, machine: None, experiment: Path) -> Iterator[Bench]:
        context = launcher_context(experiment)
        launcher = self.make(context)
        bench = Bench(launcher, experiment.with_name("runs"), self.patience)
        try:
            yield bench
        finally:
            try:
                bench.close()
            finally:
                close(launcher, context)
                clean_up(experiment)

    def make(self, context: LauncherContext) -> Launcher:
        """The launcher, as the core makes it."""
        launcher = load_factory(self.factory)(context)
        assert isinstance(launcher, Launcher), f"{self.factory} made a {type(launcher).__name__}"
        return launcher

    def is_end(self, status: Status, returncode: int) -> bool:
        """True if this is what ``returncode`` looks like when it comes from the launcher."""
        if status.returncode is None or not self.exit_through_shell:
            return status.returncode == returncode
        return _as_shell(status.returncode) == _as_shell(returncode)


def _as_shell(returncode: int) -> int:
    return 128 - returncode if returncode < 0 else returncode


def close(launcher: Launcher, context: LauncherContext) -> None:
    """Give back what a launcher holds, whether or not it passes that on to the core's service."""
    if isinstance(launcher, Closes):
        launcher.close()
    context.processes.close()


def able(launcher: Launcher, ability: type[T]) -> T:
    """The launcher with an optional ability; the test is skipped if it has none."""
    if not isinstance(launcher, ability):
        pytest.skip(f"{type(launcher).__name__} has not the ability {ability.__name__}")
    return launcher


def read(step: Step) -> str:
    """What a step printed."""
    return step.stdout.read_text()
