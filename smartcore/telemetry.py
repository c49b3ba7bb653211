"""Telemetry: a switch, and one line of JSON for each start and end of an entity."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from smartcore.entity import TelemetryConfiguration
from smartcore.error import TelemetryError
from smartcore.log import get_logger
from smartcore.spec import JobId, State, Status

log = get_logger(__name__)

EVENTS_FILE = Path(".smartcore", "telemetry", "events.jsonl")
"""Where an experiment's events stand, relative to its directory."""

SCHEMA_VERSION = 1


class ExperimentTelemetryConfiguration(TelemetryConfiguration):
    """The switch of one experiment: off unless switched on, and nobody else's business."""


class Launched(Protocol):
    """What telemetry must know about one launch of one entity."""

    @property
    def name(self) -> str:
        """The entity's name."""

    @property
    def kind(self) -> str:
        """Its type, as in the summary."""

    @property
    def run_id(self) -> int:
        """0 for its first launch, then 1, 2..."""

    @property
    def job(self) -> JobId | None:
        """The launcher's id, if it has one."""

    @property
    def status(self) -> Status:
        """The newest status."""


@dataclass(frozen=True, slots=True)
class TelemetryEvent:
    """One start or end of one entity.

    :param name: the entity's name
    :param entity_type: its type, as in the summary
    :param run_id: 0 for its first launch, then 1, 2...
    :param job_id: the launcher's id, None if it never got one
    :param state: where it is now; a terminal state makes this an end
    :param returncode: None while it runs, or if unknown
    :param time: when it happened
    """

    name: str
    entity_type: str
    run_id: int
    job_id: str | None
    state: State
    returncode: int | None = None
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def to_json(self) -> str:
        """One line of JSON, without the line's end."""
        return json.dumps(
            {
                "version": SCHEMA_VERSION,
                "time": self.time.isoformat(),
                "event": "end" if self.state.is_terminal else "start",
                "name": self.name,
                "type": self.entity_type,
                "run_id": self.run_id,
                "job_id": self.job_id,
                "state": self.state.value,
                "returncode": self.returncode,
            }
        )


class TelemetryWriter:
    """Appends the events of one experiment to a file, if its switch is on.

    Several processes and threads may write to one file at once.

    :param path: the experiment's directory; the file and its directory are made by the first event
    """

    def __init__(self, path: Path) -> None:
        self.configuration = ExperimentTelemetryConfiguration()
        self.path = path / EVENTS_FILE
        self._failed = False

    def started(self, run: Launched) -> None:
        """Note a start. A file that cannot be written is one warning and harms no launch."""
        self._note(run)

    def ended(self, run: Launched) -> None:
        """Note an end; as :meth:`started`."""
        self._note(run)

    def _note(self, run: Launched) -> None:
        if not self.configuration.is_enabled:
            return
        status = run.status
        event = TelemetryEvent(
            run.name, run.kind, run.run_id, run.job, status.state, status.returncode, status.seen
        )
        try:
            self.write(event)
        except TelemetryError as error:
            if not self._failed:
                log.warning("%s", error)
            self._failed = True

    def write(self, event: TelemetryEvent) -> None:
        """Append one event, whether the switch is on or not.

        :raises TelemetryError: the file cannot be written
        """
        line = f"{event.to_json()}\n".encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # One write in append mode: lines of several writers do not mix.
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, line)
            finally:
                os.close(handle)
        except OSError as error:
            raise TelemetryError(
                f"cannot write telemetry to {self.path}: {error.strerror}; make the directory"
                " writable, or switch telemetry off"
            ) from error
