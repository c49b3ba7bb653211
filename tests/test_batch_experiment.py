"""An experiment on a workload manager that is spoken to by commands: the fake one, as a plugin."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smartcore import Experiment
from smartcore.entity import Model
from smartcore.spec import Cause, State
from smartcore.testing.fakewlm.cluster import fake_cluster

if TYPE_CHECKING:
    from tests.conftest import Site

HOOKS = """
@hookimpl
def smartcore_register_launchers(registry):
    registry.add("fake", "fake_parts:make")
"""
PARTS = """
from smartcore.testing.fakewlm.scheduler import FakeScheduler

def make(context):
    return context.batch(FakeScheduler())
"""


def test_models_run_as_batch_jobs_and_are_told_of_truly(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("fake", HOOKS, files={"fake_parts": PARTS})
    monkeypatch.syspath_prepend(str(site.path))
    with fake_cluster(tmp_path / "cluster") as cluster:
        for name, value in cluster.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("SMARTCORE_RUNTIME_DIR", str(tmp_path / "rt"))
        experiment = tmp_path / "exp"
        experiment.mkdir()
        with Experiment("exp", str(experiment), "fake", registry=site.registry()) as exp:

            def model(name: str, script: str) -> Model:
                run = exp.create_run_settings("sh", ["-c", script], env_vars={"V": "a, 'b'\n"})
                return exp.create_model(name, run)

            good, bad = model("good", 'printf "%s" "$V"'), model("bad", "kill -KILL $$")
            long = model("long", "exec sleep 1000")
            exp.start(long, block=False)
            exp.start(good, bad)
            exp.stop("long")
        statuses = exp.statuses()
        assert statuses["good"].returncode == 0
        assert (experiment / "good" / "good.out").read_text() == "a, 'b'\n"
        assert (statuses["bad"].state, statuses["bad"].returncode) == (State.FAILED, -9)
        assert statuses["bad"].cause is Cause.SIGNAL
        assert statuses["long"].state is State.CANCELLED
        assert os.environ["PATH"].startswith(str(cluster.bin))
