"""The implementations of MPI: how to tell them apart, and how each spells what users set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from smartcore.spec import Facts, LocalRank


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one implementation spells its arguments.

    :param title: its name, for messages
    :param options: setting (by its name in ``MpiSettings.run_args``) -> option; what is missing
        has no spelling
    :param mapping: how cores for a task are asked for
    :param export: option that sends a variable of the launcher's own environment to all ranks;
        empty if that is done anyway
    :param assign: option that gives one program of several a variable: ``K=V`` in one part, or two
    :param hostfile_style: how files of hosts spell slots
    :param fixed_slots: a host has one slot for each mention unless it says otherwise
    :param timeout_variable: variable that limits the time, where there is no option
    :param once: an option other than tasks, directory and variables can be given only once, for
        all programs together
    :param session_variable: variable that names its directory for temporary files, where several
        that start at the same time fail if they share one
    :param nth_host: how ``host`` names one of the nodes of a job, whatever their names are; ``{}``
        is its number, from 0
    """

    title: str
    options: Mapping[str, str]
    mapping: Literal["modifier", "binding", "option", ""] = ""
    export: str = ""
    assign: str = ""
    assign_parts: int = 1
    hostfile_style: str = ""
    fixed_slots: bool = False
    timeout_variable: str = ""
    once: bool = False
    session_variable: str = ""
    nth_host: str = ""


_OPEN_MPI = {
    name: f"--{name}"
    for name in (
        *("n", "npernode", "host", "hostfile", "bind-to", "map-by", "verbose"),
        *("timeout", "wdir"),
    )
}

# mpirun(1) of Open MPI 4.1; --cpus-per-proc is deprecated there (a banner on stderr), PE= is not.
OPEN_MPI_4 = Dialect(
    "Open MPI 4",
    _OPEN_MPI | {"quiet": "--quiet", "preload-binary": "--preload-binary"},
    mapping="modifier",
    export="-x",
    assign="-x",
    hostfile_style="slots=",
    fixed_slots=True,
    # "A call to mkdir was unable to create the desired directory: File exists" (4.1.4)
    session_variable="OMPI_MCA_orte_top_session_dir",
    nth_host="+n{}",
)
# prterun(1): --quiet is unknown (exit code 213), --preload-binary is accepted and crashes (139);
# 5.0.11 finds no slots on --host +n1.
OPEN_MPI_5 = Dialect(
    "Open MPI 5",
    _OPEN_MPI,
    mapping="modifier",
    export="-x",
    assign="-x",
    hostfile_style="slots=",
    fixed_slots=True,
)
# mpiexec.hydra --help of MPICH 4.0 and 5.0: all variables reach the ranks by default (-genvall),
# and an option given a second time is refused ("duplicate setting").
HYDRA = Dialect(
    "MPICH (hydra)",
    {
        "n": "-n",
        "npernode": "-ppn",
        "host": "-hosts",
        "hostfile": "-f",
        "bind-to": "-bind-to",
        "map-by": "-map-by",
        "verbose": "-verbose",
        "wdir": "-wdir",
    },
    mapping="binding",
    assign="-env",
    assign_parts=2,
    hostfile_style=":",
    timeout_variable="MPIEXEC_TIMEOUT",
    once=True,
)
# mpiexec(1) of HPE PALS, from its documents: never run by us. --envall is its default.
PALS = Dialect(
    "HPE PALS",
    {
        "n": "-n",
        "npernode": "--ppn",
        "cpus-per-proc": "--depth",
        "host": "--hosts",
        "hostfile": "--hostfile",
        "bind-to": "--cpu-bind",
        "verbose": "-v",
        "preload-binary": "--transfer",
        "wdir": "--wdir",
    },
    mapping="option",
    assign="--env",
)
# What the MPI standard asks of any mpiexec (MPI 4.0, section 11.5), for those not known by name.
STANDARD = Dialect("this MPI", {"n": "-n", "host": "-host", "wdir": "-wdir"})

DIALECTS: Mapping[str, Dialect] = {
    "openmpi-4": OPEN_MPI_4,
    "openmpi-5": OPEN_MPI_5,
    "hydra": HYDRA,
    "pals": PALS,
}

# Open MPI: "Environment variables for your MPI application" of its FAQ. Hydra: its own
# proxy sets MPI_LOCALRANKID. PALS: PMI_LOCAL_RANK, from its documents.
LOCAL_RANKS = (
    LocalRank("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    LocalRank("MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    LocalRank("PMI_LOCAL_RANK", "PMI_LOCAL_SIZE"),
)

# "mpirun (Open MPI) 4.1.4", "orterun (OpenRTE) 4.1.4"
_OPEN_MPI_VERSION = re.compile(r"\((?:Open MPI|OpenRTE)\) (([0-9]+)[.\w]*)")
# "HYDRA build details:\n    Version:    4.0.2"
_HYDRA_VERSION = re.compile(r"HYDRA build details:\s+Version:\s+(\S+)")
_PALS_VERSION = re.compile(r"^\s*mpiexec version (\S+)", re.MULTILINE)


def recognise(executable: str, output: str) -> Facts:
    """Tell from what ``--version`` printed which implementation a program belongs to."""
    if match := _OPEN_MPI_VERSION.search(output):
        return Facts(executable, _open_mpi(match), match[1])
    if match := _HYDRA_VERSION.search(output):
        return Facts(executable, "hydra", match[1])
    if match := _PALS_VERSION.search(output):
        return Facts(executable, "pals", match[1])
    return Facts(executable)


def _open_mpi(match: re.Match[str]) -> str:
    return "openmpi-5" if int(match[2]) >= 5 else "openmpi-4"
