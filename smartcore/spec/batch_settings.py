"""The base of batch settings: what a batch job asks of its scheduler."""

from __future__ import annotations

import logging
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

from smartcore.error import InputError, InputTypeError

from .executables import absolute_command
from .run_settings import SettingsBase
from .values import check_count, check_options, check_text, check_texts
from .work import Resources

logger = logging.getLogger("smartcore")


class BatchSettings(SettingsBase, ABC):
    """What a batch job asks of its scheduler.

    :param batch_cmd: the program that submits, as a path or a name
    :param batch_args: its further arguments, ``name -> value``; None for one without a value
    :param kwargs: ``nodes``, ``time``, ``queue``, ``account``, applied by the setters
    """

    def __init__(
        self, batch_cmd: str, batch_args: Mapping[str, str | None] | None = None, **kwargs: object
    ) -> None:
        self._preamble: list[str] = []
        self._array: bool | None = None
        self._throttle = 0
        self.batch_args = batch_args
        self.set_batch_command(batch_cmd)
        self._apply(dict(kwargs))

    def _apply(self, given: dict[str, object]) -> None:
        nodes = given.pop("nodes", None)
        if nodes is not None:
            self.set_nodes(check_count(nodes, "nodes"))
        setters = {"time": self.set_walltime, "queue": self.set_queue, "account": self.set_account}
        for name, setter in setters.items():
            value = given.pop(name, None)
            if value is not None and value != "":
                setter(check_text(value, name))
        for name in given:
            logger.warning("%s has no setting %r: ignored", type(self).__name__, name)

    @property
    def batch_args(self) -> dict[str, str | None]:
        """Arguments of the submit command, ``name -> value``."""
        return self._batch_args

    @batch_args.setter
    def batch_args(self, value: Mapping[str, str | None] | None) -> None:
        checked = check_options({} if value is None else value, "batch_args")
        self._batch_args = {
            name: None if value is None else str(value) for name, value in checked.items()
        }

    @property
    def batch_cmd(self) -> str:
        """Absolute path of the submit command; as it was given if it is not on this host."""
        return absolute_command(self._batch_cmd)

    @property
    def preamble(self) -> Iterator[str]:
        """Lines that come before the steps in the batch script."""
        return iter(tuple(self._preamble))

    def add_preamble(self, lines: str | Sequence[str]) -> None:
        """Append lines to those that come before the steps in the batch script.

        :raises InputTypeError: a line is no text
        """
        self._preamble += check_texts(lines, "preamble")

    def set_batch_command(self, command: str) -> None:
        """Set the program that submits.

        :raises InputError: it is empty
        """
        self._batch_cmd = check_text(command, "batch command").strip()
        if not self._batch_cmd:
            raise InputError("batch command is empty; give a path or a name")

    @property
    def array(self) -> bool | None:
        """True if the members of an ensemble are to be one job array, where each gets what these
        settings ask for; False for one job that they share; None decides by what they ask for.
        """
        return self._array

    @property
    def throttle(self) -> int:
        """How many members of an array may run at once; 0 for no limit."""
        return self._throttle

    def set_array(self, enabled: bool = True, throttle: int | None = None) -> None:
        """Choose between one job array and one job for the members of an ensemble.

        :param enabled: True for an array: each member gets what these settings ask for
        :param throttle: how many members may run at once; None for no limit
        :raises InputTypeError: something else than True or False, or no number
        """
        if not isinstance(enabled, bool):
            raise InputTypeError(f"array is {enabled!r}; give True or False")
        self._throttle = 0 if throttle is None else check_count(throttle, "throttle")
        self._array = enabled

    def job_resources(self) -> Resources:
        """What was asked for by the setters, in the terms of all launchers."""
        return Resources()

    @abstractmethod
    def set_nodes(self, num_nodes: int) -> None:
        """Set the number of nodes."""

    @abstractmethod
    def set_hostlist(self, host_list: str | list[str]) -> None:
        """Set the nodes to run on."""

    @abstractmethod
    def set_queue(self, queue: str) -> None:
        """Set the queue or partition."""

    @abstractmethod
    def set_walltime(self, walltime: str) -> None:
        """Set the limit of time; see ``parse_walltime`` for the forms."""

    @abstractmethod
    def set_account(self, account: str) -> None:
        """Set the account that pays."""

    @abstractmethod
    def format_batch_args(self) -> list[str]:
        """The arguments of the submit command, as they are given."""

    def __str__(self) -> str:
        lines = [f"Batch command: {self.batch_cmd}"]
        if self.batch_args:
            lines.append(f"Batch arguments: {shlex.join(self.format_batch_args())}")
        lines += [f"Preamble: {line}" for line in self.preamble]
        return "\n".join(lines)
