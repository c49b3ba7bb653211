"""The hooks that plugins implement: registration, and events. A plugin is a module that has some of
these.

::

    from smartcore.spec import hookimpl

    @hookimpl
    def smartcore_register_launchers(registry):
        registry.add("flux", "smartcore_flux.launcher:Flux", detect="smartcore_flux.detect:detect")

Targets are strings ``"module:attribute"``, imported when used. The module with the hooks itself
imports nothing but the standard library and ``smartcore.spec``. Its entry point is in the group
``smartcore``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pluggy

from .state import Status

PROJECT = "smartcore"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class LauncherRegistrar(Protocol):
    """Takes the launchers of one plugin."""

    def add(
        self,
        name: str,
        factory: str,
        /,
        *,
        detect: str = "",
        run_commands: Sequence[str] = (),
        batch_settings: str = "",
        auto: bool = True,
        summary: str = "",
    ) -> None:
        """Register a launcher.

        :param name: what users give as ``launcher=``; lower case
        :param factory: target of a callable that takes a ``LauncherContext`` and makes a
            ``Launcher``
        :param detect: target of a ``Detector``
        :param run_commands: the run commands that ``run_command="auto"`` tries, best first;
            none means that the executable is run as it is
        :param batch_settings: target of the class that ``create_batch_settings`` makes; none:
            no batch jobs
        :param auto: ``launcher="auto"`` may choose it
        :param summary: one line for people
        """

    def compose(self, name: str, /, *, scheduler: str, run_command: str, summary: str = "") -> None:
        """Register a launcher that is another plugin's scheduler with another run command, both by
        name.
        """


class RunCommandRegistrar(Protocol):
    """Takes the run commands of one plugin."""

    def add(self, name: str, target: str, /, *, settings: str, summary: str = "") -> None:
        """Register a run command.

        :param name: the program's name, as users give it in ``run_command=``
        :param target: target of a ``RunCommand`` class or instance
        :param settings: target of the ``RunSettings`` class that users fill in
        """


class TargetRegistrar(Protocol):
    """Takes things that are a name and a target."""

    def add(self, name: str, target: str, /, *, summary: str = "") -> None:
        """Register ``target`` under ``name``."""


@hookspec
def smartcore_register_launchers(registry: LauncherRegistrar) -> None:
    """Register launchers."""


@hookspec
def smartcore_register_run_commands(registry: RunCommandRegistrar) -> None:
    """Register run commands."""


@hookspec
def smartcore_register_databases(registry: TargetRegistrar) -> None:
    """Register database back ends: targets of ``DatabaseBackend`` classes."""


@hookspec
def smartcore_register_colocations(registry: TargetRegistrar) -> None:
    """Register ways of colocation: targets of ``Colocation`` classes."""


@hookspec
def smartcore_register_sites(registry: TargetRegistrar) -> None:
    """Register sites: targets of ``Site`` objects."""


@hookspec
def smartcore_register_checks(registry: TargetRegistrar) -> None:
    """Register health checks for ``smartcore doctor``: targets of ``Check`` functions."""


@hookspec
def smartcore_register_commands(registry: TargetRegistrar) -> None:
    """Register commands of the ``smartcore`` program: targets of click commands."""


@hookspec
def smartcore_before_start(experiment: str, names: Sequence[str]) -> None:
    """Called before entities are launched. An exception is logged and aborts nothing."""


@hookspec
def smartcore_after_end(experiment: str, name: str, status: Status) -> None:
    """Called after an entity has ended. An exception is logged and aborts nothing."""
