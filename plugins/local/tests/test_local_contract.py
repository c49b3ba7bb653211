from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

from smartcore.testing import LauncherContract

PARENT = "the exit code of a process goes to its parent only"


class TestLocal(LauncherContract):
    factory = "smartcore_local.launcher:LocalLauncher"
    detect = "smartcore_local.launcher:detect"
    patience = timedelta(seconds=10)
    expected_failures: ClassVar[Mapping[str, str]] = {
        "test_another_process_learns_how_jobs_ended": PARENT,
        "test_another_process_follows_a_job_to_its_end_and_exit_code": PARENT,
        "test_what_a_killed_driver_left_is_followed_to_its_end_and_exit_code": PARENT,
        "test_what_ended_after_its_driver_was_killed_is_told_truly": PARENT,
        "test_a_batch_job_runs_or_is_refused_and_its_neighbours_run": "refused by an exception",
    }
