"""Settings of sbatch."""

from __future__ import annotations

from collections.abc import Mapping

from smartcore.error import InputError
from smartcore.spec import BatchSettings, Resources
from smartcore.spec.values import (
    check_count,
    check_hosts,
    check_text,
    format_walltime,
    parse_walltime,
)

from .nodes import expand_hosts, parse_gpus, parse_memory
from .options import canonical, complaint, parse_time, written


class SbatchSettings(BatchSettings):
    """What a batch job asks of Slurm.

    ``batch_args`` takes any option of sbatch, by its name or its letter, except those that would
    make something else of the job: ``wait``, ``wrap``, ``test-only``, ``clusters`` and their like
    are refused by name. The tag of a job stands in its comment; if ``comment`` is given, in its
    name.

    :param nodes: number of nodes
    :param time: limit of time, see ``set_walltime``
    :param account: account that pays
    :param batch_args: further arguments of sbatch, ``name -> value``; None for one without a value
    :param kwargs: ``queue``, the partition; ``batch_cmd`` for another sbatch than the first on
        ``PATH``
    :raises InputError: an argument that nobody may give, or a value that makes no sense
    """

    def __init__(
        self,
        nodes: int | None = None,
        time: str = "",
        account: str | None = None,
        batch_args: Mapping[str, str | None] | None = None,
        **kwargs: object,
    ) -> None:
        command = check_text(kwargs.pop("batch_cmd", "sbatch"), "batch_cmd")
        given = {"nodes": nodes, "time": time, "account": account, **kwargs}
        super().__init__(command, batch_args, **given)
        self._check()

    def set_nodes(self, num_nodes: int) -> None:
        self._set("nodes", str(check_count(num_nodes, "num_nodes")))

    def set_walltime(self, walltime: str) -> None:
        """Set the limit of time: ``HH:MM:SS``, ``D-HH:MM:SS``, ``MM:SS`` as Slurm reads it, or a
        number of seconds. Slurm counts whole minutes, and rounds up.
        """
        self._set("time", format_walltime(parse_walltime(walltime, two_fields="MM:SS")))

    def set_account(self, account: str) -> None:
        self._set("account", _word(account, "account"))

    def set_partition(self, partition: str) -> None:
        """Set the partition; several with commas are tried for the earliest start."""
        self._set("partition", _word(partition, "partition"))

    def set_queue(self, queue: str) -> None:
        """The same as ``set_partition``, by the name that other schedulers have for it."""
        self.set_partition(queue)

    def set_cpus_per_task(self, cpus_per_task: int) -> None:
        """Set the number of cores for each task."""
        self._set("cpus-per-task", str(check_count(cpus_per_task, "cpus_per_task")))

    def set_hostlist(self, host_list: str | list[str]) -> None:
        """Set the nodes to run on: names, or a list as Slurm writes it, ``nid[001-004]``."""
        self._set("nodelist", ",".join(check_hosts(host_list)))

    def format_batch_args(self) -> list[str]:
        self._check()
        return [word for name, value in self.batch_args.items() for word in written(name, value)]

    def job_resources(self) -> Resources:
        args = {canonical(name): value or "" for name, value in self.batch_args.items()}
        hosts, excluded = _hosts(args.get("nodelist", "")), _hosts(args.get("exclude", ""))
        gpus = args.get("gpus-per-node", "")
        return Resources(
            nodes=_count(args.get("nodes", "")),
            tasks=_count(args.get("ntasks", "")),
            tasks_per_node=_count(args.get("ntasks-per-node", "")),
            cpus_per_task=_count(args.get("cpus-per-task", "")),
            gpus_per_node=parse_gpus(f"gpu:{gpus}" if gpus else args.get("gres", "")) or None,
            memory_per_node=_memory(args.get("mem", "")),
            walltime=parse_time(args.get("time", "")),
            hosts=hosts,
            excluded_hosts=excluded,
        )

    def _set(self, name: str, value: str) -> None:
        # Under one name only: "N" and "nodes" are the same option.
        for other in [other for other in self.batch_args if canonical(other) == name]:
            del self.batch_args[other]
        self.batch_args[name] = value

    def _check(self) -> None:
        for name, value in self.batch_args.items():
            if problem := complaint(name, value):
                raise InputError(problem)


def _word(value: str, what: str) -> str:
    text = check_text(value, what).strip()
    if not text or text.startswith("-") or any(character.isspace() for character in text):
        raise InputError(f"{what} {value!r} cannot be the name of one")
    return text


def _count(text: str) -> int | None:
    # "2-4" and its like leave the choice to Slurm.
    return int(text) if text.isdecimal() and int(text) else None


def _hosts(text: str) -> tuple[str, ...]:
    try:
        return tuple(expand_hosts(text))
    except ValueError:  # names a file, or is for Slurm to refuse
        return ()


def _memory(text: str) -> int | None:
    try:
        return parse_memory(text) or None  # 0 is all that a node has
    except ValueError:
        return None
