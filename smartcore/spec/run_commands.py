"""The run-command contract: what places the ranks of one step (mpirun, srun, jsrun...)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .work import Command, Placement

if TYPE_CHECKING:
    from .settings import RunSettings


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found out, once, about an installed run command.

    :param executable: absolute path of the program
    :param flavour: which implementation it is, e.g. ``openmpi-4``; empty if not known
    :param version: its version, empty if not known
    """

    executable: str
    flavour: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Launch:
    """One step as the user described it, before a run command is put in front.

    :param argv: program and arguments, container included
    :param settings: the run settings that the user filled in
    :param cwd: absolute path of the directory to run in
    :param env: the entity's own variables, those for database clients included
    """

    argv: tuple[str, ...]
    settings: RunSettings
    cwd: Path
    env: dict[str, str]


@dataclass(frozen=True, slots=True)
class LocalRank:
    """Variables by which a task knows its place among the tasks of its node.

    :param rank: holds its number there, counted from 0
    :param count: holds how many there are; empty if that is told by ``listed``
    :param listed: holds a list, separated by commas, with one entry for each of them
    """

    rank: str
    count: str = ""
    listed: str = ""


class RunCommand(ABC):
    """Turns a step into the command line of one run command. Pure: no I/O, no environment."""

    probe: tuple[str, ...] = ("--version",)
    """Arguments that make the program say what it is; empty if it need not be asked."""
    node_variable: str = ""
    """Variable by which a task knows its node's name; empty if ``uname -n`` tells it."""
    rank_variables: tuple[str, ...] = ()
    """Variables by which a task knows its rank in the whole step, from 0: the first that is set
    does; none if tasks are not told."""
    ends_together: Mapping[str, str] = {}
    """Arguments, by name, with which all tasks end when one has failed; none if they do anyway."""
    local_ranks: tuple[LocalRank, ...] = ()
    """How a task knows its place on its node, one for each flavour; the first whose variable is set
    counts. Without any, nothing can be started once for all tasks of a node."""

    @abstractmethod
    def facts(self, executable: str, output: str, /) -> Facts:
        """Read what the program printed when probed."""

    @abstractmethod
    def build(self, launch: Launch, placement: Placement, facts: Facts, /) -> Command:
        """Build the command.

        :raises UnsupportedError: naming the setting that this flavour has no spelling for
        """
