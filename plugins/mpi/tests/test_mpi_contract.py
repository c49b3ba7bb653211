from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from smartcore.testing import RunCommandContract

# What the programs printed for --version.
OUTPUTS = {
    "openmpi-4": "mpirun (Open MPI) 4.1.4\n\nReport bugs to http://www.open-mpi.org/\n",
    "openmpi-5": "mpirun (Open MPI) 5.0.11\n\nReport bugs to https://www.open-mpi.org/\n\n",
    "hydra": "HYDRA build details:\n    Version:         4.0.2\n    Release Date:   2022\n",
    "pals": "mpiexec version 1.2.12 revision 5a5b\n",
}


class TestMpirun(RunCommandContract):
    command = "smartcore_mpi.command:MpiCommand"
    settings = "smartcore_mpi.settings:MpirunSettings"
    outputs: ClassVar[Mapping[str, str]] = OUTPUTS


class TestMpiexec(TestMpirun):
    settings = "smartcore_mpi.settings:MpiexecSettings"
