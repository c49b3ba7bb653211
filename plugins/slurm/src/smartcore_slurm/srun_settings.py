"""Settings of srun: steps inside an allocation."""

from __future__ import annotations

import copy
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from smartcore.error import InputError, InputTypeError, UnsupportedError
from smartcore.spec import Resources, RunSettings, parse_walltime
from smartcore.spec.values import (
    ArgValue,
    EnvValue,
    check_count,
    check_flag,
    check_hosts,
    check_text,
    check_texts,
)

from .nodes import expand_hosts, parse_gpus, parse_memory
from .options import parse_time

logger = logging.getLogger("smartcore")

# One name for each option that matters here: srun(1).
SHORT = {
    "N": "nodes",
    "n": "ntasks",
    "c": "cpus-per-task",
    "w": "nodelist",
    "x": "exclude",
    "t": "time",
    "D": "chdir",
    "o": "output",
    "e": "error",
    "J": "job-name",
    "C": "constraint",
    "G": "gpus",
    "O": "overcommit",
    "s": "oversubscribe",
}
_ALLOCATION = re.compile(r"\d+(?:\+\d+)?(?:_\d+)?")


class SrunSettings(RunSettings):
    """Settings of ``srun``.

    A step that says nothing of tasks and nodes is one task on one node, whatever the allocation was
    made for. ``run_args`` may hold any other option of ``srun``.

    :param alloc: number of the allocation to run in; None is the one that the driver is in
    :param kwargs: ``run_command`` for an ``srun`` that is not the first on ``PATH``, and
        ``container``; see ``RunSettings``, as for the other parameters
    :raises InputError: ``alloc`` is no number of a job
    """

    reserved_run_args: ClassVar[frozenset[str]] = frozenset({"chdir", "D", "job-name", "J"})

    def __init__(
        self,
        exe: str,
        exe_args: str | Sequence[str] | None = None,
        run_args: Mapping[str, ArgValue] | None = None,
        env_vars: Mapping[str, EnvValue] | None = None,
        alloc: str | None = None,
        **kwargs: Any,
    ) -> None:
        options = {"run_command": "srun", **kwargs}
        options.pop("fail_if_missing_exec", None)
        super().__init__(exe, exe_args, run_args=run_args, env_vars=env_vars, **options)
        self.alloc = alloc

    @property
    def alloc(self) -> str | None:
        """Number of the allocation to run in; None is the one that the driver is in."""
        return self._alloc

    @alloc.setter
    def alloc(self, value: str | int | None) -> None:
        number = None if value is None or value == "" else str(value).strip()
        if number is not None and not _ALLOCATION.fullmatch(number):
            raise InputError(
                f"alloc {value!r} is no number of an allocation; give what salloc or"
                " get_allocation() told"
            )
        self._alloc = number

    @property
    def allocation(self) -> str:
        """Number of the allocation, from ``alloc`` or ``run_args``; empty if neither says."""
        return self.alloc or str(self.run_args.get("jobid") or "")

    def make_mpmd(self, settings: RunSettings) -> None:
        """Run another program at the same time, in one step and one MPI job.

        :param settings: how; copied, so that later changes to it have no effect
        :raises UnsupportedError: with a container, or with further programs of its own
        :raises InputError: in a heterogeneous job, where groups choose the nodes of each step
        :raises InputTypeError: it is no settings of srun
        """
        if not isinstance(settings, SrunSettings):
            raise InputTypeError(f"make_mpmd takes settings of srun, not {type(settings).__name__}")
        if os.environ.get("SLURM_HET_SIZE") or "het-group" in self.run_args:
            raise InputError(
                "several programs in one step cannot run in a heterogeneous job; run them as models"
                " of their own, each with set_het_group"
            )
        for one in (self, settings):
            if one.container is not None:
                raise UnsupportedError(
                    f"{one.exe!r} runs in a container and cannot be one of several programs of a"
                    " step; run it as a model of its own"
                )
        if settings.mpmd:
            raise UnsupportedError(
                f"{settings.exe!r} has further programs itself; add each with make_mpmd"
            )
        self.mpmd.append(copy.deepcopy(settings))

    # -- what srun has options for --------------------------------------------------------------

    def set_nodes(self, nodes: int) -> None:
        self.run_args["nodes"] = check_count(nodes, "nodes")

    def set_tasks(self, tasks: int) -> None:
        self.run_args["ntasks"] = check_count(tasks, "tasks")

    def set_tasks_per_node(self, tasks_per_node: int) -> None:
        self.run_args["ntasks-per-node"] = check_count(tasks_per_node, "tasks_per_node")

    def set_cpus_per_task(self, cpus_per_task: int) -> None:
        self.run_args["cpus-per-task"] = check_count(cpus_per_task, "cpus_per_task")

    def set_gpus_per_node(self, gpus_per_node: int) -> None:
        """Set the number of GPUs on each node."""
        self.run_args["gpus-per-node"] = check_count(gpus_per_node, "gpus_per_node")

    def set_task_map(self, task_mapping: str) -> None:
        """Set how tasks are laid out over nodes: ``block``, ``cyclic``..., see ``srun
        --distribution``.
        """
        self.run_args["distribution"] = check_text(task_mapping, "task_mapping")

    def set_hostlist(self, host_list: str | Sequence[str]) -> None:
        self.run_args["nodelist"] = ",".join(_hosts(host_list))

    def set_hostlist_from_file(self, file_path: str) -> None:
        """Set the nodes to run on from a file with one name, or one list of names, in each line."""
        self.run_args["nodefile"] = check_text(file_path, "file_path")

    def set_excluded_hosts(self, host_list: str | Sequence[str]) -> None:
        self.run_args["exclude"] = ",".join(_hosts(host_list))

    def set_cpu_bindings(self, bindings: int | Sequence[int]) -> None:
        self.run_args["cpu_bind"] = f"map_cpu:{','.join(map(str, self._cores(bindings)))}"

    def set_memory_per_node(self, memory_per_node: int) -> None:
        megabytes = check_count(memory_per_node, "memory_per_node", minimum=0)
        self.run_args["mem"] = f"{megabytes}M"

    def set_node_feature(self, feature_list: str | Sequence[str]) -> None:
        self.run_args["C"] = ",".join(check_texts(feature_list, "feature_list"))

    def set_broadcast(self, dest_path: str | None = None) -> None:
        self.run_args["bcast"] = None if dest_path is None else check_text(dest_path, "dest_path")

    def set_mpi_type(self, mpi_type: str) -> None:
        """Set how MPI finds its ranks: ``pmix``, ``pmi2``, ``none``..., see ``srun --mpi=list``."""
        self.run_args["mpi"] = check_text(mpi_type, "mpi_type")

    def set_het_group(self, het_group: Iterable[int]) -> None:
        """Set the components of a heterogeneous job to run in.

        :raises InputError: there is no heterogeneous job here, it has no such component, or the
            step has several programs
        """
        groups = [check_count(group, "het_group", minimum=0) for group in _numbers(het_group)]
        size = os.environ.get("SLURM_HET_SIZE", "")
        if self.mpmd:
            raise InputError("a step with several programs (make_mpmd) cannot choose het_group")
        if not size.isdigit() and not self.alloc:
            raise InputError(
                "het_group is for heterogeneous jobs, and this is none (SLURM_HET_SIZE is not set);"
                " start with salloc A : B, or give alloc="
            )
        if not groups or (size.isdigit() and max(groups) >= int(size)):
            raise InputError(
                f"het_group {groups} is not among the components 0 to {int(size or 1) - 1}"
            )
        self.run_args["het-group"] = ",".join(map(str, groups))

    def set_quiet_launch(self, quiet: bool) -> None:
        self._switch("quiet", check_flag(quiet, "quiet"))

    def set_verbose_launch(self, verbose: bool) -> None:
        self._switch("verbose", check_flag(verbose, "verbose"))

    def set_walltime(self, walltime: str) -> None:
        duration = parse_walltime(walltime)
        # srun takes a plain number for minutes.
        text = self._format_time(duration) if walltime.strip().isdigit() else walltime.strip()
        self.run_args["time"] = text

    def _format_time(self, duration: Any) -> str:
        return fmt_walltime(0, 0, int(duration.total_seconds()))

    # -- what was asked for ---------------------------------------------------------------------

    def option(self, name: str) -> ArgValue:
        """The value of an option by its long name, whichever way it was given; None if it was not
        or has no value.
        """
        for given, value in self.run_args.items():
            plain = given.lstrip("-")
            if SHORT.get(plain, plain) == name:
                return value
        return None

    def has(self, *names: str) -> bool:
        """True if one of these options, by their long names, was given."""
        given = (name.lstrip("-") for name in self.run_args)
        return any(SHORT.get(name, name) in names for name in given)

    def resources(self) -> Resources:
        hosts = self._named("nodelist") or self._from_file()
        nodes, tasks, per_node = map(self._count, ("nodes", "ntasks", "ntasks-per-node"))
        if nodes is None and tasks and per_node:
            nodes = -(-tasks // per_node)
        memory, time = self.option("mem"), self.option("time")
        return Resources(
            nodes=nodes or len(hosts) or None,
            tasks=tasks,
            tasks_per_node=per_node,
            cpus_per_task=self._count("cpus-per-task"),
            gpus_per_node=self._gpus(),
            memory_per_node=_memory(memory) or None,
            walltime=parse_time(str(time or "")),
            hosts=hosts,
            excluded_hosts=self._named("exclude"),
        )

    def _count(self, name: str) -> int | None:
        value = self.option(name)
        if value is None:
            return None
        # "--nodes=2-4": at least two
        text = str(value).partition("-")[0]
        return int(text) if text.isdecimal() else None

    def _gpus(self) -> int | None:
        per_node = self.option("gpus-per-node")
        if per_node is not None:
            last = str(per_node).rpartition(":")[2]
            return int(last) if last.isdecimal() else None
        gres = self.option("gres")
        return None if gres is None else parse_gpus(str(gres)) or None

    def _named(self, option: str) -> tuple[str, ...]:
        value = self.option(option)
        # A name with a slash is a file (srun(1), --nodelist).
        if not value or "/" in str(value):
            return ()
        return tuple(dict.fromkeys(expand_hosts(str(value))))

    def _from_file(self) -> tuple[str, ...]:
        given = self.option("nodefile")
        if not given:
            return ()
        try:
            words = Path(str(given)).read_text(encoding="utf-8").replace(",", "\n").split()
        except OSError:
            return ()
        return tuple(dict.fromkeys(name for word in words for name in expand_hosts(word)))

    # -- as text --------------------------------------------------------------------------------

    def _format_option(self, name: str, value: ArgValue) -> list[str]:
        return format_option(name.lstrip("-"), value)

    def format_env_vars(self) -> list[str]:
        """The variables as ``NAME=value``, or ``NAME`` for one that is passed on as it is.

        What is run in the end has names on the command line only.
        """
        return [
            name if value is None else f"{name}={value}" for name, value in self.env_vars.items()
        ]

    def format_comma_sep_env_vars(self) -> tuple[str, list[str]]:
        """The variables as the value of ``--export``, and those that cannot stand there because
        their values have commas: ``("A=1,B", ["B=x,y"])``.
        """
        exported, aside = [], []
        for name, value in self.env_vars.items():
            if value is not None and "," in value:
                aside.append(f"{name}={value}")
                exported.append(name)
            else:
                exported.append(name if value is None else f"{name}={value}")
        return ",".join(exported), aside

    def check_env_vars(self) -> None:
        """Warn of variables that have another value in the environment of the driver."""
        for name, value in self.env_vars.items():
            here = os.environ.get(name)
            if here is not None and value is not None and here != value:
                # Values may be secret.
                logger.warning(
                    "%s has another value in the environment; the step gets its own", name
                )


def format_option(name: str, value: ArgValue) -> list[str]:
    """One option as users of SmartSim see it: ``-n 4`` for one letter, ``--name=value`` for more.

    A value of None or an empty text is an option without one.
    """
    if value is None or value == "":
        return [f"-{name}" if len(name) == 1 else f"--{name}"]
    return [f"-{name}", str(value)] if len(name) == 1 else [f"--{name}={value}"]


def fmt_walltime(hours: int, minutes: int, seconds: int) -> str:
    """A limit of time as Slurm takes it, ``HH:MM:SS``; parts may have any size."""
    total = hours * 3600 + minutes * 60 + seconds
    return f"{total // 3600:02d}:{total // 60 % 60:02d}:{total % 60:02d}"


def _hosts(value: str | Sequence[str]) -> list[str]:
    hosts = check_hosts(value)
    for host in hosts:
        try:
            expand_hosts(host)
        except ValueError as error:
            raise InputError(f"{host!r} is no list of nodes as Slurm writes it: {error}") from None
    return hosts


def _numbers(value: object) -> list[object]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InputTypeError(f"het_group must be a list of whole numbers, not {value!r}")
    return list(value)


def _memory(value: ArgValue) -> int:
    if value is None:
        return 0
    try:
        return parse_memory(str(value))
    except ValueError:
        raise InputError(
            f"mem {value!r} is no amount of memory; write 2000M, 4G or a number of megabytes"
        ) from None
