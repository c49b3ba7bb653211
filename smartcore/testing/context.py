"""Making a launcher as the core makes it, without pytest."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import cast

from smartcore.launch.process import LocalProcesses
from smartcore.spec import LauncherContext, LauncherFactory

# Between TERM and KILL of processes of this host: long enough for a handler to write a file.
GRACE = timedelta(seconds=1)


def launcher_context(path: Path, grace: timedelta = GRACE) -> LauncherContext:
    """What the core would give to a launcher's factory.

    :param path: directory of the experiment
    :param grace: between TERM and KILL of what is stopped
    """
    return LauncherContext("contract", path, LocalProcesses(grace), dict(os.environ))


def load(target: str) -> Callable[..., object]:
    """Import ``module:attribute``, spelled as registrars take it."""
    module, _, attribute = target.partition(":")
    return cast("Callable[..., object]", getattr(import_module(module), attribute))


def load_factory(target: str) -> LauncherFactory:
    """Import a launcher's factory."""
    return cast("LauncherFactory", load(target))
