"""Running steps on a launcher under test, and waiting for what they do; never for a time."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from smartcore.error import LauncherError
from smartcore.spec import (
    Command,
    File,
    JobId,
    Launcher,
    Resources,
    Status,
    Step,
    Tag,
    Watches,
    Work,
)

PATIENCE = timedelta(seconds=60)
_PAUSE = 0.01

# Holds a lock as long as this process, or a child that it forks, lives: a sign of life that is seen
# wherever the directory is, and that no other process can give by mistake.
HOLD = """
import fcntl, os, signal, sys, time
lock = open("alive", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
{setup}
open("up", "w").close()
while True:
    signal.pause()
"""
WAIT = """
import os, sys, time
open("up", "w").close()
while not os.path.exists("go"):
    time.sleep(0.005)
{then}
"""


def wait_until(
    condition: Callable[[], object],
    what: str = "what the test waits for",
    patience: timedelta = PATIENCE,
) -> None:
    """Return as soon as ``condition`` holds.

    :raises AssertionError: it does not within ``patience``; names ``what``
    """
    deadline = time.monotonic() + patience.total_seconds()
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not seen within {patience.total_seconds():g} s: {what}")
        time.sleep(_PAUSE)


def lacks(reason: str) -> NoReturn:
    """Skip a test that needs what this host lacks; with ``CI=true``, where nothing may be lacking,
    fail it.
    """
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def wait_for_ends(
    launcher: Launcher, ids: Collection[JobId], patience: timedelta = PATIENCE
) -> dict[JobId, Status]:
    """Ask until each of these jobs has ended, and answer with the last status of each.

    A question that fails is asked again.

    :raises AssertionError: naming those that have not ended within ``patience``
    """
    ended: dict[JobId, Status] = {}
    left = list(dict.fromkeys(ids))

    def ask() -> bool:
        try:
            answers = launcher.status(list(left))
        except LauncherError:
            return False
        for job in list(left):
            answer = answers[job]
            if isinstance(answer, Status) and answer.is_terminal:
                ended[job] = answer
                left.remove(job)
        return not left

    wait_until(ask, f"the end of {left}", patience)
    return ended


def run_to_end(
    launcher: Launcher, work: Sequence[Work], *, patience: timedelta = PATIENCE
) -> list[Status]:
    """Start ``work``, wait until all of it has ended, and answer with its last statuses, in order.

    :raises AssertionError: something could not be started, or did not end within ``patience``
    """
    ids = []
    for item, answer in zip(work, launcher.start(work), strict=True):
        if answer.id is None:
            raise AssertionError(f"{item.name} was not started: {answer.error}")
        ids.append(answer.id)
    ended = wait_for_ends(launcher, ids, patience)
    return [ended[job] for job in ids]


class Bench:
    """A launcher under test, a directory for each step that it is given, and all that it told.

    :param launcher: what is tested
    :param path: where the steps run
    :param patience: how long to wait for anything before the test fails
    """

    def __init__(self, launcher: Launcher, path: Path, patience: timedelta = PATIENCE) -> None:
        self.launcher = launcher
        self.path = path
        self.patience = patience
        self.events: list[tuple[JobId, Status]] = []
        self._lock = threading.Lock()
        self._started: list[JobId] = []
        self._count = 0
        if isinstance(launcher, Watches):
            launcher.watch(self._hear)

    def _hear(self, job: JobId, status: Status) -> None:
        with self._lock:
            self.events.append((job, status))

    def step(
        self,
        *argv: str,
        name: str = "model",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: Path | None = None,
        files: Sequence[File] = (),
    ) -> Step:
        """A step in a directory of its own with ``out`` and ``err`` in it; nothing is started."""
        self._count += 1
        if cwd is None:
            cwd = self.path / f"{self._count}"
            cwd.mkdir(parents=True)
        tag = Tag(f"{name}-{uuid.uuid4().hex[:12]}")
        command = Command(argv, dict(env or {}), stdin, tuple(files))
        return Step(name, tag, command, cwd, cwd / "out", cwd / "err", Resources())

    def sh(self, script: str, *args: str, name: str = "model") -> Step:
        """A step that runs a shell script."""
        return self.step("sh", "-c", script, "sh", *args, name=name)

    def python(
        self,
        code: str,
        *args: str,
        env: Mapping[str, str] | None = None,
        stdin: Path | None = None,
        cwd: Path | None = None,
    ) -> Step:
        """A step that runs a program in Python, without its site-packages."""
        argv = (sys.executable, "-I", "-S", "-c", code, *args)
        return self.step(*argv, env=env, stdin=stdin, cwd=cwd)

    def holding(self, setup: str = "") -> Step:
        """A step that lives until it is stopped; see ``alive``.

        :param setup: Python that runs before it says that it is up
        """
        return self.python(HOLD.format(setup=setup))

    def waiting(self, then: str = "") -> Step:
        """A step that waits for ``release`` and then runs the Python code ``then``."""
        return self.python(WAIT.format(then=then))

    def release(self, *steps: Step) -> None:
        """Let steps made by ``waiting`` go on."""
        for step in steps:
            (step.cwd / "go").touch()

    def start(self, *work: Work) -> list[JobId]:
        """Start these, each of which must get an id."""
        answers = self.launcher.start(work)
        ids = [answer.id for answer in answers if answer.id is not None]
        self._started += ids
        assert len(answers) == len(work), f"{len(answers)} answers for {len(work)} pieces of work"
        assert len(ids) == len(work), [answer.error for answer in answers if answer.id is None]
        return ids

    def start_up(self, *steps: Step) -> list[JobId]:
        """Start steps made by ``holding`` or ``waiting``, and return when they run."""
        ids = self.start(*steps)
        for step in steps:
            up = step.cwd / "up"
            wait_until(up.exists, f"{up}, which the step makes", self.patience)
        return ids

    def ends(self, ids: Sequence[JobId]) -> list[Status]:
        """Wait for the ends of these jobs; their last statuses, in order."""
        ended = wait_for_ends(self.launcher, ids, self.patience)
        return [ended[job] for job in ids]

    def run(self, *work: Work) -> list[Status]:
        """Start these, wait for their ends; their last statuses, in order."""
        return self.ends(self.start(*work))

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Return as soon as ``condition`` holds, which must be within the patience."""
        wait_until(condition, what, self.patience)

    def heard(self, job: JobId) -> list[Status]:
        """All that the launcher told of one job by itself."""
        with self._lock:
            return [status for told, status in self.events if told == job]

    def wait_until_gone(self, step: Step) -> None:
        """Wait until nothing of a step made by ``holding`` lives."""
        self.wait_until(lambda: not alive(step), f"the death of all processes in {step.cwd}")

    def close(self) -> None:
        """Stop what still runs; what even that leaves is killed, if it is on this host."""
        try:
            answers = self.launcher.status(self._started)
            left = [job for job in self._started if not _ended(answers.get(job))]
            if left:
                self.launcher.stop(left)
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill all that was started and is on this host."""
        _kill_all_in(self.path)


def alive(step: Step) -> bool:
    """True if a process of a step made by ``Bench.holding`` lives."""
    with (step.cwd / "alive").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _kill_all_in(path: Path) -> None:
    # By the directory that they run in, which nobody but this bench's steps has.
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "cwd").readlink().is_relative_to(path):
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue  # it has just ended, or is somebody else's


def _ended(answer: object) -> bool:
    return isinstance(answer, Status) and answer.is_terminal
