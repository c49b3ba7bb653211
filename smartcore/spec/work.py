"""What a launcher is given to run, and what it gives back: plain frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from .ids import JobId, Tag


@dataclass(frozen=True, slots=True)
class Resources:
    """What one step needs; None where the user said nothing.

    :param nodes: number of nodes
    :param tasks: number of tasks (MPI ranks) in all
    :param tasks_per_node: tasks on each node
    :param cpus_per_task: cores for each task
    :param gpus_per_node: GPUs on each node
    :param memory_per_node: bytes on each node
    :param walltime: limit after which the step is ended
    :param hosts: the nodes to use, by name
    :param excluded_hosts: nodes not to use
    :param allocation: id of the allocation to run in; empty for the one that the driver is in
    """

    nodes: int | None = None
    tasks: int | None = None
    tasks_per_node: int | None = None
    cpus_per_task: int | None = None
    gpus_per_node: int | None = None
    memory_per_node: int | None = None
    walltime: timedelta | None = None
    hosts: tuple[str, ...] = ()
    excluded_hosts: tuple[str, ...] = ()
    allocation: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """A file to be written before a command runs.

    :param path: absolute path
    :param text: its content; may hold secrets, so it is never printed whole
    :param mode: permission bits
    """

    path: Path
    text: str = field(repr=False)
    mode: int = 0o600


@dataclass(frozen=True, slots=True)
class Command:
    """One program to run.

    :param argv: the program and its arguments, exactly as ``execve`` gets them
    :param env: the entity's own variables; everything else is inherited
    :param stdin: file to read as standard input; None is ``/dev/null``
    :param files: what must be there first; the core writes it before the launcher starts the step
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: Path | None = None
    files: tuple[File, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One command in one directory with its two output files: the unit that has an exit code.

    :param name: the entity's name
    :param tag: unique name of this launch
    :param command: what to run
    :param cwd: absolute path of the directory to run in; it exists
    :param stdout: absolute path of the file for standard output; truncated
    :param stderr: absolute path of the file for standard error; truncated
    :param resources: what it needs
    :param private: the files that it makes, its output among them, are for their owner only (umask
        077); who runs processes of this host sees to that
    """

    name: str
    tag: Tag
    command: Command
    cwd: Path
    stdout: Path
    stderr: Path
    resources: Resources = field(default_factory=Resources)
    private: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """Steps that go to a scheduler as one request for nodes.

    :param name: the name of the entity or ensemble
    :param tag: unique name of this launch
    :param steps: what runs inside
    :param resources: the nodes that the whole job needs
    :param preamble: lines put before the steps in the batch script
    :param arguments: further arguments of the submit command, as the user gave them
    :param array: each step is to be one member of a job array, with ``resources`` for itself
    :param throttle: how many members of the array may run at once; 0 for no limit
    :param requeue: the scheduler may begin it again when it has lost its nodes, if it does so
    """

    name: str
    tag: Tag
    steps: tuple[Step, ...]
    resources: Resources = field(default_factory=Resources)
    preamble: tuple[str, ...] = ()
    arguments: Mapping[str, str | None] = field(default_factory=dict)
    array: bool = False
    throttle: int = 0
    requeue: bool = True


Work = Step | Job


@dataclass(frozen=True, slots=True)
class Started:
    """A launcher's answer for one piece of work: an id, or why there is none.

    Both may be set: the job exists, and something about its start must be told.

    :param id: what to ask and stop it by; None only if nothing was started
    :param error: what went wrong, in the system's own words
    :param members: the ids of a job's steps, in order, where they can be asked about one by one
    """

    id: JobId | None = None
    error: str = ""
    members: tuple[JobId, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """What an allocation grants on one node.

    :param name: the node's name, as run commands take it
    :param cpus: cores
    :param gpus: GPUs
    :param memory: bytes; None where it is not limited
    """

    name: str
    cpus: int
    gpus: int = 0
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a step runs inside an allocation.

    :param hosts: node names, in order; empty where the run command decides
    :param allocation: id of the allocation, if any
    :param cpus: how many cores on each host; empty where the run command decides
    :param tasks: how many tasks on each host; empty where the run command decides
    :param first: where hosts are not known yet, because the job that grants them waits: the first
        of its nodes to use, counted from 0; None where the run command decides
    """

    hosts: tuple[str, ...] = ()
    allocation: str = ""
    cpus: tuple[int, ...] = ()
    tasks: tuple[int, ...] = ()
    first: int | None = None
