"""The connection to the keeper of an experiment: to the one that there is, or to a new one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from smartcore.launch import link

if TYPE_CHECKING:
    from smartcore.launch.lines import Message


class Connection:
    """At most one :class:`link.Link` at a time; a broken one is replaced when it is needed.

    Its functions are those of the link.
    """

    def __init__(
        self,
        place: link.Place,
        on_started: Callable[[Sequence[str]], None],
        on_ended: Callable[[Sequence[Message]], None],
        on_broken: Callable[[link.Link], None],
    ) -> None:
        self._place = place
        self._on_started = on_started
        self._on_ended = on_ended
        self._on_broken = on_broken
        self._linking = threading.RLock()
        self._link: link.Link | None = None

    def needed(self) -> link.Link:
        """A link; the keeper is started if there is none.

        :raises LauncherError: none can be started
        """
        with self._linking:
            found = self.living()
            if found is not None:
                return found
            with link.alone(self._place):
                found = self.living()  # somebody else may have been quicker
                if found is None:
                    facts = link.read_facts(self._place)
                    if facts is not None:
                        link.wait_gone(facts.identity)
                    try:
                        found = self._link = self._make_link(link.launch(self._place))
                    except link.BrokenLinkError:
                        raise link.not_ready(self._place) from None
                return found

    def living(self) -> link.Link | None:
        """A link to the keeper that there is; None if there is none."""
        with self._linking:
            if self._link is None or self._link.broken:
                self._link = None
                connection = link.find(self._place)
                if connection is not None:
                    try:
                        self._link = self._make_link(connection)
                    except link.BrokenLinkError:  # it has just ended
                        return None
            return self._link

    def _make_link(self, connection: socket.socket) -> link.Link:
        return link.Link(connection, self._on_started, self._on_ended, self._broke)

    def _broke(self, broken: link.Link) -> None:
        # The keeper was killed, or has thrown us out.
        with self._linking:
            if self._link is broken:
                self._link = None
        self._on_broken(broken)

    def close(self) -> None:
        """Leave the keeper; nothing is told afterwards."""
        with self._linking:
            found, self._link = self._link, None
        if found is not None:
            found.close()
