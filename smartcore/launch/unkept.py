"""Processes of this host whose keeper was killed: met when they end, and ended when asked."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Collection
from datetime import timedelta

from smartcore.launch import spawn
from smartcore.launch.process import survival
from smartcore.spec import JobId


class UnkeptProcesses:
    """Follows processes that are nobody's children here, so that their exit codes cannot be had.

    One thread sleeps in epoll on a pidfd for each (pidfd_open(2)), so that an end is an event.

    :param grace: how long a stopped process has between TERM and KILL
    :param on_end: called from the thread with each that has ended
    """

    def __init__(self, grace: timedelta, on_end: Callable[[JobId], None]) -> None:
        self.grace = grace
        self._on_end = on_end
        self._lock = threading.Lock()
        self._followed: dict[int, JobId] = {}
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._thread: threading.Thread | None = None
        self._closed = False

    def follow(self, job: JobId) -> bool:
        """Tell of its end from now on; False if it has ended already, which is not told."""
        target = spawn.open_process(job)
        if target is None:
            return False
        with self._lock:
            self._followed[target.pidfd] = job
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._watch, name="smartcore-unkept", daemon=True
                )
                self._thread.start()
        self._epoll.register(target.pidfd, select.EPOLLIN)
        return True

    def stop(self, ids: Collection[JobId]) -> None:
        """TERM to each process group, KILL to what is left of its session after the grace period.

        :raises LauncherError: naming the processes that survived
        """
        targets = [target for job in ids if (target := spawn.open_process(job)) is not None]
        survivors = spawn.end_sessions(targets, self.grace.total_seconds())
        if survivors:
            raise survival(survivors)

    def close(self) -> None:
        """Let the thread end; what runs goes on, and nothing is told any more."""
        with self._lock:
            closed, self._closed = self._closed, True
            thread = self._thread
        if closed:
            return
        if thread is None:
            self._release()
        else:
            os.eventfd_write(self._wake, 1)

    def _watch(self) -> None:
        while not self._closed:
            for fd, _ in self._epoll.poll():
                if fd == self._wake:
                    continue
                with self._lock:
                    job = self._followed.pop(fd)
                self._epoll.unregister(fd)
                os.close(fd)
                self._on_end(job)
        self._release()

    def _release(self) -> None:
        self._epoll.close()
        spawn.close([self._wake, *self._followed])
        self._followed.clear()
