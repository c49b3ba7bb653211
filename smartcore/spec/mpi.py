"""The base of settings of the MPI run commands: mpirun, mpiexec, orterun and their kin."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, NamedTuple

from smartcore.error import InputTypeError, PathNotFoundError, UnsupportedError

from .container import Container
from .run_settings import RunSettings
from .values import (
    ArgValue,
    EnvValue,
    check_count,
    check_env_vars,
    check_flag,
    check_hosts,
    check_text,
    parse_walltime,
)
from .work import Resources

logger = logging.getLogger("smartcore")


SYSTEM_TEMPORARY = "/tmp"


class HostFile(NamedTuple):
    """What a file of hosts said when it was given to ``set_hostlist_from_file``.

    :param given: its path as it was given
    :param path: its absolute path
    :param hosts: ``(name, slots)`` in order; 0 where it says nothing about slots
    :param style: how it spells slots: ``slots=`` (Open MPI), ``:`` (MPICH), empty if not at all
    """

    given: str
    path: str
    hosts: tuple[tuple[str, int], ...]
    style: str = ""


class MpiSettings(RunSettings):
    """Settings of an MPI run command.

    ``format_run_args`` and ``format_env_vars`` show them in one spelling, that of Open MPI 4. What
    is run in the end is in the spelling of the MPI that is installed, or refused if that one has
    none.

    :param run_command: the program, as a path or a name
    :param fail_if_missing_exec: if False, a run command that is not on this host is only warned of
    :param container: see ``RunSettings``, as for the other parameters
    :raises PathNotFoundError: the run command or the executable is not there
    """

    reserved_run_args: ClassVar[frozenset[str]] = frozenset({"wd", "wdir"})

    def __init__(
        self,
        exe: str,
        exe_args: str | Sequence[str] | None = None,
        run_command: str = "mpiexec",
        run_args: Mapping[str, ArgValue] | None = None,
        env_vars: Mapping[str, EnvValue] | None = None,
        fail_if_missing_exec: bool = True,
        container: Container | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(exe, exe_args, run_command, run_args, env_vars, container, **kwargs)
        self.hostfile: HostFile | None = None
        given = (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
        self.temporary = next(filter(None, given), SYSTEM_TEMPORARY)
        if not Path(self.run_command or "").is_absolute():
            message = (
                f"run command {run_command!r} was not found on PATH; load the module of an MPI, or "
                "give its path"
            )
            if fail_if_missing_exec:
                raise PathNotFoundError(message)
            logger.warning(message)

    def make_mpmd(self, settings: RunSettings) -> None:
        """Run another program at the same time in one MPI job.

        :param settings: how; copied, so that later changes to it have no effect
        :raises UnsupportedError: with a container, or with further programs of its own
        :raises InputTypeError: it is no run settings
        """
        if not isinstance(settings, RunSettings):
            raise InputTypeError(f"make_mpmd takes run settings, not {type(settings).__name__}")
        for one in (self, settings):
            if one.container is not None:
                raise UnsupportedError(
                    f"{one.exe!r} runs in a container and cannot be one of several programs of an "
                    "MPI job; run it as a model of its own"
                )
        if settings.mpmd:
            raise UnsupportedError(
                f"{settings.exe!r} has further programs itself; add each with make_mpmd"
            )
        self.mpmd.append(copy.deepcopy(settings))

    def set_tasks(self, tasks: int) -> None:
        self.run_args["n"] = check_count(tasks, "tasks")

    def set_tasks_per_node(self, tasks_per_node: int) -> None:
        self.run_args["npernode"] = check_count(tasks_per_node, "tasks_per_node")

    def set_cpus_per_task(self, cpus_per_task: int) -> None:
        self.run_args["cpus-per-proc"] = check_count(cpus_per_task, "cpus_per_task")

    def set_task_map(self, task_mapping: str) -> None:
        self.run_args["map-by"] = check_text(task_mapping, "task_mapping")

    def set_cpu_binding_type(self, bind_type: str) -> None:
        """Set what each task is bound to: ``core``, ``socket``, ``none``..."""
        self.run_args["bind-to"] = check_text(bind_type, "bind_type")

    def set_hostlist(self, host_list: str | Sequence[str]) -> None:
        self.run_args["host"] = ",".join(check_hosts(host_list))

    def set_hostlist_from_file(self, file_path: str) -> None:
        self.run_args["hostfile"] = check_text(file_path, "file_path")
        self.hostfile = read_hostfile(file_path)

    def set_broadcast(self, dest_path: str | None = None) -> None:
        if dest_path is not None:
            check_text(dest_path, "dest_path")
            logger.warning(
                "%s cannot choose where the executable is copied to: %r is ignored",
                type(self).__name__,
                dest_path,
            )
        self.run_args["preload-binary"] = None

    def set_quiet_launch(self, quiet: bool) -> None:
        self._switch("quiet", check_flag(quiet, "quiet"))

    def set_verbose_launch(self, verbose: bool) -> None:
        self._switch("verbose", check_flag(verbose, "verbose"))

    def set_walltime(self, walltime: str) -> None:
        parse_walltime(walltime)
        self.run_args["timeout"] = walltime

    def resources(self) -> Resources:
        args = self.run_args
        tasks = _whole(args, "n", "np")
        per_node = _whole(args, "npernode", "ppn")
        hosts = self._hosts()
        nodes = len(hosts) or (-(-tasks // per_node) if tasks and per_node else None)
        return Resources(
            nodes=nodes,
            tasks=tasks,
            tasks_per_node=per_node,
            cpus_per_task=_whole(args, "cpus-per-proc"),
            walltime=self.walltime or None,
            hosts=hosts,
        )

    @property
    def walltime(self) -> timedelta | None:
        """The limit of time that was set.

        :raises InputError: ``run_args["timeout"]`` cannot be read as one
        """
        value = self.run_args.get("timeout")
        return None if value is None else parse_walltime(str(value))

    def _hosts(self) -> tuple[str, ...]:
        value = self.run_args.get("host")
        if value:
            # "a:2" is two slots on a; a host given twice is one node
            return tuple(dict.fromkeys(item.split(":")[0] for item in str(value).split(",")))
        if self.hostfile is not None and self.hostfile.given == self.run_args.get("hostfile"):
            return tuple(dict.fromkeys(name for name, _ in self.hostfile.hosts))
        return ()

    def _format_option(self, name: str, value: ArgValue) -> list[str]:
        return format_option(name.lstrip("-"), value)

    def format_env_vars(self) -> list[str]:
        formatted: list[str] = []
        for name, value in check_env_vars(self.env_vars).items():
            formatted += ["-x", name if value is None else f"{name}={value}"]
        return formatted


def format_option(name: str, value: ArgValue) -> list[str]:
    """One argument as all these run commands take it: ``--name value``, in two parts because not
    all of them know ``--name=value``.
    """
    return [f"--{name}"] if value is None or value == "" else [f"--{name}", str(value)]


def read_hostfile(given: str) -> HostFile | None:
    """Read a file of hosts in the form of Open MPI (``name slots=4``) or of MPICH (``name:4``);
    None if there is none that can be read.
    """
    path = Path(given).absolute()
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return None
    words = [line.split("#")[0].split() for line in lines]
    found = [_host(line) for line in words if line]
    style = next((style for _, _, style in found if style), "")
    return HostFile(given, str(path), tuple((name, slots) for name, slots, _ in found), style)


def _host(words: Sequence[str]) -> tuple[str, int, str]:
    name, colon, count = words[0].partition(":")
    style = colon
    for word in words[1:]:
        key, _, value = word.partition("=")
        if key == "slots":
            count, style = value, "slots="
    return name, int(count) if count.isdecimal() else 0, style


def _whole(args: Mapping[str, ArgValue], *names: str) -> int | None:
    for name in names:
        value = args.get(name)
        if value is not None:
            text = str(value)
            return int(text) if text.isdecimal() else None
    return None


_BaseMPISettings = MpiSettings
