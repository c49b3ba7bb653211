"""Directories that are removed while something runs in them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from smartcore import Experiment
from smartcore.error import PathNotFoundError

if TYPE_CHECKING:
    from tests.chaos.conftest import World


def told(answer: dict[str, object]) -> dict[str, list[object]]:
    statuses = answer["statuses"]
    assert isinstance(statuses, dict)
    return {name: status[:2] for name, status in statuses.items()}


def test_a_model_whose_directory_is_removed_runs_on_and_can_be_run_again(world: World) -> None:
    driver = world.driver()
    driver.ask(world.start_order(("m", "gated", 0)))
    world.wait_begun("m")
    shutil.rmtree(world.path / "m")
    world.open_gate("m", 3)
    assert told(driver.ask({"do": "wait", "names": ["m"]})) == {"m": ["FAILED", 3]}
    world.open_gate("m", 0)
    again = world.start_order() | {"models": [("m", ["gated", "0", "0"])]}
    driver.ask(again)
    assert told(driver.ask({"do": "wait", "names": ["m"]})) == {"m": ["COMPLETED", 0]}


def test_a_driver_survives_the_removal_of_its_experiment(world: World) -> None:
    driver = world.driver()
    driver.ask(world.start_order(("bad", "gated", 3), ("long", "stubborn", 0)))
    world.wait_begun("bad", "long")
    shutil.rmtree(world.path)
    world.open_gate("bad", 3)
    expected = {"bad": ["FAILED", 3], "long": ["RUNNING", None]}
    assert told(driver.ask({"do": "wait", "names": ["bad"]})) == expected
    refused = str(driver.ask(world.start_order(("new", "quick", 0)))["error"])
    assert "nothing was launched" in refused
    assert "was removed while it was in use" in refused
    assert told(driver.ask({"do": "stop", "names": ["long"]}))["long"][0] == "CANCELLED"
    assert driver.end() == 0
    assert "Traceback" not in driver.said
    world.wait_quiet()


def test_what_runs_in_a_removed_experiment_is_shown_and_ended_from_the_shell(world: World) -> None:
    driver = world.driver()
    driver.ask(world.start_order(("long", "stubborn", 0)))
    world.wait_begun("long")
    shutil.rmtree(world.path)
    driver.kill()
    with pytest.raises(PathNotFoundError):
        Experiment.attach(str(world.path))
    command = [sys.executable, "-m", "smartcore", "ps", "--json"]
    shown = subprocess.run(command, capture_output=True, timeout=60, check=True, text=True)
    assert [(one["path"], one["running"]) for one in json.loads(shown.stdout)] == [
        (str(world.path), 1)
    ]
    world.gc()
    world.wait_quiet()
