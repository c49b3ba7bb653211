"""Processes of experiments that nobody drives, and how they are ended.

A process is ours if a living keeper of the experiment is its parent, or if its process id, start
time and tag are what the experiment's journals, or a killed keeper's notes, say. What was forked
by one of ours is ours as long as it is in its session. Nothing else is touched, be its process id
the same or its command line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from smartcore.error import LauncherError
from smartcore.launch import link, spawn
from smartcore.launch.journal import note_stopped
from smartcore.launch.keeping import KeeperProcesses
from smartcore.launch.process import survival
from smartcore.launch.run import Run
from smartcore.launch.story import Story
from smartcore.spec import JobId

from .places import Place, Process

# Clocks are set; what was launched so little before the boot cannot be told from what was after.
BOOT_SLACK = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Orphan:
    """A session that one launch began, and that nobody drives.

    :param place: its experiment
    :param name: name of the entity, or what is known instead
    :param pid: the process that was launched
    :param born: its start time in clock ticks after boot
    :param member: a living process of the session: the launched one itself, if it lives
    :param members: how many processes the session has
    :param since: when it was started
    """

    place: Place
    name: str
    pid: int
    born: int
    member: Process
    members: int
    since: datetime

    @property
    def identity(self) -> str:
        """The process that was launched, as ids name it."""
        return spawn.identity(self.pid, self.born)

    @property
    def led(self) -> bool:
        """True if the process that was launched lives."""
        return self.member.pid == self.pid


def find_orphans(place: Place, processes: Sequence[Process]) -> list[Orphan]:
    """What has no living owner in one experiment; nothing while somebody drives it.

    The session of this process is never among it.

    :param processes: what runs, see :func:`own_processes`
    """
    if place.owned:
        return []
    boot = _boot_time()
    sessions: dict[int, list[Process]] = {}
    for process in processes:
        sessions.setdefault(process.session, []).append(process)
    sessions.pop(os.getsid(0), None)
    known = _Known(place, boot)
    found = []
    for session, members in sessions.items():
        own = next((one for one in members if known.launched(one)), None)
        own = own or next((one for one in members if known.forked(one)), None)
        if own is not None:
            born = own.born if own.pid == session else known.born(session, own)
            since = boot + timedelta(seconds=born / os.sysconf("SC_CLK_TCK"))
            found.append(Orphan(place, known.name(own), session, born, own, len(members), since))
    return found


def _boot_time() -> datetime:
    import psutil

    return datetime.fromtimestamp(psutil.boot_time(), UTC)


class _Known:
    """What was written down about the launches of one experiment on this host."""

    def __init__(self, place: Place, boot: datetime) -> None:
        runs = [] if place.story is None else _launched_here(place.story)
        self._boot = boot
        self._keepers = {keeper.pid for keeper in place.keepers}
        self._by_tag: Mapping[str, Run] = {run.step.tag: run for run in runs}
        self._by_id: Mapping[str, Run] = {
            run.job: run for run in runs if run.job is not None and spawn.parse(run.job) != (-1, -1)
        }
        self._noted = set(_begun(place.path))
        self._pids: dict[int, set[int]] = {}
        for identity in {*self._by_id, *self._noted}:
            pid, born = spawn.parse(identity)
            self._pids.setdefault(pid, set()).add(born)

    def launched(self, process: Process) -> bool:
        """Whether a launch began with this very process."""
        if process.pid != process.session or process.keeps is not None:
            return False
        if process.parent in self._keepers:
            return True
        run = self._by_id.get(process.identity)
        if run is None:
            return process.identity in self._noted and process.tag in self._by_tag
        if process.tag is None:
            # Its program was started without our variables. Numbers begin anew with each boot.
            return run.status.seen > self._boot - BOOT_SLACK
        return process.tag == run.step.tag

    def forked(self, process: Process) -> bool:
        """Whether it is what a launch left in its session."""
        run = self._by_tag.get(process.tag or "")
        if run is None or process.pid == process.session:
            return False
        return any(born <= process.born for born in self._births(process.session, run))

    def _births(self, session: int, run: Run) -> Iterator[int]:
        for born in self._pids.get(session, ()):
            other = self._by_id.get(spawn.identity(session, born))
            if other is run or (other is None and run.job is None):
                yield born

    def born(self, session: int, member: Process) -> int:
        """When the process began whose session this is."""
        run = self._by_tag[member.tag or ""]
        return max(born for born in self._births(session, run) if born <= member.born)

    def name(self, process: Process) -> str:
        """Name of the entity."""
        run = self._by_id.get(process.identity) or self._by_tag.get(process.tag or "")
        if run is not None:
            return run.name
        return (process.tag or "?").rpartition("-")[0] or "?"


def databases_in_use(places: Sequence[Place]) -> dict[Path, list[Place]]:
    """Checkpoints of databases that these use and others started, each with who uses it.

    :param places: experiments that live
    """
    found: dict[Path, list[Place]] = {}
    for place in places:
        for checkpoint in place.story.uses.values() if place.story is not None else ():
            found.setdefault(Path(checkpoint).resolve(), []).append(place)
    return found


def users_of(orphan: Orphan, used: Mapping[Path, Sequence[Place]]) -> list[Place]:
    """The experiments that use what an orphan serves; nothing if it is no shard of a database.

    :param used: see :func:`databases_in_use`
    """
    story = orphan.place.story
    users: list[Place] = []
    for identifier, checkpoint in story.databases.items() if story is not None else ():
        # A shard has the identifier and its number for a name; one step for all has none.
        if orphan.name == identifier or orphan.name.rpartition("_")[0] == identifier:
            users += used.get(Path(checkpoint).resolve(), ())
    return [place for place in users if place.path != orphan.place.path]


def _launched_here(story: Story) -> list[Run]:
    host = link.host_name()
    return [run for run in story.runs if story.hosts.get(run.step.tag) == host]


def _begun(path: Path) -> Iterator[str]:
    # What keepers were killed over; a driver killed at the same time knows nothing of it.
    for file in (path / ".smartcore" / "keeper").glob("*.begun"):
        if not file.stem.removeprefix(f"{link.host_name()}-").isdigit():
            continue
        try:
            lines = file.read_bytes().splitlines()
        except OSError:
            continue
        for line in lines:
            try:
                note = json.loads(line)
            except ValueError:  # torn
                continue
            if isinstance(note, dict) and isinstance(note.get("id"), str):
                yield note["id"]


def end_orphans(place: Place, orphans: Collection[Orphan], runtime: Path, grace: timedelta) -> None:
    """TERM to each process group, KILL to what is left of its session after the grace period.

    The keeper does it where there is one, so that it writes down that they were stopped.

    :raises LauncherError: naming the processes that survived
    """
    kept = [JobId(orphan.identity) for orphan in orphans if orphan.led and not place.gone]
    left = [orphan for orphan in orphans if not orphan.led or place.gone]
    if not place.gone:
        led = {orphan.identity for orphan in orphans if orphan.led}
        tags = {orphan.member.tag for orphan in orphans if orphan.led}
        runs = [] if place.story is None else place.story.runs
        stopped = [run for run in runs if run.job in led or run.step.tag in tags]
        note_stopped(place.path, stopped)
    errors = []
    if kept:
        processes = KeeperProcesses(place.path, runtime, grace)
        try:
            processes.stop(kept)
        except LauncherError as error:
            errors.append(str(error))
        finally:
            processes.close()
    targets = [target for orphan in left if (target := _target(orphan)) is not None]
    survivors = spawn.end_sessions(targets, grace.total_seconds())
    if survivors:
        errors.append(str(survival(survivors)))
    if errors:
        raise LauncherError("; ".join(errors))


def _target(orphan: Orphan) -> spawn.Target | None:
    # Whoever of the session lives is held; its number is the session's, as long as that one lives.
    held = spawn.open_process(orphan.member.identity)
    return None if held is None else spawn.Target(orphan.pid, orphan.born, held.pidfd)
