"""The databases of an experiment, as a process sees them that does not drive it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from smartcore.database import LiveDatabase
from smartcore.database.live import is_step_of
from smartcore.error import DatabaseError, PathNotFoundError, SmartcoreError
from smartcore.launch.run import SHARD, Run
from smartcore.observe import Observer
from smartcore.registry import Registry
from smartcore.spec import ShardStatistics, State, Status
from smartcore.status import farthest_from_success

if TYPE_CHECKING:
    from smartcore.database.colocated import Colocated

PATIENCE = timedelta(seconds=2)
_STARTS = "it is being started and does not serve yet"


@dataclass(frozen=True, slots=True)
class DatabaseView:
    """One database of an experiment, which may have ended.

    :param identifier: its ``db_identifier``
    :param checkpoint: the file by which another driver finds it; None of one next to a model
    :param runs: the newest run of each of its steps: each shard is one, or all of them are
    :param known: what its checkpoint tells, None if that cannot be read; without passwords, if
        those are not to be had
    :param problem: why it cannot be asked, empty if it can
    :param beside: of a database next to a model: what its nodes tell. Its run is the model's
    """

    identifier: str
    checkpoint: Path | None
    runs: tuple[Run, ...]
    known: LiveDatabase | None = None
    problem: str = ""
    beside: Colocated | None = None

    @property
    def running(self) -> bool:
        """True while a shard waits or runs."""
        if self.beside is not None and self._dead == len(self.beside.live.shards):
            return False
        return any(run.active for run in self.runs)

    @property
    def _dead(self) -> int:
        return len(self.beside.dead) if self.beside is not None else 0

    @property
    def status(self) -> Status | None:
        """How it stands: the status of the shard that is farthest from success."""
        return farthest_from_success(run.status for run in self.runs) if self.runs else None

    @property
    def state(self) -> str:
        """How it stands, in a word or two."""
        if self.status is None:
            return "Unknown"
        if self.beside is not None and self._dead:
            count = len(self.beside.live.shards)
            left = count - self._dead
            return f"{left} of {count} run" if left else State.FAILED.value
        active = sum(run.active for run in self.runs)
        if 0 < active < len(self.runs):
            return f"{active} of {len(self.runs)} run"
        return self.status.state.value

    def run_of(self, index: int) -> Run | None:
        """The run that a shard is, or is a part of."""
        name = self.known.step_of(index).name if self.known is not None else ""
        return next((run for run in self.runs if run.name == name), None)

    def ask(self, registry: Registry, timeout: timedelta = PATIENCE) -> tuple[ShardStatistics, ...]:
        """How its shards do, in their order; nothing if it has ended or is not known.

        :raises PluginError: its back end is not to be had here
        """
        if self.beside is not None:
            return self.beside.ask(registry, timeout)
        if self.known is None or not self.running:
            return ()
        shards = self.known.shards
        if self.problem:
            return tuple(ShardStatistics(shard.name, self.problem) for shard in shards)
        asked = [shard for shard in shards if self._serves(shard.index)]
        answers = registry.database(self.known.backend).statistics(asked, timeout)
        told = {answer.name: answer for answer in answers}
        return tuple(
            told.get(shard.name, ShardStatistics(shard.name, "it has ended, or is being started"))
            for shard in shards
        )

    def _serves(self, index: int) -> bool:
        # The addresses of an earlier life are somebody else's perhaps.
        run = self.run_of(index)
        tag = self.known.step_of(index).tag if self.known is not None else ""
        return run is not None and run.active and run.step.tag == tag

    @property
    def serves(self) -> bool:
        """True if its checkpoint tells of what runs: not so until it has come to serve."""
        return self.known is not None and any(
            self._serves(shard.index) for shard in self.known.shards
        )


def view_databases(observer: Observer) -> list[DatabaseView]:
    """All databases that were ever started in an experiment, newest last; then those next to models
    that run.
    """
    from smartcore.database.colocated import read_colocated

    runs = observer.refresh()
    shards = [run for run in runs if run.kind == SHARD]
    views = [
        _view(observer, identifier, Path(checkpoint), shards)
        for identifier, checkpoint in observer.story.databases.items()
    ]
    return views + [_view_beside(one) for one in read_colocated(observer.path, runs)]


def _view_beside(one: Colocated) -> DatabaseView:
    live = one.live
    silent = list(one.silent.values()) if len(one.silent) == len(live.shards) else []
    problem = next(iter(silent), "")
    return DatabaseView(live.identifier, None, (one.run,), live, problem, one)


def _view(
    observer: Observer, identifier: str, checkpoint: Path, runs: Sequence[Run]
) -> DatabaseView:
    own = [run for run in runs if is_step_of(identifier, run.name)]
    view = DatabaseView(identifier, checkpoint, tuple(own))
    try:
        known = _read(checkpoint, secrets=False)
    except PathNotFoundError:
        otherwise = _starting(observer, identifier) if view.running else "it ended before it served"
        return replace(view, problem=f"{checkpoint.name} was removed, or {otherwise}")
    except SmartcoreError as error:
        return replace(view, problem=str(error))
    # An earlier life may have had more shards.
    steps = {step.name for step in known.steps}
    view = replace(view, runs=tuple(run for run in own if run.name in steps), known=known)
    if not view.running:
        return view
    if not view.serves:
        return replace(view, problem=_starting(observer, identifier))
    try:
        view = replace(view, known=_read(checkpoint, secrets=True))
    except SmartcoreError as error:
        return replace(view, problem=str(error))
    return replace(view, problem=_elsewhere(observer, view))


def _starting(observer: Observer, identifier: str) -> str:
    if observer.driver is not None:
        return _STARTS
    how = f"smartcore db stop {quote(str(observer.path))} --db {quote(identifier)}"
    return f"its driver ended before it served; end it ({how}) and start it anew"


def _read(checkpoint: Path, *, secrets: bool) -> LiveDatabase:
    from smartcore.database.checkpoint import read_checkpoint

    return read_checkpoint(checkpoint, secrets=secrets)


def _elsewhere(observer: Observer, view: DatabaseView) -> str:
    # Who listens on that port of our own loopback interface is somebody else, and must not be told
    # a password.
    assert view.known is not None
    for run in view.runs:
        if not observer.is_elsewhere(run):
            continue
        addresses = [shard.address for shard in view.known.shards]
        if any(not address.port or _loopback(address.host) for address in addresses):
            host = observer.story.hosts[run.step.tag]
            return f"it listens for its own host only; ask on {host}"
    return ""


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def names_of(view: DatabaseView) -> set[str]:
    """What it is called."""
    own = view.beside.identifier if view.beside is not None else ""
    return {view.identifier, own} - {""}


def choose(views: Sequence[DatabaseView], identifier: str | None, path: Path) -> list[DatabaseView]:
    """All of them, or the one of that name.

    :raises DatabaseError: there is none
    """
    if not views:
        raise DatabaseError(
            f"no database was started in {path}; see what was: smartcore status {path}"
        )
    chosen = [view for view in views if identifier in {None, *names_of(view)}]
    if not chosen:
        there = ", ".join(view.identifier for view in views)
        raise DatabaseError(f"no database {identifier!r} in {path}; there are: {there}")
    return chosen
