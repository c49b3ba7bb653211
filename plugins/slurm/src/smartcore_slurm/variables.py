"""Environment variables that matter to Slurm's commands."""

from __future__ import annotations

from typing import Final

from smartcore.spec.scheduler import Variables

# What slurmctld, slurmd, salloc and srun set for jobs and steps. All of SLURM_*, because newer
# versions set further ones; what users set for the client and for srun is kept. Of SBATCH_*, which
# are the users' defaults, those that a batch script is given, and those that would make another
# job of what is submitted.
_SET_BY_JOBS: Final = (
    "SLURM_*",
    "SLURMD_*",
    "SBATCH_ARRAY_INX",
    "SBATCH_CLUSTERS",
    "SBATCH_CPU_BIND*",
    "SBATCH_ERROR",
    "SBATCH_INPUT",
    "SBATCH_MEM_BIND*",
    "SBATCH_OUTPUT",
    "SBATCH_WAIT",
    "PMI_*",
    "PMIX_*",
    "CUDA_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
)
_KEPT: Final = (
    "SLURM_CONF",
    "SLURM_CONF_SERVER",
    "SLURM_JWT",
    "SLURM_DEBUG_FLAGS",
    "SLURM_EXIT_ERROR",
    "SLURM_EXIT_IMMEDIATE",
    "SLURM_TIME_FORMAT",
    "SLURM_BITSTR_LEN",
    # Defaults of users for srun, which nothing sets for jobs (srun(1)).
    "SLURM_BCAST*",
    "SLURM_COMPRESS",
    "SLURM_DISABLE_STATUS",
    "SLURM_EXACT",
    "SLURM_KILL_BAD_EXIT",
    "SLURM_OVERLAP",
    "SLURM_WAIT",
    "SLURM_WHOLE",
)

VARIABLES: Final = Variables(
    set_by_jobs=_SET_BY_JOBS,
    kept=_KEPT,
    job_id="SLURM_JOB_ID",
    restarts="SLURM_RESTART_COUNT",
    index="SLURM_ARRAY_TASK_ID",
    array="SLURM_ARRAY_JOB_ID",
    host="SLURMD_NODENAME",
    format_queries=(
        "SQUEUE_*",
        "SACCT_*",
        "SCANCEL_*",
        "SLURM_CLUSTERS",
        "SLURM_DEBUG_FLAGS",
        "SLURM_TIME_FORMAT",
    ),
    # Members of an array that wait are told of in one row; by default it is cut after 64 bytes.
    query={"SLURM_BITSTR_LEN": "0"},
)
"""Those of Slurm. SLURM_CLUSTERS is given to commands as an option where it is wanted."""
