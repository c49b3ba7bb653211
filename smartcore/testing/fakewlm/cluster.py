"""Bring a fake workload manager up and down, and tell it what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .client import ask

PROGRAMS = ("fsub", "fstat", "facct", "fdel")
_PROGRAM = """\
#!{python} -IS
import sys
sys.path.insert(0, {package!r})
from fakewlm.client import main
main({directory!r}, {program!r})
"""
_SERVER = "import sys; sys.path.insert(0, sys.argv.pop(1)); from fakewlm.server import main; main()"


@dataclass(frozen=True, slots=True)
class FakeCluster:
    """A fake workload manager that runs.

    :param directory: all that it has; its programs are in ``bin``
    """

    directory: Path

    @property
    def bin(self) -> Path:
        """The directory to put on ``PATH``."""
        return self.directory / "bin"

    def environment(self) -> dict[str, str]:
        """This process's environment with the programs first on ``PATH``."""
        return {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"}

    def set(self, **settings: object) -> None:
        """Change settings; see :class:`~.wlm.Settings`."""
        self._ask(program="set", settings=settings)

    def script(self, *faults: Mapping[str, object]) -> None:
        """Say what is to go wrong from now on; see :mod:`~.faults`. Nothing ends that."""
        self._ask(program="script", faults=list(faults))

    def advance(self, seconds: float) -> None:
        """Let time pass in a cluster with a virtual clock."""
        self._ask(program="advance", seconds=seconds)

    def end(self, job: str, verdict: str) -> None:
        """End a running job with a verdict such as ``TIMEOUT``."""
        self._ask(program="end", id=job, verdict=verdict)

    @property
    def calls(self) -> Mapping[str, int]:
        """How often each kind of command was called: submit, query, account, cancel."""
        calls = self._ask(program="state")["calls"]
        return calls if isinstance(calls, Mapping) else {}

    @property
    def jobs(self) -> dict[str, Mapping[str, object]]:
        """All jobs that there ever were, by id: name, state, restarts."""
        jobs = self._ask(program="state")["jobs"]
        return {str(job["id"]): job for job in jobs} if isinstance(jobs, list) else {}

    def _ask(self, **question: object) -> dict[str, object]:
        return ask(str(self.directory), question)


@contextmanager
def fake_cluster(
    directory: Path, *, virtual: bool = False, **settings: object
) -> Iterator[FakeCluster]:
    """Run a fake workload manager; at the end it goes, with everything that it runs.

    :param directory: for all that it has; made if it is not there
    :param virtual: time passes only by :meth:`FakeCluster.advance`
    :param settings: see :class:`~.wlm.Settings`
    """
    package = str(Path(__file__).parents[1])
    bin_ = directory / "bin"
    bin_.mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        text = _PROGRAM.format(
            python=sys.executable, package=package, directory=str(directory), program=program
        )
        (bin_ / program).write_text(text)
        (bin_ / program).chmod(0o755)
    clock = "virtual" if virtual else "real"
    argv = [sys.executable, "-IS", "-c", _SERVER, package]
    argv += [str(directory), clock, json.dumps(settings)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as server:
        try:
            if server.stdout is None or server.stdout.readline() != b"ready\n":
                raise RuntimeError("the fake workload manager did not start")
            yield FakeCluster(directory)
        finally:
            if server.stdin is not None:
                server.stdin.close()
            server.wait(10)
