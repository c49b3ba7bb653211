"""Checks that smartcore can work on this host: what ``smartcore doctor`` shows."""

from __future__ import annotations

import os
import platform
import resource
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import smartcore
from smartcore import config
from smartcore.config.runtime import runtime_directory
from smartcore.detection import choose
from smartcore.error import ConfigError, DatabaseError, SmartcoreError, UnsupportedError
from smartcore.launch.process import require_pidfd
from smartcore.launch.survival import look
from smartcore.loader import ALL_PLUGINS, Plugin, core_version
from smartcore.registry import Registry
from smartcore.spec import CheckResult, Server, Verdict
from smartcore.spec.addresses import free_ports, interface_address

LEAST_PYTHON: Final = (3, 11)
# Each running process takes a descriptor, each shard and each client of a database some more.
LEAST_OPEN_FILES: Final = 1024
LEAST_PROCESSES: Final = 1024
# unix(7): 108 bytes with the final zero; what a socket's own name below the directory may take.
SOCKET_PATH: Final = 107
SOCKET_NAME: Final = 40
LOOPBACK: Final = "127.0.0.1"

Environment = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FoundServer:
    """What one database back end found on this host: a server, or the reason why not."""

    name: str
    distribution: str
    server: Server | None = None
    error: str = ""


def examine(registry: Registry, environment: Environment) -> list[CheckResult]:
    """Run all checks, those that plugins register included; nothing is raised."""
    settings, results = _settings(registry, environment)
    return [
        _python(),
        _core(),
        *(_plugin(plugin) for plugin in registry.plugins),
        *results,
        _launcher(registry, settings, environment),
        *_databases(registry, settings, environment),
        _ports(registry),
        _limit("open files", resource.RLIMIT_NOFILE, LEAST_OPEN_FILES, "ulimit -n"),
        _limit("processes", resource.RLIMIT_NPROC, LEAST_PROCESSES, "ulimit -u"),
        _pidfd(),
        _survival(),
        _working_directory(),
        *_runtime_directory(settings),
        *_plugins_checks(registry, environment),
    ]


def _ok(name: str, detail: str) -> CheckResult:
    return CheckResult(name, Verdict.OK, detail)


def _warning(name: str, detail: str, advice: str) -> CheckResult:
    return CheckResult(name, Verdict.WARNING, detail, advice)


def _failure(name: str, detail: str, advice: str) -> CheckResult:
    return CheckResult(name, Verdict.FAILURE, detail, advice)


def _python() -> CheckResult:
    detail = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info < LEAST_PYTHON:
        least = ".".join(map(str, LEAST_PYTHON))
        return _failure("Python", detail, f"use Python {least} or newer")
    return _ok("Python", detail)


def _core() -> CheckResult:
    installed, imported = core_version(), smartcore.__version__
    place = Path(smartcore.__file__).parent
    if installed != imported:
        return _warning(
            "smartcore",
            f"{imported} in {place}, but its metadata say {installed}",
            "install smartcore again: plugins are matched with the metadata",
        )
    return _ok("smartcore", f"{imported}, {place}")


def _plugin(plugin: Plugin) -> CheckResult:
    name = f"plugin {plugin.name}"
    if plugin.disabled:
        return _warning(name, "disabled", "see disable_plugins in: smartcore info")
    if plugin.error is not None:
        advice = f"repair or uninstall {plugin.distribution or plugin.module}"
        return _failure(name, str(plugin.error), advice)
    return _ok(name, f"{plugin.distribution} {plugin.version}")


def _settings(
    registry: Registry, environment: Environment
) -> tuple[config.Config, list[CheckResult]]:
    results = [
        _warning("settings", f"{name} is no variable of smartcore", f"is {meant} meant?")
        for name, meant in config.misspelt_variables(environment).items()
    ]
    try:
        settings = registry.load_config(environment)
    except SmartcoreError as error:
        advice = "correct it; docs/configuration.md lists the settings"
        results.insert(0, _failure("settings", str(error), advice))
        return config.Config(environment, (), {}), results
    unknown = (
        set(settings.names("disable_plugins")) - {p.name for p in registry.plugins} - {ALL_PLUGINS}
    )
    if unknown:
        names = ", ".join(sorted(unknown))
        advice = "see: smartcore plugins list"
        results.append(_warning("disable_plugins", f"no plugin is called {names}", advice))
    files = ", ".join(map(str, settings.files)) or "no files"
    return settings, [_ok("settings", f"{files} and the environment"), *results]


def _launcher(registry: Registry, settings: config.Config, environment: Environment) -> CheckResult:
    try:
        choice = choose(registry, settings, environment)
    except SmartcoreError as error:
        return _failure("launcher", str(error), "see: smartcore launchers list")
    return _ok("launcher", f"auto takes {choice.name}: {choice.why}")


def servers(registry: Registry, environment: Environment) -> list[FoundServer]:
    """Ask every database back end for its server on this host."""
    return [_server(registry, name, environment) for name in registry.names("databases")]


def _server(registry: Registry, name: str, environment: Environment) -> FoundServer:
    try:
        distribution = registry.plugin(registry.entry("databases", name).plugin).distribution
    except SmartcoreError as error:
        return FoundServer(name, "", error=str(error))
    try:
        return FoundServer(name, distribution, registry.database(name).find(environment))
    except SmartcoreError as error:
        return FoundServer(name, distribution, error=str(error))
    except Exception as error:  # noqa: BLE001 -- foreign code: the others are to be shown
        return FoundServer(name, distribution, error=f"{type(error).__name__}: {error}")


def _databases(
    registry: Registry, settings: config.Config, environment: Environment
) -> list[CheckResult]:
    found = servers(registry, environment)
    wanted = settings.text("database.backend")
    results = [
        _ok(f"database {one.name}", f"{one.server.version}, {one.server.executable}")
        for one in found
        if one.server is not None
    ]
    error = next((one.error for one in found if one.name == wanted), "")
    if wanted not in [one.name for one in found]:
        try:
            registry.entry("databases", wanted)
        except SmartcoreError as missing:
            error = str(missing)
    if error:
        # What somebody set must hold; that there is no server at all may not matter to anybody.
        named = settings.origin("database.backend") != config.DEFAULT or any(
            name.endswith("_PATH") and name in error for name in environment
        )
        advice = "only needed for databases; see: smartcore databases list"
        results.append((_failure if named else _warning)(f"database {wanted}", error, advice))
    interface = settings.text("database.interface")
    if interface:
        try:
            interface_address(interface)
        except SmartcoreError as unknown:
            advice = "correct the setting database.interface"
            results.append(_failure("database interface", str(unknown), advice))
    return results


def _ports(registry: Registry) -> CheckResult:
    # What a shard of a cluster needs, of any kind of server.
    offsets = {0}
    for name in registry.names("databases"):
        with suppress(SmartcoreError):  # told with the databases
            offsets.update(registry.database(name).cluster_offsets)
    try:
        (port,) = free_ports([LOOPBACK], offsets=sorted(offsets))
    except DatabaseError as error:
        return _failure("ports", str(error), "end servers that are not needed")
    free = [str(port + offset) for offset in sorted(offsets)]
    return _ok(
        "ports", f"{' and '.join(free)} {'is' if len(free) == 1 else 'are'} free on {LOOPBACK}"
    )


def _limit(name: str, which: int, least: int, command: str) -> CheckResult:
    soft, hard = resource.getrlimit(which)
    detail = f"{_number(soft)} (at most {_number(hard)})"
    if soft == resource.RLIM_INFINITY or soft >= least:
        return _ok(name, detail)
    return _warning(name, detail, f"many models at once need more: {command} {least}")


def _number(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)


def _pidfd() -> CheckResult:
    try:
        require_pidfd()
    except UnsupportedError as error:
        return _failure("kernel", str(error), "launch from a host with Linux 5.3 or newer")
    return _ok("kernel", f"{platform.system()} {platform.release()} has pidfd_open")


def _survival() -> CheckResult:
    name, found = "left running", look()
    if found.survives or found.job:
        return _ok(name, found.why)
    advice = (
        "what must outlive the login: loginctl enable-linger, or start the driver by"
        " systemd-run --user --scope, or as a job"
    )
    return _warning(name, found.why, advice)


def _working_directory() -> CheckResult:
    try:
        path = Path.cwd()
        # A trial: permission bits say little on network file systems.
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        advice = "experiments are made here unless exp_path says otherwise"
        return _warning("working directory", f"cannot be written: {error.strerror}", advice)
    return _ok("working directory", f"{path} can be written")


def _runtime_directory(settings: config.Config) -> list[CheckResult]:
    name = "runtime directory"
    try:
        path = runtime_directory(settings)
        with tempfile.TemporaryFile(dir=path):
            pass
    except ConfigError as error:
        return [_failure(name, str(error), "it holds the sockets of databases")]
    except OSError as error:
        return [_failure(name, f"cannot be written: {error.strerror}", "set SMARTCORE_RUNTIME_DIR")]
    length = len(os.fsencode(path))
    if length > SOCKET_PATH - SOCKET_NAME:
        advice = "set SMARTCORE_RUNTIME_DIR to a shorter one"
        return [_warning(name, f"{path} is too long for sockets ({length} bytes)", advice)]
    return [_ok(name, str(path))]


def _plugins_checks(registry: Registry, environment: Environment) -> list[CheckResult]:
    results = []
    for name in registry.names("checks"):
        try:
            found = registry.check(name)(environment)
            found = [found] if isinstance(found, CheckResult) else list(found)
            if not all(isinstance(one, CheckResult) for one in found):
                raise TypeError("it returned something that is no CheckResult")
        except SmartcoreError as error:
            found = [_failure(name, str(error), "see: smartcore plugins check")]
        except Exception as error:  # noqa: BLE001 -- foreign code: the others are to be shown
            plugin = registry.entry("checks", name).plugin
            detail = f"the plugin {plugin!r} failed: {type(error).__name__}: {error}"
            found = [_failure(name, detail, f"repair or disable the plugin {plugin}")]
        results += found
    return results
