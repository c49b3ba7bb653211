from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from smartcore.spec import (
    Answer,
    Command,
    EventSink,
    Job,
    JobId,
    LauncherContext,
    Score,
    Started,
    Step,
    Tag,
)
from smartcore_local.launcher import FEWEST, LocalLauncher, detect, usable_cores


class Recorder:
    """Stands where the core's process service would: notes what it is asked."""

    grace = timedelta(seconds=5)

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []

    def start(self, steps: Sequence[Step], /) -> Sequence[Started]:
        self.calls.append(("start", list(steps)))
        return [Started(JobId(step.name)) for step in steps]

    def status(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        self.calls.append(("status", list(ids)))
        return {}

    def stop(self, ids: Collection[JobId], /) -> None:
        self.calls.append(("stop", list(ids)))

    def watch(self, sink: EventSink, /) -> None:
        self.calls.append(("watch", sink))

    def attach(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        self.calls.append(("attach", list(ids)))
        return {}

    def close(self) -> None:
        self.calls.append(("close", None))


@pytest.fixture
def launcher(tmp_path: Path) -> tuple[LocalLauncher, Recorder]:
    recorder = Recorder()
    return LocalLauncher(LauncherContext("exp", tmp_path, recorder)), recorder


def step(name: str) -> Step:
    where = Path("/nowhere")
    return Step(name, Tag(f"{name}-1"), Command(("true",)), where, where, where)


def test_steps_go_to_the_process_service_in_one_request(
    launcher: tuple[LocalLauncher, Recorder],
) -> None:
    local, recorder = launcher
    steps = [step("a"), step("b")]
    assert [started.id for started in local.start(steps)] == ["a", "b"]
    local.stop([JobId("a"), JobId("b")])
    assert recorder.calls == [("start", steps), ("stop", ["a", "b"])]


def test_a_batch_job_is_refused_by_name_and_its_neighbours_start(
    launcher: tuple[LocalLauncher, Recorder],
) -> None:
    local, recorder = launcher
    steps = [step("a"), step("b")]
    job = Job("sweep", Tag("sweep-1"), (step("member"),))
    first, refused, last = local.start([steps[0], job, steps[1]])
    assert (first.id, last.id) == ("a", "b")
    assert refused.id is None
    assert refused.error.startswith("sweep: ")
    assert "leave out its batch settings" in refused.error
    assert recorder.calls == [("start", steps)]


def test_a_batch_job_alone_starts_nothing(launcher: tuple[LocalLauncher, Recorder]) -> None:
    local, recorder = launcher
    (refused,) = local.start([Job("sweep", Tag("sweep-1"), (step("member"),))])
    assert refused.error
    assert recorder.calls == []


def test_models_that_wait_for_one_another_fit_at_the_same_time(
    launcher: tuple[LocalLauncher, Recorder],
) -> None:
    assert launcher[0].max_running >= FEWEST


def test_the_cores_are_those_that_this_process_may_use() -> None:
    code = "from smartcore_local.launcher import usable_cores; print(usable_cores())"
    one = min(psutil.Process().cpu_affinity() or [0])

    def narrow() -> None:
        os.sched_setaffinity(0, {one})

    pin: Callable[[], None] = narrow
    done = subprocess.run(
        [sys.executable, "-c", code], preexec_fn=pin, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1"
    assert usable_cores() == len(os.sched_getaffinity(0))


def test_it_is_usable_here_but_never_better_than_a_workload_manager() -> None:
    found = detect({})
    assert found.usable
    assert found.score < Score.ON_PATH
    assert "core" in found.evidence
