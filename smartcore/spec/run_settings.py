"""The bases of run settings: how one program is run."""

from __future__ import annotations

import copy
import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from smartcore.error import InputTypeError

from .container import Container
from .executables import absolute_command, find_executable
from .values import (
    ArgValue,
    EnvValue,
    check_arguments,
    check_count,
    check_env_vars,
    check_flag,
    check_hosts,
    check_options,
    check_text,
    check_texts,
    parse_walltime,
)
from .work import Resources

logger = logging.getLogger("smartcore")


class SettingsBase:
    """Root of all settings."""


class RunSettings(SettingsBase):
    """How one program is run: executable, arguments, environment, and the command that places it.

    This class knows no flags of any run command: its ``run_args`` are given literally, and its
    ``set_...`` methods check their argument, log a warning and change nothing. The settings of a
    run command override them.

    :param exe: a path, or a name to be looked for on ``PATH``; made absolute now, symlinks kept.
        Not looked for if a container is given
    :param exe_args: a text is split on blanks; of a list each item is one argument, unchanged
    :param run_command: program to put in front; empty for none
    :param run_args: its arguments, ``name -> value``; None for an argument without a value
    :param env_vars: variables for the program; None is an empty value here, and "as in the
        launching environment" for run commands that can say so
    :param container: the container to run it in
    :raises PathNotFoundError: there is no such executable
    :raises InputTypeError: the executable is a file that may not be executed, or a type is wrong
    """

    reserved_run_args: ClassVar[frozenset[str]] = frozenset()
    """Arguments that smartcore gives itself, without dashes; ``set`` refuses them with a
    warning."""

    def __init__(
        self,
        exe: str,
        exe_args: str | Sequence[str] | None = None,
        run_command: str = "",
        run_args: Mapping[str, ArgValue] | None = None,
        env_vars: Mapping[str, EnvValue] | None = None,
        container: Container | None = None,
        **kwargs: object,
    ) -> None:
        if not (container is None or isinstance(container, Container)):
            raise InputTypeError(
                f"container must be a Container such as Singularity(...), not {container!r}"
            )
        name = check_text(os.fspath(exe) if isinstance(exe, os.PathLike) else exe, "exe")
        self.exe = find_executable(name) if container is None else name
        self.container = copy.deepcopy(container)
        self.mpmd: list[RunSettings] = []
        self._run_command = check_text(run_command or "", "run_command").strip()
        self.exe_args = exe_args
        self.run_args = run_args
        self.env_vars = env_vars
        for keyword in kwargs:
            logger.warning("%s has no setting %r: ignored", type(self).__name__, keyword)

    @property
    def exe_args(self) -> list[str]:
        """Arguments of the program; may be set to a text or a list."""
        return self._exe_args

    @exe_args.setter
    def exe_args(self, value: str | Sequence[str] | None) -> None:
        self._exe_args = check_arguments(value)

    @property
    def run_args(self) -> dict[str, ArgValue]:
        """Arguments of the run command, ``name -> value``."""
        return self._run_args

    @run_args.setter
    def run_args(self, value: Mapping[str, ArgValue] | None) -> None:
        self._run_args = check_options({} if value is None else value)
        for name in self._run_args:
            if name.lstrip("-") in self.reserved_run_args:
                self._warn_reserved(name)

    @property
    def env_vars(self) -> dict[str, str | None]:
        """Variables for the program, as text."""
        return self._env_vars

    @env_vars.setter
    def env_vars(self, value: Mapping[str, EnvValue] | None) -> None:
        self._env_vars = check_env_vars({} if value is None else value)

    @property
    def run_command(self) -> str | None:
        """Absolute path of the run command; as it was given if it is not on this host; None if
        there is none.
        """
        return absolute_command(self._run_command) if self._run_command else None

    def add_exe_args(self, args: str | Sequence[str]) -> None:
        """Append arguments of the program: a text is split on blanks, of a list each item is one.

        :raises InputTypeError: an item is no text
        """
        self._exe_args.extend(check_arguments(args))

    def update_env(self, env_vars: Mapping[str, EnvValue]) -> None:
        """Add variables, or give those that are there another value.

        :raises InputError: a name that no variable can have
        :raises InputTypeError: a value that is no text, number, bool or None
        """
        self._env_vars.update(check_env_vars(env_vars))

    def set(self, arg: str, value: str | None = None, condition: bool = True) -> None:
        """Set one argument of the run command, whatever it is.

        :param arg: its name; leading dashes are dropped
        :param value: its value; None for an argument without one
        :param condition: if False, nothing is done
        :raises InputTypeError: name or value are no text
        """
        name = check_text(arg, "name of a run argument").strip().lstrip("-")
        if value is not None:
            check_text(value, f"value of run argument {name!r}")
        check_options({name: value})
        if not condition:
            logger.info("run argument %r not set: its condition does not hold", name)
            return
        if name in self.reserved_run_args:
            self._warn_reserved(name)
            return
        if name in self._run_args and self._run_args[name] != value:
            logger.warning(
                "run argument %r was %r and becomes %r", name, self._run_args[name], value
            )
        self._run_args[name] = value

    def make_mpmd(self, settings: RunSettings) -> None:
        """Run another program at the same time in one MPI job; not here, only with run commands
        that can."""
        self._ignored("make_mpmd")

    def resources(self) -> Resources:
        """What was asked for by the setters, in the terms of all launchers."""
        return Resources()

    def format_run_args(self) -> list[str]:
        """The arguments of the run command, without those that smartcore gives itself."""
        formatted: list[str] = []
        for name, value in check_options(self.run_args).items():
            if name.lstrip("-") not in self.reserved_run_args:
                formatted += self._format_option(name, value)
        return formatted

    def _format_option(self, name: str, value: ArgValue) -> list[str]:
        # Literally; run commands have spellings of their own.
        return [name] if value is None or value == "" else [name, str(value)]

    def format_env_vars(self) -> list[str]:
        """The variables as ``NAME=value``; None is an empty value."""
        return [f"{name}={value}" for name, value in self.environment().items()]

    def environment(self) -> dict[str, str]:
        """The variables as a process gets them; None is an empty value."""
        return {name: value or "" for name, value in check_env_vars(self.env_vars).items()}

    def program_argv(self, cwd: Path, *, container_runtime: str = "") -> tuple[str, ...]:
        """The program and its arguments, inside its container if it has one; no run command.

        :param cwd: absolute path of the directory it will run in
        :param container_runtime: see ``Container.prefix``
        """
        program = (self.exe, *check_arguments(self.exe_args))
        if self.container is None:
            return program
        return (*self.container.prefix(str(cwd), container_runtime), *program)

    def set_nodes(self, nodes: int) -> None:
        """Set the number of nodes."""
        check_count(nodes, "nodes")
        self._ignored("set_nodes")

    def set_tasks(self, tasks: int) -> None:
        """Set the number of tasks (MPI ranks) in all."""
        check_count(tasks, "tasks")
        self._ignored("set_tasks")

    def set_tasks_per_node(self, tasks_per_node: int) -> None:
        """Set the number of tasks on each node."""
        check_count(tasks_per_node, "tasks_per_node")
        self._ignored("set_tasks_per_node")

    def set_task_map(self, task_mapping: str) -> None:
        """Set how tasks are laid out over nodes and cores."""
        check_text(task_mapping, "task_mapping")
        self._ignored("set_task_map")

    def set_cpus_per_task(self, cpus_per_task: int) -> None:
        """Set the number of cores for each task."""
        check_count(cpus_per_task, "cpus_per_task")
        self._ignored("set_cpus_per_task")

    def set_cpu_bindings(self, bindings: int | Sequence[int]) -> None:
        """Set the core of each task on a node."""
        self._cores(bindings)
        self._ignored("set_cpu_bindings")

    def set_hostlist(self, host_list: str | Sequence[str]) -> None:
        """Set the nodes to run on."""
        check_hosts(host_list)
        self._ignored("set_hostlist")

    def set_hostlist_from_file(self, file_path: str) -> None:
        """Set the nodes to run on from a file in the run command's own format."""
        check_text(file_path, "file_path")
        self._ignored("set_hostlist_from_file")

    def set_excluded_hosts(self, host_list: str | Sequence[str]) -> None:
        """Set the nodes not to run on."""
        check_hosts(host_list)
        self._ignored("set_excluded_hosts")

    def set_memory_per_node(self, memory_per_node: int) -> None:
        """Set the memory on each node, in megabytes."""
        check_count(memory_per_node, "memory_per_node", minimum=0)
        self._ignored("set_memory_per_node")

    def set_node_feature(self, feature_list: str | Sequence[str]) -> None:
        """Set the features that a node must have."""
        check_texts(feature_list, "feature_list")
        self._ignored("set_node_feature")

    def set_binding(self, binding: str) -> None:
        """Set how tasks are bound to cores."""
        check_text(binding, "binding")
        self._ignored("set_binding")

    def set_broadcast(self, dest_path: str | None = None) -> None:
        """Copy the executable to all nodes before it runs."""
        if dest_path is not None:
            check_text(dest_path, "dest_path")
        self._ignored("set_broadcast")

    def set_mpmd_preamble(self, preamble_lines: Sequence[str]) -> None:
        """Set lines at the head of the file that describes several programs."""
        check_texts(preamble_lines, "preamble_lines")
        self._ignored("set_mpmd_preamble")

    def set_quiet_launch(self, quiet: bool) -> None:
        """Let the run command say less."""
        check_flag(quiet, "quiet")
        self._ignored("set_quiet_launch")

    def set_verbose_launch(self, verbose: bool) -> None:
        """Let the run command say more."""
        check_flag(verbose, "verbose")
        self._ignored("set_verbose_launch")

    def set_time(self, hours: int = 0, minutes: int = 0, seconds: int = 0) -> None:
        """Set the limit of time; the parts may have any size and are added.

        :raises InputError: a part is negative
        """
        duration = timedelta(
            hours=check_count(hours, "hours", minimum=0),
            minutes=check_count(minutes, "minutes", minimum=0),
            seconds=check_count(seconds, "seconds", minimum=0),
        )
        self.set_walltime(self._format_time(duration))

    def set_walltime(self, walltime: str) -> None:
        """Set the limit of time; see ``parse_walltime`` for the forms.

        :raises InputError: it cannot be read
        """
        parse_walltime(walltime)
        self._ignored("set_walltime")

    def _format_time(self, duration: timedelta) -> str:
        return str(int(duration.total_seconds()))

    @staticmethod
    def _cores(bindings: int | Sequence[int]) -> list[int]:
        if isinstance(bindings, str):
            raise InputTypeError(f"bindings must be whole numbers, not {bindings!r}")
        cores = bindings if isinstance(bindings, Sequence) else [bindings]
        return [check_count(core, "core in bindings", minimum=0) for core in cores]

    def _switch(self, name: str, on: bool) -> None:
        if on:
            self.run_args[name] = None
        else:
            self.run_args.pop(name, None)

    def _ignored(self, method: str) -> None:
        logger.warning(
            "%s has no %s: ignored; choose a run command that has it, or pass run_args",
            type(self).__name__,
            method,
        )

    def _warn_reserved(self, name: str) -> None:
        logger.warning("run argument %r is set by smartcore itself: ignored", name)

    def __str__(self) -> str:
        lines = [f"Executable: {self.exe}"]
        if self.exe_args:
            lines.append(f"Executable arguments: {shlex.join(self.exe_args)}")
        if self.container is not None:
            lines.append(f"Container: {self.container.image}")
        if self.run_command:
            lines.append(f"Run command: {self.run_command}")
        if self.run_args:
            lines.append(f"Run arguments: {shlex.join(self.format_run_args())}")
        if self.env_vars:
            # Names only: a value may be secret, and this text goes to logs.
            lines.append(f"Environment variables: {', '.join(self.env_vars)}")
        lines += [f"Together with: {other.exe}" for other in self.mpmd]
        return "\n".join(lines)
