"""Asking servers to end, which they do at once; a signal is looked at ten times a second only."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta

from smartcore.spec import ShardPlan

from .resp import Connection, ProtocolError, connect, login


def end_all(shards: Sequence[ShardPlan], timeout: timedelta) -> bool:
    """SHUTDOWN to all of them, which saves if they are to save; True if all have obeyed.

    One that does not know our user is somebody else's and is not told.
    """
    with ExitStack() as stack:
        told = [_tell(shard, timeout, stack) for shard in shards]
        return all(connection is not None and _obeys(connection) for connection in told)


def _tell(shard: ShardPlan, timeout: timedelta, stack: ExitStack) -> Connection | None:
    try:
        connection = stack.enter_context(connect(shard, timeout))
        # Not in one breath: a stranger's server that needs no password would obey, too.
        if connection.ask(login(shard.credentials)) != ["OK"]:
            return None
        connection.send(("SHUTDOWN",))
    except (OSError, EOFError, ProtocolError):
        return None
    return connection


def _obeys(connection: Connection) -> bool:
    try:
        connection.receive()  # only what is wrong is answered, e.g. that it cannot save
    except EOFError:
        return True
    except (OSError, ProtocolError) as error:
        return isinstance(error, ConnectionError)
    return False
