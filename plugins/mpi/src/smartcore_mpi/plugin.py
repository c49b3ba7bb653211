"""What this distribution registers."""

from __future__ import annotations

from smartcore.spec import RunCommandRegistrar, hookimpl

COMMAND = "smartcore_mpi.command:MpiCommand"


@hookimpl
def smartcore_register_run_commands(registry: RunCommandRegistrar) -> None:
    for name, settings in (
        ("mpirun", "MpirunSettings"),
        ("mpiexec", "MpiexecSettings"),
        ("orterun", "OrterunSettings"),
    ):
        registry.add(
            name,
            COMMAND,
            settings=f"smartcore_mpi.settings:{settings}",
            summary="MPI programs by Open MPI, MPICH or their kin",
        )
