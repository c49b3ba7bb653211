"""The whole contract of launchers, each step an srun in an allocation of a real Slurm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest
from slurm_cluster import contained

from smartcore.testing import LauncherContract

# Where Slurm follows the process table, a child that leaves its session and its parent is no part
# of the step any more (slurm.conf(5), ProctrackType).
ESCAPES = {
    "test_children_are_stopped_when_their_parent_leaves_at_once": "the child is not found",
    "test_a_child_that_goes_on_does_not_hide_how_the_program_ended": (
        "srun waits for it, because it holds the output"
    ),
}


class TestSteps(LauncherContract):
    factory = "slurm_cluster:SrunSteps"
    detect = "smartcore_slurm.detect:detect"
    exit_through_shell = True
    expected_failures: ClassVar[Mapping[str, str]] = {} if contained() else ESCAPES

    @pytest.fixture
    def machine(self, inside: str) -> None:
        """Inside an allocation."""
