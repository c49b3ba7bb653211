from __future__ import annotations

from smartcore.testing import LauncherContract


class TestLocal(LauncherContract):
    factory = "smartcore_local.launcher:LocalLauncher"
    detect = "smartcore_local.launcher:detect"
