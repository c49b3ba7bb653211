"""Making a launcher as the core makes it, without pytest."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import cast

from smartcore.launch.batch import BatchLauncher, Place
from smartcore.launch.process import LocalProcesses
from smartcore.spec import LauncherContext, LauncherFactory
from smartcore.spec.scheduler import CommandLineScheduler, Rates

# Between TERM and KILL of processes of this host: long enough for a handler to write a file.
GRACE = timedelta(seconds=1)
# Set for tests on a real workload manager, which must not be pressed harder than users would.
LIVE = "SMARTCORE_TESTING_LIVE"


def launcher_context(path: Path, grace: timedelta = GRACE) -> LauncherContext:
    """What the core would give to a launcher's factory.

    :param path: directory of the experiment
    :param grace: between TERM and KILL of what is stopped
    """
    batch = partial(batch_launcher, path)
    return LauncherContext("contract", path, LocalProcesses(grace), dict(os.environ), batch)


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
