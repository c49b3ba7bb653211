"""Whose a process of this host is, for who is told that it is in the way."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from smartcore.error import SmartcoreError
from smartcore.launch import journal, keeper, proc, spawn
from smartcore.launch.run import Run
from smartcore.launch.story import Story


def describe_process(pid: int) -> str:
    """Program, process id, user and start of a process, as far as they can be seen; of one that an
    experiment of ours launched, also which, and how to end it.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            since = datetime.fromtimestamp(process.create_time()).astimezone()
            facts = f"pid {pid}, user {process.username()}, since {since:%Y-%m-%d %H:%M:%S}"
            name = process.name()
    except psutil.Error:
        return f"pid {pid}"
    return f"{name} ({facts}{_launched_by(pid)})"


def _launched_by(pid: int) -> str:
    found = find_launch(pid)
    if found is None:
        return ""
    path, story, run = found
    living = [driver for driver in story.drivers if driver.living]
    if living:
        driver = f"{living[-1].pid} on {living[-1].host}"
        return f": {run.name} of the experiment {path}, which process {driver} drives"
    return (
        f": {run.name} of the experiment {path}, whose driver has gone; to end it: smartcore stop"
        f" {shlex.quote(str(path))}, or smartcore gc"
    )


def find_launch(pid: int) -> tuple[Path, Story, Run] | None:
    """The experiment whose journals say that it launched this process, or its session, and the
    launch; None if there is none.
    """
    try:
        session = os.getsid(pid)
    except OSError:
        return None
    identities = {spawn.identity(each, proc.start_time(each) or -1) for each in (pid, session)}
    for path in dict.fromkeys([*_kept_for(session), *_around(pid)]):
        try:
            story = journal.read(path)
        except (SmartcoreError, OSError):
            continue
        for run in story.runs:
            if run.job in identities:
                return path, story, run
    return None


def _kept_for(pid: int) -> Iterator[Path]:
    # Its parent is the keeper, as long as that lives.
    for process, parent, _, _ in proc.living():
        if process == pid:
            try:
                variables = Path(f"/proc/{parent}/environ").read_bytes().split(b"\0")
            except OSError:
                return
            for variable in variables:
                name, _, value = variable.partition(b"=")
                if name == keeper.VARIABLES[0].encode():
                    yield Path(os.fsdecode(value)).parent


def _around(pid: int) -> Iterator[Path]:
    # It runs in a directory of its experiment.
    try:
        directory = Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return
    yield from (path for path in (directory, *directory.parents) if (path / ".smartcore").is_dir())
