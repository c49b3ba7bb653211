"""Spawn a process in a session of its own, and end whole sessions.

Nothing but the standard library and little of it: the keeper imports this, and stays small.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time

from smartcore.launch import proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Mapping, Sequence

    Name = str | os.PathLike[str]

# In the environment of all that is launched: what was forked later can be told by it, too.
TAG_VARIABLE = "SMARTCORE_TAG"
# How long a killed process may take to vanish; only one stuck in the kernel takes longer.
KILL_DEADLINE = 5.0


class Target:
    """A process to be ended.

    :param pidfd: a descriptor of its own, which :func:`end_sessions` closes
    """

    __slots__ = ("born", "pid", "pidfd")

    def __init__(self, pid: int, born: int, pidfd: int) -> None:
        self.pid = pid
        self.born = born
        self.pidfd = pidfd


# -- names ------------------------------------------------------------------------------------


def identity(pid: int, born: int) -> str:
    """What names a process of this host until the next boot."""
    return f"{pid}.{born}"


def parse(identity: str) -> tuple[int, int]:
    """Process id and start time; -1 for both if it is none of ours."""
    pid, _, born = identity.partition(".")
    return (int(pid), int(born)) if pid.isdigit() and born.isdigit() else (-1, -1)


def alive(identity: str) -> bool:
    """Whether this very process is there and no zombie."""
    pid, born = parse(identity)
    return pid > 0 and proc.start_time(pid) == born


def open_process(identity: str) -> Target | None:
    """A descriptor for a process that somebody else started; None if it has gone."""
    pid, born = parse(identity)
    try:
        pidfd = os.pidfd_open(pid)
    except (ValueError, OSError):
        return None
    # The descriptor now holds the process: if the start time agrees, it is the right one.
    if proc.start_time(pid) != born:
        os.close(pidfd)
        return None
    return Target(pid, born, pidfd)


def exited(pidfd: int) -> bool:
    """Whether a child has ended; it stays to be waited for."""
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    try:
        return os.waitid(os.P_PIDFD, pidfd, flags) is not None
    except ChildProcessError:
        return True


# -- beginning --------------------------------------------------------------------------------


def spawn(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: Name,
    files: tuple[Name | None, Name, Name],
    null: int,
    umask: int = -1,
) -> subprocess.Popen[bytes]:
    """Start a program with its own output files and nothing else of ours.

    :param files: standard input (None is ``null``), output and errors; the latter two are truncated
    :param null: descriptor of ``/dev/null``
    :param umask: of the program, and for its output files; -1 is ours
    :raises OSError: it cannot be started, or a file cannot be opened
    """
    import subprocess

    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    opened: list[int] = []
    try:
        for path in files[1:]:
            opened.append(os.open(path, flags, 0o666 if umask < 0 else 0o666 & ~umask))
        if files[0] is not None:
            opened.append(os.open(files[0], os.O_RDONLY | os.O_CLOEXEC))
        return subprocess.Popen(
            argv,
            stdin=null if files[0] is None else opened[2],
            stdout=opened[0],
            stderr=opened[1],
            cwd=cwd,
            env=env,
            start_new_session=True,
            umask=umask,
        )
    finally:
        close(opened)


def explain(program: str, error: Exception) -> str:
    """Why ``program`` was not started, for people."""
    if not isinstance(error, OSError) or not error.strerror:
        return f"{program}: {error}"
    if error.errno == errno.EAGAIN and not error.filename:
        from smartcore.launch.limits import process_limits

        limits = process_limits()
        where = f" ({limits})" if limits else ""
        return (
            f"{program}: too many processes or threads{where}: raise the limit or lower max_running"
        )
    return f"{error.filename or program}: {error.strerror}"


# -- ending -----------------------------------------------------------------------------------


def end_sessions(targets: Sequence[Target], grace: float) -> list[int]:
    """TERM to each process group, KILL to what is left of its session after the grace period.

    Takes at most as long as the grace period and :data:`KILL_DEADLINE`. The targets' descriptors
    are closed.

    :param grace: seconds between the two
    :return: the processes that survived
    """
    members: list[int] = []
    try:
        for target in targets:
            _signal_group(target)
        left = _wait_for(targets, grace, members)
        if left:
            for pidfd in left.values():
                _send(pidfd, signal.SIGKILL)
            left = _wait_for(targets, KILL_DEADLINE, members, signal.SIGKILL)
        return sorted(left)
    finally:
        close(members)
        close(target.pidfd for target in targets)


def _wait_for(
    targets: Sequence[Target], seconds: float, members: list[int], number: int | None = None
) -> dict[int, int]:
    # Waits until these and all of their sessions have gone; returns what is left, pid -> pidfd.
    # Descriptors of other members than the leaders are put into `members`. With `number` newly
    # found ones get that signal at once: they may fork faster than we look.
    deadline = time.monotonic() + seconds
    born = {target.pid: target.born for target in targets}
    waiting = {target.pid: target.pidfd for target in targets}
    while True:
        waiting = _poll_gone(waiting, deadline)
        if waiting:
            return waiting
        close(members)
        members.clear()
        # All that were known have gone; somebody may have been forked meanwhile.
        for pid, session in proc.session_members(born):
            if proc.birth(session) not in {born[session], None}:
                continue  # the number has a new owner
            try:
                pidfd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            members.append(pidfd)
            waiting[pid] = pidfd
            if number is not None:
                _send(pidfd, number)
        if not waiting:
            return {}


def _poll_gone(waiting: dict[int, int], deadline: float) -> dict[int, int]:
    poller = select.poll()
    owner = {}
    for pid, fd in waiting.items():
        poller.register(fd, select.POLLIN)
        owner[fd] = pid
    while owner:
        left = max(0.0, deadline - time.monotonic())
        ready = poller.poll(left * 1000)
        if not ready:
            break
        for fd, _ in ready:
            poller.unregister(fd)
            del owner[fd]
    return {pid: fd for fd, pid in owner.items()}


def _signal_group(target: Target) -> None:
    # The group's number cannot be taken by others while the leader or a member is there. When the
    # leader is gone, a group of that number with another leader would be somebody else's.
    if proc.birth(target.pid) in {target.born, None}:
        # It may have gone, or have become another user's: what is left is told in the end.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(target.pid, signal.SIGTERM)


def _send(pidfd: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        signal.pidfd_send_signal(pidfd, number)


def close(descriptors: Iterable[int]) -> None:
    """Close all of these."""
    for fd in descriptors:
        os.close(fd)
