"""The manager as a process: takes questions on a socket, runs jobs as processes of this host."""

from __future__ import annotations

import json
import marshal
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from .faults import Faults
from .programs import Call, Reply, call
from .wlm import FakeJob, Settings, Wlm


class Processes:
    """Runs jobs' scripts in sessions of their own.

    :param spool: where scripts are copied to, as real managers do
    """

    def __init__(self, spool: Path) -> None:
        self.spool = spool
        self.running: dict[int, tuple[FakeJob, subprocess.Popen[bytes]]] = {}
        self.failed: list[FakeJob] = []
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)

    def start(self, job: FakeJob) -> None:
        request = job.request
        script = self.spool / f"{job.number}.sh"
        if not script.exists():
            text = request.script.encode("utf-8", "surrogateescape")
            script.write_bytes(text)
            script.chmod(0o700)
        environment = {
            **request.env,
            "FAKE_JOB_ID": job.id,
            "FAKE_RESTART_COUNT": str(job.restarts),
            "FAKE_NODE": job.host,
            "FAKE_CPUS": "1",
        }
        if job.index is not None:
            environment["FAKE_ARRAY_INDEX"] = str(job.index)
        try:
            with open(request.log, "ab") as log:  # noqa: PTH123
                process = subprocess.Popen(
                    [script],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=request.cwd,
                    env=environment,
                    start_new_session=True,
                )
        except OSError:
            self.failed.append(job)
        else:
            self.running[process.pid] = (job, process)

    def signal(self, job: FakeJob, number: int) -> None:
        for pid, (running, _) in self.running.items():
            if running is job:
                try:
                    os.killpg(pid, number)
                except ProcessLookupError:
                    return

    def reap(self, wlm: Wlm) -> None:
        """Tell the manager of scripts that have ended."""
        for job in self.failed:
            wlm.job_ended(job, 53)
        self.failed.clear()
        for pid, (job, process) in list(self.running.items()):
            code = process.poll()
            if code is not None:
                del self.running[pid]
                _kill_session(pid)
                wlm.job_ended(job, code)

    def kill_all(self) -> None:
        """End everything at once."""
        for pid, (_, process) in self.running.items():
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            process.wait()
            _kill_session(pid)


def _kill_session(session: int) -> None:
    # Real managers leave nothing of a job behind: they end its control group.
    for name in os.listdir("/proc"):  # noqa: PTH208 -- names are enough
        if name.isdigit():
            with suppress(ProcessLookupError):
                if os.getsid(int(name)) == session:
                    os.kill(int(name), signal.SIGKILL)


class Server:
    """Answers questions until its standard input ends, which is when its starter does.

    :param directory: for the socket and the copies of scripts
    :param virtual: time passes only when it is told to
    """

    def __init__(self, directory: Path, settings: Settings, *, virtual: bool) -> None:
        self.processes = Processes(directory / "spool")
        self.wlm = Wlm(self.processes, settings)
        self.virtual = virtual
        self.listener = socket.socket(socket.AF_UNIX)
        handle = os.open(directory, os.O_RDONLY)
        self.listener.bind(f"/proc/self/fd/{handle}/socket")
        os.close(handle)
        self.listener.listen(1024)
        self._began = time.monotonic()
        self._wake, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writing)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def run(self) -> None:
        """Serve."""
        poller = select.poll()
        for handle in (0, self._wake, self.listener.fileno()):
            poller.register(handle, select.POLLIN)
        while True:
            ready = {handle for handle, _ in poller.poll(self._patience())}
            if 0 in ready:
                break
            if self._wake in ready:
                os.read(self._wake, 65536)
            self._pass_time()
            if self.listener.fileno() in ready:
                self._serve()
        self.processes.kill_all()

    def _patience(self) -> float | None:
        event = self.wlm.next_event
        if self.processes.failed:
            return 0
        if self.virtual or event is None:
            return None
        return max(0.0, event - (time.monotonic() - self._began)) * 1000 + 1

    def _pass_time(self) -> None:
        now = self.wlm.now if self.virtual else time.monotonic() - self._began
        self.wlm.advance(now)
        self.processes.reap(self.wlm)

    def _serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection, suppress(OSError, ValueError, EOFError):  # a client that went away
            connection.settimeout(5)
            parts = []
            while part := connection.recv(1 << 20):
                parts.append(part)
            connection.sendall(marshal.dumps(self._answer(marshal.loads(b"".join(parts)))))

    def _answer(self, question: Mapping[str, object]) -> dict[str, Any]:
        if question["program"] in _CONTROLS:
            _CONTROLS[str(question["program"])](self, question)
            self._pass_time()
            return self._state()
        call_ = Call(**question)  # type: ignore[arg-type]
        reply: Reply = call(self.wlm, call_)
        return asdict(reply)

    def _state(self) -> dict[str, Any]:
        jobs = [
            {"id": j.id, "name": j.request.name, "state": j.state, "restarts": j.restarts}
            for j in self.wlm.jobs.values()
        ]
        return {"now": self.wlm.now, "calls": self.wlm.calls, "jobs": jobs}

    def set(self, question: Mapping[str, object]) -> None:
        """Change settings."""
        changes = question["settings"]
        if isinstance(changes, Mapping):
            self.wlm.settings = replace(self.wlm.settings, **changes)

    def script(self, question: Mapping[str, object]) -> None:
        """Change what goes wrong."""
        faults = question["faults"]
        if isinstance(faults, list):
            self.wlm.faults = Faults(faults)

    def advance(self, question: Mapping[str, object]) -> None:
        """Let virtual time pass."""
        self.wlm.advance(self.wlm.now + float(str(question["seconds"])))

    def end(self, question: Mapping[str, object]) -> None:
        """End a job with a verdict."""
        for job in self.wlm.select(str(question["id"])):
            self.wlm.end(job, str(question["verdict"]))


_CONTROLS: dict[str, Callable[[Server, Mapping[str, object]], None]] = {
    "set": Server.set,
    "script": Server.script,
    "advance": Server.advance,
    "end": Server.end,
    "state": lambda server, question: None,
}


def main() -> None:
    """``server DIRECTORY real|virtual SETTINGS``; says so when it can be asked."""
    directory, clock, settings = sys.argv[1:]
    server = Server(Path(directory), Settings(**json.loads(settings)), virtual=clock == "virtual")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.run()
