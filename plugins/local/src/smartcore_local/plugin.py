"""What this distribution registers."""

from smartcore.spec import LauncherRegistrar, hookimpl


@hookimpl
def smartcore_register_launchers(registry: LauncherRegistrar) -> None:
    registry.add(
        "local",
        "smartcore_local.launcher:LocalLauncher",
        detect="smartcore_local.launcher:detect",
        summary="processes of this host",
    )
