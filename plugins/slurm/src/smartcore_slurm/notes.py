"""What a launcher must know of a step beyond its id, in the experiment's directory: another process
that has only the id finds it there.

Lines of JSON, one file for each process that writes, in ``.smartcore/slurm``.
"""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from smartcore.spec import JobId

logger = logging.getLogger("smartcore")

PLACE = Path(".smartcore") / "slurm"


@dataclass(frozen=True, slots=True)
class Note:
    """One step.

    :param id: of the process that is its srun, or of the batch job or the part of it that it is in
    :param name: of the step, as Slurm knows it; empty in a batch job
    :param allocation: number of the allocation that it runs in; empty in a batch job
    :param stderr: where its srun says what became of it
    :param stopped: it was asked to end
    :param cluster: the one whose allocation it is; empty if that is not known
    """

    id: JobId
    name: str
    allocation: str
    stderr: str
    stopped: bool = False
    cluster: str = ""


class Notes:
    """The notes of one experiment.

    :param path: its directory
    """

    def __init__(self, path: Path) -> None:
        self._place = path / PLACE
        self._file = self._place / f"steps-{platform.node()}-{os.getpid()}.jsonl"
        self._known: dict[JobId, Note] = {}

    def add(self, notes: Sequence[Note]) -> None:
        """Write these down; if that cannot be, it is told, and only this process knows them."""
        self._known |= {note.id: note for note in notes}
        try:
            self._write(notes)
        except OSError as error:
            logger.warning(
                "what is known of %d steps cannot be written down, so that another process can stop"
                " them only by their srun: %s",
                len(notes),
                error,
            )

    def _write(self, notes: Sequence[Note]) -> None:
        if not notes:
            return
        self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = "".join(f"{json.dumps(asdict(note))}\n" for note in notes)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(text)

    def known(self, job: JobId) -> Note | None:
        """What this process knows without reading."""
        return self._known.get(job)

    def find(self, ids: Iterable[JobId]) -> dict[JobId, Note]:
        """The notes of these that are steps; files are read for what this process did not note."""
        wanted = set(ids)
        if not wanted <= self._known.keys():
            self._read(wanted - self._known.keys())
        return {job: self._known[job] for job in wanted if job in self._known}

    def _read(self, wanted: set[JobId]) -> None:
        for path in self._place.glob("steps-*.jsonl"):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    note = Note(**json.loads(line))
                except (ValueError, TypeError):
                    continue  # torn: its writer was killed
                known = self._known.get(note.id)
                if note.id in wanted and not (known and known.stopped):
                    self._known[note.id] = note
