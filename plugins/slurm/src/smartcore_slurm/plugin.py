"""What this distribution registers."""

from __future__ import annotations

from smartcore.spec import LauncherRegistrar, RunCommandRegistrar, hookimpl


@hookimpl
def smartcore_register_launchers(registry: LauncherRegistrar) -> None:
    registry.add(
        "slurm",
        "smartcore_slurm.launcher:SlurmLauncher",
        detect="smartcore_slurm.detect:detect",
        run_commands=("srun", "mpirun", "mpiexec"),
        batch_settings="smartcore_slurm.settings:SbatchSettings",
        summary="steps inside a Slurm allocation, and Slurm batch jobs",
    )


@hookimpl
def smartcore_register_run_commands(registry: RunCommandRegistrar) -> None:
    registry.add(
        "srun",
        "smartcore_slurm.srun:Srun",
        settings="smartcore_slurm.settings:SrunSettings",
        summary="steps inside a Slurm allocation",
    )
