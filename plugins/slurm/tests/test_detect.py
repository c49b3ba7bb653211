from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from slurm_cluster import Cluster

from smartcore.spec import Score
from smartcore_slurm.detect import detect

FOUND = "echo 'debug 4 22.05.8'"


def machine(path: Path, sinfo: str) -> dict[str, str]:
    """An environment in which sinfo is this script."""
    for name, text in (("sinfo", sinfo), ("srun", "exit 0")):
        program = path / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    return {"PATH": f"{path}:{os.environ['PATH']}"}


def test_without_slurms_programs_it_is_unusable(tmp_path: Path) -> None:
    assert detect({"PATH": str(tmp_path)}).score == Score.UNUSABLE


def test_a_controller_that_answers_is_told_with_its_partitions(tmp_path: Path) -> None:
    found = detect(machine(tmp_path, FOUND))
    assert (found.score, found.version) == (Score.SERVER_ANSWERS, "22.05.8")
    assert "debug" in found.evidence


def test_inside_an_allocation_nobody_is_asked(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    environment = machine(tmp_path, f"touch '{asked}'") | {"SLURM_JOB_ID": "12"}
    found = detect(environment)
    assert found.score == Score.IN_ALLOCATION
    assert "SLURM_JOB_ID=12" in found.evidence
    assert not asked.exists()


def test_a_controller_that_hangs_costs_two_seconds(tmp_path: Path) -> None:
    begun = time.monotonic()
    found = detect(machine(tmp_path, "exec sleep 60"))
    assert time.monotonic() - begun < 10  # a slow host is no fault
    assert found.score == Score.ON_PATH


def test_a_configuration_that_is_missing_is_named_before_anything_hangs(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    environment = machine(tmp_path, f"touch '{asked}'") | {"SLURM_CONF": str(tmp_path / "none")}
    found = detect(environment)
    assert found.score == Score.UNUSABLE
    assert str(tmp_path / "none") in found.evidence
    assert not asked.exists()


def test_a_client_without_a_cluster_is_unusable_in_its_own_words(tmp_path: Path) -> None:
    script = "echo 'sinfo: error: first' >&2; echo 'sinfo: fatal: no configuration' >&2; exit 1"
    found = detect(machine(tmp_path, script))
    assert found.score == Score.UNUSABLE
    assert found.evidence.endswith("fatal: no configuration")


def test_formats_of_the_user_change_nothing(
    slurm: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SINFO_FORMAT", "%n")
    found = detect(dict(os.environ))
    assert found.score == Score.SERVER_ANSWERS
    assert "debug" in found.evidence
    assert found.version
