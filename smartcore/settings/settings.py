"""Choose the settings class that belongs to a launcher and a run command."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from smartcore.error import InputTypeError, PathNotFoundError, PluginMissingError
from smartcore.spec.container import Container
from smartcore.spec.settings import BatchSettings, RunSettings
from smartcore.spec.values import ArgValue, EnvValue

if TYPE_CHECKING:
    from smartcore.registry import Registry

logger = logging.getLogger("smartcore")


def create_run_settings(
    launcher: str,
    exe: str,
    exe_args: str | Sequence[str] | None = None,
    run_command: str | None = "auto",
    run_args: Mapping[str, ArgValue] | None = None,
    env_vars: Mapping[str, EnvValue] | None = None,
    container: Container | None = None,
    *,
    registry: Registry | None = None,
    **kwargs: object,
) -> RunSettings:
    """Make run settings of the class that fits.

    :param launcher: name of a launcher
    :param run_command: ``auto`` is the first of the launcher's run commands that this host has; a
        name or a path is that program, with its own settings class if a plugin knows it and
        literal ``run_args`` otherwise; empty or None is none
    :param registry: the plugins to choose from
    :param kwargs: passed on to the settings class
    :raises PathNotFoundError: the executable, or a run command that was given, is not there
    :raises PluginMissingError: a plugin knows the run command and is not installed
    """
    plugins = _registry(registry)
    if not (run_command is None or isinstance(run_command, str)):
        raise InputTypeError(f"run_command must be text, not {type(run_command).__name__}")
    command = (run_command or "").strip()
    if command == "auto":
        command = _first_available(plugins, launcher)
    elif command and shutil.which(command) is None:
        plugins.run_settings_class(Path(command).name)  # says what to install, if that is missing
        raise PathNotFoundError(
            f"run command {command!r} was not found; load its module, give its path, or "
            "leave run_command out"
        )
    if run_args and not command:
        logger.warning("run_args %s have no effect without a run command", list(run_args))
    known = plugins.run_settings_class(Path(command).name) if command else None
    if known is None:
        return RunSettings(exe, exe_args, command, run_args, env_vars, container, **kwargs)
    if "/" in command:
        # Not the one of that name on PATH.
        kwargs["run_command"] = command
    make = cast("Callable[..., RunSettings]", known)
    return make(
        exe, exe_args=exe_args, run_args=run_args, env_vars=env_vars, container=container, **kwargs
    )


def create_batch_settings(
    launcher: str,
    nodes: int | None = None,
    time: str = "",
    queue: str | None = None,
    account: str | None = None,
    batch_args: Mapping[str, str | None] | None = None,
    *,
    registry: Registry | None = None,
    **kwargs: object,
) -> BatchSettings:
    """Make batch settings of the class that belongs to a launcher.

    :param time: limit of time as ``HH:MM:SS``; empty for none
    :param registry: the plugins to choose from
    :param kwargs: passed on to the settings class
    :raises UnsupportedError: the launcher has no batch jobs
    """
    make = cast("Callable[..., BatchSettings]", _registry(registry).batch_settings_class(launcher))
    return make(
        nodes=nodes, time=time, queue=queue, account=account, batch_args=batch_args, **kwargs
    )


def _first_available(plugins: Registry, launcher: str) -> str:
    for command in plugins.launcher(launcher).run_commands:
        if shutil.which(command) is None:
            continue
        try:
            plugins.run_settings_class(command)
        except PluginMissingError as error:
            logger.info("run command %s is not used: %s", command, error)
        else:
            return command
    return ""


def _registry(registry: Registry | None) -> Registry:
    if registry is not None:
        return registry
    from smartcore.registry import default_registry

    return default_registry()
