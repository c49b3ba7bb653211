from __future__ import annotations

from smartcore.launch.batch.environment import query_environment, submit_environment
from smartcore.spec import Variables

VARIABLES = Variables(
    set_by_jobs=("SLURM_*", "PMI*"),
    kept=("SLURM_CONF",),
    format_queries=("S*_FORMAT",),
    query={"SLURM_TIME_FORMAT": "%s"},
    job_id="SLURM_JOB_ID",
    index="SLURM_ARRAY_TASK_ID",
)


def test_a_submit_inherits_no_facts_of_the_job_that_it_is_inside_of() -> None:
    """F26."""
    inside = {
        "SLURM_CPU_BIND": "quiet,mask_cpu:0x1",
        "PMI_RANK": "0",
        "SLURM_CONF": "/etc/c",
        "SBATCH_ACCOUNT": "proj",
        "SQUEUE_FORMAT": "%i",
        "LANG": "de_DE",
    }
    assert submit_environment(inside, VARIABLES) == {
        "SLURM_CONF": "/etc/c",
        "SBATCH_ACCOUNT": "proj",
        "SQUEUE_FORMAT": "%i",
        "LANG": "de_DE",
    }


def test_a_query_inherits_nothing_that_changes_its_output() -> None:
    """F15."""
    inherited = {"SQUEUE_FORMAT": "%i", "LANG": "de_DE", "LC_ALL": "de_DE", "SLURM_CONF": "/c"}
    assert query_environment(inherited, VARIABLES) == {
        "LC_ALL": "C",
        "SLURM_CONF": "/c",
        "SLURM_TIME_FORMAT": "%s",
    }
