"""One process that the keeper started: what ends it, and what is written down about its end."""

# The keeper imports this and must be ready in no time.

from __future__ import annotations

import os
import time

from smartcore.launch import proc, spawn
from smartcore.launch.ledger import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess

    from smartcore.launch.lines import Message


class Child:
    """One process that the keeper started."""

    __slots__ = ("begun", "born", "id", "name", "pid", "pidfd", "popen", "stopped", "tag")

    def __init__(self, popen: subprocess.Popen[bytes], pidfd: int, name: str, tag: str) -> None:
        self.popen = popen
        self.pid = popen.pid
        self.pidfd = pidfd
        self.begun = time.monotonic()
        self.born = proc.birth(popen.pid) or 0
        self.id = spawn.identity(self.pid, self.born)
        self.name = name
        self.tag = tag
        self.stopped = False

    def end(self) -> Message:
        """Take its exit code; what is written down about its end."""
        returncode = self.popen.wait()
        os.close(self.pidfd)
        return {
            "v": VERSION,
            "id": self.id,
            "tag": self.tag,
            "name": self.name,
            "returncode": returncode,
            "stopped": self.stopped,
            "elapsed": round(time.monotonic() - self.begun, 6),
            "time": time.time(),
        }

    def mark(self) -> None:
        """Note that it is to be ended, unless it has ended already."""
        self.stopped = self.stopped or not spawn.exited(self.pidfd)

    def target(self) -> spawn.Target:
        """Mark it; what a stop takes."""
        self.mark()
        return spawn.Target(self.pid, self.born, os.dup(self.pidfd))
