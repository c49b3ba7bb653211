"""Where the experiments of this user on this host are, and who drives and keeps them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from smartcore.error import ConfigError, PathNotFoundError
from smartcore.launch import index, journal, keeper, link, proc, spawn
from smartcore.launch.story import Driver, Story
from smartcore.log import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Process:
    """A living process of this user.

    :param born: start time in clock ticks after boot
    :param tag: that of the launch that it comes from, None if it has none
    :param keeps: the experiment's directory if it is a keeper
    :param runtime: its runtime directory if it is a keeper
    """

    pid: int
    parent: int
    session: int
    born: int
    tag: str | None = None
    keeps: Path | None = None
    runtime: Path | None = None

    @property
    def identity(self) -> str:
        """Its name until the next boot."""
        return spawn.identity(self.pid, self.born)


@dataclass(frozen=True, slots=True)
class Place:
    """One experiment on this host.

    :param path: its directory, which may be gone
    :param entries: what its drivers left in the index, oldest first
    :param keepers: its living keepers; more than one if the directory was removed and made again
    :param story: what its journals say; None if it has none, or they cannot be read
    :param problem: why not
    """

    path: Path
    entries: tuple[index.Entry, ...] = ()
    keepers: tuple[Process, ...] = ()
    story: Story | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        """The experiment's name."""
        if self.story is not None and self.story.name:
            return self.story.name
        return self.entries[-1].name if self.entries else self.path.name

    @property
    def gone(self) -> bool:
        """True if its directory or its journals were removed."""
        return self.story is None and not self.problem

    @property
    def driver(self) -> Driver | None:
        """Its newest driver; a living one before all others."""
        drivers = self._drivers()
        return max(drivers, key=lambda one: (one.living, one.opened)) if drivers else None

    @property
    def owned(self) -> bool:
        """True if somebody drives it, or if that cannot be known."""
        driver = self.driver
        return driver is None or driver.living or bool(self.problem)

    def _drivers(self) -> list[Driver]:
        # A lock says that a driver lives; where there are no locks, its process does.
        host = link.host_name()
        found = {}
        for entry in self.entries:
            pid, born = spawn.parse(entry.driver)
            found[host, pid, born] = Driver(host, pid, entry.living, born, entry.opened)
        for driver in self.story.drivers if self.story is not None else ():
            identity = spawn.identity(driver.pid, driver.born)
            living = driver.living or (driver.host == host and spawn.alive(identity))
            found[driver.host, driver.pid, driver.born] = replace(driver, living=living)
        return list(found.values())


def find_places(
    runtime: Path, processes: Sequence[Process], paths: Sequence[Path] = ()
) -> list[Place]:
    """The experiments in the index and those that have a living keeper there, by path.

    Keepers that have another runtime directory belong to another world: somebody's tests, perhaps.

    :param runtime: the runtime directory
    :param processes: what runs, see :func:`own_processes`
    :param paths: only these, whether or not they are in the index
    :raises PathNotFoundError: one of ``paths`` is no experiment
    """
    entries: dict[Path, list[index.Entry]] = {}
    for entry in index.entries(runtime):
        entries.setdefault(entry.path, []).append(entry)
    keepers: dict[Path, list[Process]] = {}
    for process in processes:
        if process.keeps is not None and process.runtime == runtime:
            keepers.setdefault(process.keeps, []).append(process)
    chosen = [path.expanduser().resolve() for path in paths] or sorted({*entries, *keepers})
    found = []
    for path in chosen:
        story, problem = _read(path)
        place = Place(
            path, tuple(entries.get(path, ())), tuple(keepers.get(path, ())), story, problem
        )
        if paths and place.gone and not place.entries and not place.keepers:
            raise PathNotFoundError(
                f"{path} has no journal; give the directory of an experiment that was started"
            )
        found.append(place)
    return found


def _read(path: Path) -> tuple[Story | None, str]:
    try:
        return journal.read(path), ""
    except PathNotFoundError:
        return None, ""
    except (ConfigError, OSError) as error:
        return None, str(error)


def own_processes() -> list[Process]:
    """The living processes of this user on this host; one pass of /proc."""
    user = os.geteuid()
    found = []
    for pid, parent, session, born in proc.living():
        try:
            # What may not be looked into belongs to root here, whoever started it.
            if Path(f"/proc/{pid}").stat().st_uid != user:
                continue
            environment = _environment(pid)
        except OSError:
            continue
        tag = environment.get(spawn.TAG_VARIABLE)
        keeps, home = _keeps(pid, environment)
        found.append(Process(pid, parent, session, born, tag, keeps, home))
    return found


def _environment(pid: int) -> dict[str, str]:
    items = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    pairs = (item.partition(b"=") for item in items)
    return {os.fsdecode(name): os.fsdecode(value) for name, equals, value in pairs if equals}


def _keeps(pid: int, environment: dict[str, str]) -> tuple[Path | None, Path | None]:
    place, runtime = (environment.get(name) for name in keeper.VARIABLES[:2])
    if place is None or runtime is None:
        return None, None
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    if link.PROGRAM.encode() not in arguments:
        return None, None
    return Path(place).parent, Path(runtime)
