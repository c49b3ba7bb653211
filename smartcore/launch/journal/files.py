"""The files of a journal, and the locks that tell which of their writers live."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from smartcore.log import get_logger

log = get_logger(__name__)

VERSION = 1
DIRECTORY = Path(".smartcore", "journal")
STOPS = ".stops.jsonl"


def lock(file: int) -> None:
    """Hold a file for as long as this process lives, where the file system has locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass  # this process drives the experiment with another object already
    except OSError as error:
        log.debug("the journal cannot be locked here: %s", error.strerror)


def is_locked(file: Path) -> bool:
    """True if the process that writes it lives."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no locks on this file system
    finally:
        os.close(handle)
    return False
