"""A launcher in a process of its own, which is asked over pipes: what another shell would see.

Run as ``python -m smartcore.testing.elsewhere FACTORY PATH``. Requests and answers are lines of
JSON, ``{"do": "status", "ids": [...]}``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from smartcore.spec import ABSENT, Answer, Attaches, Command, JobId, State, Status, Step, Tag

from .context import launcher_context, load_factory
from .running import wait_for_ends


class Elsewhere:
    """Asks a launcher that lives in another process."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.child = child

    def status(self, ids: Collection[JobId]) -> dict[JobId, Answer]:
        """What ``status`` answers there."""
        return _read_answers(self._ask({"do": "status", "ids": list(ids)}))

    def follow(self, ids: Collection[JobId], patience: timedelta) -> dict[JobId, Answer]:
        """Attach, where the launcher can, and wait for the ends."""
        seconds = patience.total_seconds()
        return _read_answers(self._ask({"do": "follow", "ids": list(ids), "seconds": seconds}))

    def stop(self, ids: Collection[JobId]) -> None:
        """Stop jobs there."""
        self._ask({"do": "stop", "ids": list(ids)})

    def start(self, steps: Sequence[Step]) -> list[JobId]:
        """Start steps there, with nothing but a command, a directory and its two files."""
        plain = [
            {"name": step.name, "tag": step.tag, "argv": step.command.argv, "cwd": str(step.cwd)}
            for step in steps
        ]
        return [JobId(job) for job in self._ask({"do": "start", "steps": plain})["ids"]]

    def kill(self) -> None:
        """Kill that process; it gets no chance to tidy up."""
        self.child.kill()
        self.child.wait()

    def _ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(json.dumps(request) + "\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline()
        assert answer, "the other process ended; its standard error tells why"
        reply: dict[str, Any] = json.loads(answer)
        assert "error" not in reply, f"in the other process: {reply['error']}"
        return reply


@contextmanager
def elsewhere(factory: str, path: Path) -> Iterator[Elsewhere]:
    """A launcher made by ``factory`` for the experiment in ``path``, in another process."""
    child = subprocess.Popen(
        [sys.executable, "-m", __name__, factory, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    with child:
        try:
            yield Elsewhere(child)
        finally:
            child.kill()


def _read_answers(reply: dict[str, Any]) -> dict[JobId, Answer]:
    return {
        JobId(job): ABSENT if found is None else Status(State[found[0]], found[1])
        for job, found in reply["answers"].items()
    }


def _write_answers(answers: Mapping[JobId, Answer]) -> dict[str, object]:
    found = {
        job: (answer.state.name, answer.returncode) if isinstance(answer, Status) else None
        for job, answer in answers.items()
    }
    return {"answers": found}


def _serve(factory: str, path: str) -> None:
    launcher = load_factory(factory)(launcher_context(Path(path)))
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        ids = [JobId(job) for job in request.get("ids", ())]
        reply: dict[str, object] = {}
        try:
            match request["do"]:
                case "status":
                    reply = _write_answers(launcher.status(ids))
                case "follow":
                    if isinstance(launcher, Attaches):
                        launcher.attach(ids)
                    patience = timedelta(seconds=request["seconds"])
                    reply = _write_answers(wait_for_ends(launcher, ids, patience))
                case "stop":
                    launcher.stop(ids)
                case "start":
                    steps = [_step(plain) for plain in request["steps"]]
                    started = launcher.start(steps)
                    reply = {"ids": [answer.id for answer in started]}
        except Exception as error:  # noqa: BLE001 -- told to who asked, as what it is
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)  # noqa: T201 -- the answer


def _step(plain: Mapping[str, Any]) -> Step:
    cwd = Path(plain["cwd"])
    command = Command(tuple(plain["argv"]))
    return Step(plain["name"], Tag(plain["tag"]), command, cwd, cwd / "out", cwd / "err")


if __name__ == "__main__":
    _serve(*sys.argv[1:])
