"""Token buckets in files, shared by all processes of one user on one host."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Bucket:
    """Lets ``burst`` things happen at once and ``rate`` in a second for ever.

    The file holds how many tokens there were at which time of the monotonic clock, which is one for
    all processes since the host's last start.

    :param path: the file; its directory is made on first use
    :param rate: tokens that come back in a second
    :param burst: tokens that fit in
    :param clock: monotonic seconds
    """

    path: Path
    rate: float
    burst: int
    clock: Callable[[], float] = field(default=time.monotonic)

    def take(self) -> float:
        """Take a token and return 0, or take none and return the seconds until there is one.

        Without a directory to write in, nothing is limited: that is no reason not to work.
        """
        try:
            handle = self._open()
        except OSError:
            return 0.0
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            now = self.clock()
            tokens = self._tokens(os.pread(handle, 256, 0), now)
            # A millionth less than one, because waiting for a token must always be enough.
            wait = 0.0 if tokens >= 1 - 1e-6 else (1 - tokens) / self.rate
            if not wait:
                text = json.dumps({"tokens": max(0.0, tokens - 1), "at": now}).encode()
                os.pwrite(handle, text, 0)
                os.ftruncate(handle, len(text))
            return wait
        finally:
            os.close(handle)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            return os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self.path, flags, 0o600)

    def _tokens(self, text: bytes, now: float) -> float:
        try:
            kept = json.loads(text)
            tokens, at = float(kept["tokens"]), float(kept["at"])
        except (ValueError, KeyError, TypeError):  # new, or torn
            return self.burst
        if at > now:  # the host was started anew, and its clock with it
            return self.burst
        return min(float(self.burst), tokens + (now - at) * self.rate)
