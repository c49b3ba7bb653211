"""What a driver says of ends that it did not ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from smartcore import Experiment
from smartcore.observe import Observer
from smartcore.registry import default_registry
from smartcore.spec import State
from smartcore.testing.running import wait_until


def test_a_driver_says_once_who_stopped_what_it_waits_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = default_registry()
    with Experiment("exp", str(tmp_path), "local", registry=registry) as exp:
        sleep = exp.create_run_settings("sleep", "1000")
        names = ["one", "two", "own"]
        exp.start(*(exp.create_model(name, sleep) for name in names), block=False)
        with Observer(tmp_path, registry, registry.load_config()) as observer:
            observer.stop(["one", "two"])
        exp.wait("one", "two", timeout=60)
        assert exp.statuses()["one"].state is State.CANCELLED
        wait_until(lambda: " stops " in caplog.text, "a word about who stopped them")
        exp.stop("own")
    where = f"process {os.getpid()} on {os.uname().nodename}"
    told = [text for text in caplog.messages if " stops " in text]
    assert told == [f"a shell ({where}) stops one, two"]
