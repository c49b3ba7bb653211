"""The sidecar mechanism: a process that lives next to an application on the same node."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .database import Credentials, Ready, ShardAddress
from .work import Command


@dataclass(frozen=True, slots=True)
class Inspection:
    """Whether a sidecar that serves is as it was asked to be.

    :param question: what to ask it; the answer is whole when it ends with the question's ``ends``
    :param judge: a program that gets ``about``, and after a line's end the answer, on its standard
        input. If it ends with another code than 0, the application is not started. What it says on
        standard error is told either way
    :param about: what it must know, in one line; may hold secrets
    """

    question: Ready
    judge: tuple[str, ...]
    about: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A process started before an application on each of its nodes, and ended with it.

    :param name: for messages and its log
    :param command: what to run
    :param ready: how to see that it serves; the application starts after that
    :param cpus: cores to pin it to; empty leaves it free
    :param log: absolute path of the file that takes its output
    :param env: variables by which the application finds it
    :param facts: what is told to who looks at the experiment while it serves; no secrets
    :param inspection: what else must hold before the application starts
    """

    name: str
    command: Command
    ready: Ready
    cpus: tuple[int, ...] = ()
    log: Path = Path("/dev/null")
    env: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    inspection: Inspection | None = None


@dataclass(frozen=True, slots=True)
class ColocationRequest:
    """What a model asked for with ``colocate_db_tcp`` or ``colocate_db_uds``.

    :param model: name of the model
    :param directory: absolute path of the model's directory
    :param runtime: a directory of mode 0700 for sockets, short enough for a socket's path
    :param options: the keyword arguments that belong to this strategy (``port``, ``ifname``,
        ``unix_socket``...)
    :param node: stands for the name of a node in the path of a socket, where the model runs on
        nodes that are not known yet; empty if it runs on this host
    :param port: stands for a port that is found on each node; 0 if one is to be found here
    """

    model: str
    directory: Path
    runtime: Path
    options: Mapping[str, object] = field(default_factory=dict)
    node: str = ""
    port: int = 0


class Colocation(ABC):
    """One way in which an application reaches the database next to it."""

    name: str

    @abstractmethod
    def check(self, options: Mapping[str, object], /) -> None:
        """Refuse options that cannot work.

        :raises InputError: naming the option
        """

    @abstractmethod
    def address(self, request: ColocationRequest, taken: Sequence[ShardAddress], /) -> ShardAddress:
        """Choose where the database will listen; ``taken`` are in use already."""

    @abstractmethod
    def client_address(self, address: ShardAddress, /) -> str:
        """The address as clients read it in ``SSDB``."""

    def permissions(self, options: Mapping[str, object], credentials: Credentials, /) -> int:
        """Mode of the unix socket, where there is one."""
        return 0o700
