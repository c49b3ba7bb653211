"""Fails a run of the tests that leaves processes behind; names them, and ends them. Lets tests
press Ctrl-C however the run was started, and take their time. Keeps sockets and indices of tests
out of their user's own runtime directory.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

import psutil
import pytest
from hypothesis import settings

# All that a run starts inherits it, also by way of a keeper or a scheduler. A run within a run adds
# its own. No SMARTCORE_ in front: some tests remove these.
RUNS = "TEST_RUNS"
RUNTIME = "SMARTCORE_RUNTIME_DIR"
# Seconds that what was told to end may take; a keeper goes when it has nothing left to keep.
PATIENCE = 20

Handler = Callable[[int, FrameType | None], object] | signal.Handlers

_run = uuid.uuid4().hex
_left = pytest.StashKey[list[str]]()
_place = pytest.StashKey[Path]()
_runtime = pytest.StashKey[str]()


# No example fails for being slow: the host may be busy.
settings.register_profile("unhurried", settings(deadline=None))


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("unhurried")
    _hear_signals()
    os.environ[RUNS] = " ".join([*os.environ.get(RUNS, "").split(), _run])
    if RUNTIME not in os.environ:
        # Paths of sockets are short, those of tests are long. What is killed leaves its own there.
        os.environ[RUNTIME] = config.stash[_runtime] = tempfile.mkdtemp(prefix="sc-", dir="/tmp")


def pytest_unconfigure(config: pytest.Config) -> None:
    made = config.stash.get(_runtime, "")
    if made:
        shutil.rmtree(made, ignore_errors=True)  # a test may still end that writes there
        del os.environ[RUNTIME]


def _hear_signals() -> None:
    # What a shell starts in the background ignores Ctrl-C, and what nohup starts the end of a
    # terminal. Programs that tests start would inherit that; of a handler they do not.
    handlers: dict[signal.Signals, Handler] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGQUIT: signal.SIG_DFL,
        signal.SIGHUP: lambda number, frame: None,  # the run itself goes on
    }
    for number, handler in handlers.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def _note_the_place(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> None:
    pytestconfig.stash[_place] = tmp_path_factory.getbasetemp()


# Last: what is left when all fixtures are torn down.
@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    place = session.config.stash.get(_place, None)
    psutil.wait_procs(list(_processes_of_this_run(place)), timeout=PATIENCE)
    left = list(_processes_of_this_run(place))
    session.config.stash[_left] = [_description(process) for process in left]
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if left := config.stash.get(_left, []):
        terminalreporter.section("left running by these tests, and ended now", red=True)
        for line in left:
            terminalreporter.line(line)


def _processes_of_this_run(place: Path | None) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        # It has just ended, or is somebody else's.
        with suppress(psutil.Error):
            if process.pid != os.getpid() and _is_of_this_run(process, place):
                yield process


def _is_of_this_run(process: psutil.Process, place: Path | None) -> bool:
    if process.status() == psutil.STATUS_ZOMBIE:
        return False
    if _run in process.environ().get(RUNS, "").split():
        return True
    if place is None:
        return False
    named = any(f"{place}/" in word for word in process.cmdline())
    return named or Path(process.cwd()).is_relative_to(place)


def _description(process: psutil.Process) -> str:
    try:
        with process.oneshot():
            test = process.environ().get("PYTEST_CURRENT_TEST", "an unknown test")
            return f"{process.pid}: {shlex.join(process.cmdline())} (started in {test})"
    except psutil.Error:
        return f"{process.pid}: it has just ended"
