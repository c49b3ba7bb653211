"""Making a launcher as the core makes it, without pytest."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import cast

from smartcore.error import LauncherError
from smartcore.launch import link
from smartcore.launch.batch import BatchLauncher, Place
from smartcore.launch.keeping import KeeperProcesses
from smartcore.spec import LauncherContext, LauncherFactory
from smartcore.spec.scheduler import CommandLineScheduler, Rates

# Between TERM and KILL of processes of this host: long enough for a handler to write a file.
GRACE = timedelta(seconds=1)
# Set for tests on a real workload manager, which must not be pressed harder than users would.
LIVE = "SMARTCORE_TESTING_LIVE"


def launcher_context(path: Path, grace: timedelta = GRACE) -> LauncherContext:
    """What the core would give to a launcher's factory; to be followed by :func:`clean_up`.

    :param path: directory of the experiment
    :param grace: between TERM and KILL of what is stopped
    """
    processes = KeeperProcesses(path, _make_runtime(path), grace)
    batch = partial(batch_launcher, path)
    return LauncherContext("contract", path, processes, dict(os.environ), batch)


def clean_up(path: Path) -> None:
    """Wait until the keeper of an experiment has ended, and remove the directory of its socket.

    Everything that it kept has ended, and all contexts are closed.

    :param path: directory of the experiment
    :raises LauncherError: the keeper lives on
    """
    place = link.Place(path, _runtime(path))
    facts = link.read_facts(place)
    if facts is not None:
        link.wait_gone(facts.identity)
    shutil.rmtree(place.runtime, ignore_errors=True)


def _runtime(path: Path) -> Path:
    # The same for all processes that have the experiment, and short: the path of a socket may have
    # 107 bytes (unix(7)), and those of pytest's directories are long.
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    return Path(f"/tmp/smartcore-testing-{os.geteuid()}-{name}")


def _make_runtime(path: Path) -> Path:
    runtime = _runtime(path)
    runtime.mkdir(mode=0o700, exist_ok=True)
    facts = runtime.lstat()
    # What others may enter, or a link of theirs, which has all permission bits.
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise LauncherError(f"{runtime} is open to others; remove it")
    return runtime


def batch_launcher(path: Path, scheduler: CommandLineScheduler, /) -> BatchLauncher:
    """The core's launcher for a scheduler; in a hurry, unless the scheduler is a real one.

    :param path: directory of the experiment
    """
    if not os.environ.get(LIVE):
        scheduler.rates = hurried(scheduler.rates)
    return BatchLauncher(scheduler, Place(path, path.with_name("runtime")))


def hurried(rates: Rates) -> Rates:
    """The sizes of a scheduler, at a pace that suits a fake one."""
    return replace(
        rates,
        timeout=timedelta(seconds=5),
        queries_per_minute=60_000,
        query_burst=1000,
        submits_per_second=1000,
        submit_burst=1000,
        first_interval=timedelta(milliseconds=10),
        last_interval=timedelta(milliseconds=50),
        accounting_lag=timedelta(seconds=1),
    )


def load(target: str) -> Callable[..., object]:
    """Import ``module:attribute``, spelled as registrars take it."""
    module, _, attribute = target.partition(":")
    return cast("Callable[..., object]", getattr(import_module(module), attribute))


def load_factory(target: str) -> LauncherFactory:
    """Import a launcher's factory."""
    return cast("LauncherFactory", load(target))
