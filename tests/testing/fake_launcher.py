"""What a plugin for the fake workload manager would register."""

from __future__ import annotations

from smartcore.spec import Launcher, LauncherContext
from smartcore.testing.fakewlm.scheduler import FakeScheduler


def make(context: LauncherContext, /) -> Launcher:
    return context.batch(FakeScheduler())
