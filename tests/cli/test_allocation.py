"""``smartcore plan`` and ``explain``: of journals as drivers write them, and of real ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from smartcore import Experiment
from smartcore.cli import main
from smartcore.launch.journal import Journal
from smartcore.launch.plan import Share
from smartcore.launch.run import Run
from smartcore.spec import Command, JobId, Node, Resources, Step, Tag

OBSTACLE = (
    "it needs 3 tasks of 1 cores on 3 nodes, and the allocation has 2 nodes with at most 4 cores,"
    " 1 GPUs each"
)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def make_run(name: str, resources: Resources) -> Run:
    where = Path("/nowhere")
    return Run(Step(name, Tag(name), Command(("x",)), where, where, where, resources), "Model")


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Path]:
    """Two nodes: one model runs on the first, one waits for both, one fits nowhere."""
    journal = Journal(tmp_path)
    journal.opened("exp", "local")
    runs = [
        make_run("going", Resources(tasks=3, allocation="7")),
        make_run("large", Resources(nodes=2, tasks=8, gpus_per_node=1, allocation="7")),
        make_run("never", Resources(nodes=3, allocation="7")),
    ]
    journal.nodes("7", [Node("n1", 4, 1), Node("n2", 4, 1, 2**30)])
    journal.launch(runs)
    runs[0].job, runs[0].shares = JobId("1.1"), (Share("n1", 3, 3),)
    journal.started(runs[:1])
    yield tmp_path
    journal.close()


def test_a_plan_shows_who_runs_where_and_who_is_next(written: Path) -> None:
    shown = call("plan", str(written), "--json")
    assert shown.exit_code == 0, shown.output
    rows: list[dict[str, Any]] = json.loads(shown.stdout)["plan"]
    assert [(row["name"], row["turn"], row["places"]) for row in rows] == [
        ("going", 1, ["n1: 3 cores"]),
        ("large", 2, ["n1: 4 cores, 1 GPU", "n2: 4 cores, 1 GPU"]),
        ("never", None, [OBSTACLE]),
    ]
    assert {row["allocation"] for row in rows} == {"7"}


def test_a_plan_is_a_table_for_people(written: Path) -> None:
    lines = call("plan", str(written)).stdout.splitlines()
    assert lines[0].split() == ["name", "state", "turn", "allocation", "places"]
    assert [line.split()[0] for line in lines[2:]] == ["going", "large", "never"]


def test_without_an_allocation_there_is_no_plan(tmp_path: Path) -> None:
    with Experiment("exp", str(tmp_path), launcher="local") as exp:
        exp.start(exp.create_model("m", exp.create_run_settings("true")))
    shown = call("plan", str(tmp_path))
    assert shown.exit_code == 1
    assert "there is no plan" in shown.output


def test_one_that_waits_says_for_what(written: Path) -> None:
    facts: dict[str, Any] = json.loads(call("explain", str(written), "large", "--json").stdout)
    assert (facts["state"], facts["job"]) == ("Queued", None)
    assert facts["why"] == "waits for a place: others of its experiment run first"


def test_a_failure_is_told_with_its_attempts_and_the_end_of_its_errors(tmp_path: Path) -> None:
    with Experiment("exp", str(tmp_path), launcher="local") as exp:
        run = exp.create_run_settings("sh", ["-c", "echo oops >&2; exit 3"])
        exp.start(exp.create_model("m", run), retries=1)
    facts: dict[str, Any] = json.loads(call("explain", str(tmp_path), "m", "--json").stdout)
    assert (facts["state"], facts["exit code"], facts["run"]) == ("Failed", 3, 1)
    assert facts["earlier"] == ["run 0: Failed, exit code 3"]
    assert facts["last_errors"] == ["oops"]
    text = call("explain", str(tmp_path), "m").stdout
    assert "m.err ends with:\n    oops" in text


def test_an_unknown_name_is_answered_with_those_there_are(written: Path) -> None:
    shown = call("explain", str(written), "nobody")
    assert shown.exit_code == 1
    assert "there are: going, large, never" in shown.output
