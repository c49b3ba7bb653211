"""Databases next to models, as who looks at their experiment knows them: by the notes that their
nodes write while they serve.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from smartcore.error import DatabaseFileError
from smartcore.launch.notes import read_notes
from smartcore.launch.run import MODEL, Run
from smartcore.spec import Credentials, Server, ShardAddress, ShardPlan, ShardStatistics, State

from .credentials import read_secret
from .live import LiveDatabase

if TYPE_CHECKING:
    from smartcore.launch.notes import Note
    from smartcore.registry import Registry

LOOPBACK = "127."
PATIENCE = timedelta(seconds=2)
# Seconds by which those of two hosts may differ.
CLOCKS = 60.0


@dataclass(frozen=True, slots=True)
class Colocated:
    """The servers next to one model: one on each of its nodes.

    :param run: of the model
    :param live: what is known of them; identified by the name that their log has
    :param identifier: the ``db_identifier``; empty for the model's default database
    :param since: when the first of them came to serve
    :param dead: how those ended that did so before their model, by name
    :param silent: why those cannot be asked from here that cannot, by name
    """

    run: Run
    live: LiveDatabase
    identifier: str
    since: datetime
    dead: Mapping[str, str] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)

    def state_of(self, name: str) -> State:
        """How one of them stands."""
        return State.FAILED if name in self.dead else self.run.status.state

    def ask(self, registry: Registry, timeout: timedelta) -> tuple[ShardStatistics, ...]:
        """How they do, in their order.

        :raises PluginError: their back end is not to be had here
        """
        why = {**self.silent, **self.dead}
        asked = [shard for shard in self.live.shards if shard.name not in why]
        told = {name: ShardStatistics(name, reason) for name, reason in why.items()}
        if asked:
            answers = registry.database(self.live.backend).statistics(asked, timeout)
            told |= {answer.name: answer for answer in answers}
        return tuple(told[shard.name] for shard in self.live.shards)


def read_colocated(experiment: Path, runs: Iterable[Run]) -> list[Colocated]:
    """Those next to models that run, in the models' order.

    :param runs: of the experiment, whatever they are
    """
    models = {run.name: run for run in runs if run.kind == MODEL and run.active and run.job}
    notes = current_notes(experiment, models)
    return [_colocated(run, notes[name]) for name, run in models.items() if name in notes]


def current_notes(experiment: Path, models: Mapping[str, Run]) -> dict[str, list[Note]]:
    """What is told of those next to these models, by the models' names. A node that crashed could
    not take back what it had told of an earlier launch: that is left out.
    """
    found: dict[str, list[Note]] = {}
    for note in read_notes(os.fspath(experiment)) if models else ():
        run = models.get(note["facts"].get("model", ""))
        if run is not None and note["since"] > _began(run) - CLOCKS:
            found.setdefault(run.name, []).append(note)
    return {name: _of_newest_launch(notes) for name, notes in found.items()}


def _began(run: Run) -> float:
    return 0.0 if run.started is None else time.time() - (time.monotonic() - run.started)


def _of_newest_launch(notes: Sequence[Note]) -> list[Note]:
    newest = max(notes, key=lambda note: note["since"])["launch"]
    return [note for note in notes if note["launch"] == newest]


def _colocated(run: Run, notes: Sequence[Note]) -> Colocated:
    # Those that can be asked first: who wants one of them takes the first.
    here = os.uname().nodename
    silent = {note["name"]: why for note in notes if (why := _why_silent(note, here))}
    notes = sorted(notes, key=lambda note: (bool(note["ended"]), note["name"] in silent))
    facts = notes[0]["facts"]
    auth = Path(facts["auth_file"])
    credentials = Credentials("")
    try:
        user, password = read_secret(auth)
        # The models' user may ask all that is asked here.
        credentials = Credentials(user, password, user, password, facts["open"] == "yes")
    except DatabaseFileError as error:
        silent = {note["name"]: str(error) for note in notes}
    return Colocated(
        run=run,
        live=LiveDatabase(
            identifier=f"{run.name}-db",
            backend=facts["backend"],
            server=Server(facts["executable"], facts["version"], facts["source"]),
            shards=tuple(_shard(note, run, credentials) for note in notes),
            steps=(run.step,),
            auth_file=auth,
            admin_file=auth,
            nodes=tuple(note["node"] for note in notes),
        ),
        identifier=facts["identifier"],
        since=datetime.fromtimestamp(min(note["since"] for note in notes), UTC),
        dead={note["name"]: _how(note) for note in notes if note["ended"]},
        silent=silent,
    )


def _shard(note: Note, run: Run, credentials: Credentials) -> ShardPlan:
    address = ShardAddress(note["host"], note["port"], note["socket"])
    # Each is a server of its own, whatever the others are.
    return ShardPlan(note["name"], run.step.cwd, address, (address,), 0, credentials)


def _why_silent(note: Note, here: str) -> str:
    # Who is at that socket, or port of our own loopback interface, is somebody else.
    if note["machine"] == here or (note["port"] and not note["host"].startswith(LOOPBACK)):
        return ""
    return f"it can be reached on its node only; ask on {note['node']}"


def _how(note: Note) -> str:
    at = datetime.fromtimestamp(note["ended"]).astimezone().strftime("%H:%M:%S")
    return f"it {note['became'].partition(';')[0]} at {at}, and its model goes on without it"
