"""One launch command of a database: one shard, or several."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from smartcore.error import DatabaseError, InputError, InputTypeError
from smartcore.spec import ShardAddress
from smartcore.spec.settings import RunSettings
from smartcore.spec.values import check_count, check_hosts, check_texts

from .entity import Entity


class DBNode(Entity):
    """One launch command of a database.

    :param name: ``<db_identifier>_<index>``
    :param path: the database's directory
    :param run_settings: what to run; each further program in it is one more shard
    :param ports: where its shards listen
    :param output_files: files that take its output, in its directory
    :param db_identifier: the database's name
    """

    def __init__(
        self,
        name: str,
        path: str | os.PathLike[str] | None,
        run_settings: RunSettings,
        ports: Sequence[int],
        output_files: Sequence[str],
        db_identifier: str = "",
    ) -> None:
        super().__init__(name, path, run_settings)
        if isinstance(ports, str) or not isinstance(ports, Sequence):
            raise InputTypeError(f"ports of {name!r} must be a list of integers, not {ports!r}")
        self.ports = [check_count(port, f"a port of {name!r}", minimum=0) for port in ports]
        self.output_files = check_texts(output_files, f"output_files of {name!r}")
        self.db_identifier = db_identifier
        self._hosts: list[str] = []
        self._shards: list[ShardAddress] = []
        self._files: list[Path] = []

    @property
    def num_shards(self) -> int:
        """How many shards it starts."""
        return len(self.run_settings.mpmd) + 1

    @property
    def is_mpmd(self) -> bool:
        """True if it starts several shards."""
        return bool(self.run_settings.mpmd)

    @property
    def hosts(self) -> list[str]:
        """The hosts on which it runs.

        :raises DatabaseError: not known, because it was not started
        """
        if not self._hosts:
            raise DatabaseError(f"the hosts of {self.name!r} are not known yet; start it first")
        return list(self._hosts)

    @property
    def host(self) -> str:
        """The only host on which it runs.

        :raises InputError: there are several
        """
        hosts = self.hosts
        if len(hosts) > 1:
            raise InputError(f"{self.name!r} runs on several hosts: {', '.join(hosts)}; use hosts")
        return hosts[0]

    def set_hosts(self, hosts: str | Sequence[str]) -> None:
        """Note on which hosts it runs."""
        self._hosts = check_hosts(hosts, f"hosts of {self.name!r}")

    def set_shards(self, shards: Sequence[ShardAddress]) -> None:
        """Note where each of its shards listens."""
        self._shards = list(shards)

    def set_files(self, files: Sequence[Path]) -> None:
        """Note which files its shards were given."""
        self._files = list(files)

    def clear_hosts(self) -> None:
        """Forget on which hosts it runs."""
        self._hosts, self._shards = [], []

    def get_launched_shard_info(self) -> list[ShardAddress]:
        """Where its shards listen; every port on every host, if that was not noted.

        :raises DatabaseError: not known, because it was not started
        """
        if self._shards:
            return list(self._shards)
        return [ShardAddress(host, port) for host in self.hosts for port in self.ports]

    def remove_stale_dbnode_files(self) -> None:
        """Delete what an earlier launch left in its directory: output and configuration."""
        names = {*self.output_files, f"{self.name}.out", f"{self.name}.err"}
        for path in [*(Path(self.path) / name for name in names), *self._files]:
            path.unlink(missing_ok=True)
