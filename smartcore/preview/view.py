"""The data of a preview: what is shown, and from which verbosity on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from typing import Any, Final

from smartcore.error import InputError, PreviewFormatError

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class Verbosity(StrEnum):
    """How much a preview shows, from little to all."""

    INFO = "info"
    DEBUG = "debug"
    DEVELOPER = "developer"


class Format(StrEnum):
    """How a preview is written down."""

    PLAINTEXT = "plain_text"
    JSON = "json"


_ORDER: Final = tuple(Verbosity)


def verbosity_of(value: str) -> Verbosity:
    """The verbosity of that name.

    :raises InputError: there is none; lists those there are
    """
    try:
        return Verbosity(value)
    except ValueError:
        names = ", ".join(Verbosity)
        raise InputError(f"no verbosity {value!r} of a preview; there are: {names}") from None


def format_of(value: str) -> Format:
    """The format of that name.

    :raises PreviewFormatError: there is none; lists those there are
    """
    try:
        return Format(value)
    except ValueError:
        names = ", ".join(Format)
        raise PreviewFormatError(f"no format {value!r} of a preview; there are: {names}") from None


# What is marked so is shown from that verbosity on; what is not marked, always.
_DEBUG: Final = {"verbosity": Verbosity.DEBUG}
_DEVELOPER: Final = {"verbosity": Verbosity.DEVELOPER}


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that would be written before a command runs.

    :param mode: permission bits in octal, e.g. ``0600``
    :param text: its content; None if only its owner may read it, as it may hold secrets
    """

    path: str
    mode: str
    text: str | None


@dataclass(frozen=True, slots=True)
class CommandPreview:
    """One command exactly as it would be run; secret values in it are replaced by ``<hidden>``.

    :param line: the command quoted for a shell
    :param argv: the same as the system gets it
    :param environment: the variables set for it
    """

    line: str
    argv: tuple[str, ...]
    directory: str
    stdin: str
    stdout: str
    stderr: str
    environment: Mapping[str, str]
    files: tuple[WrittenFile, ...]


@dataclass(frozen=True, slots=True)
class RunPreview:
    """Run settings: the program, and the command that places it.

    :param together: the other programs of the same MPI job, each as one line for a shell
    """

    executable: str
    arguments: tuple[str, ...]
    container: str
    run_command: str
    run_arguments: tuple[str, ...]
    together: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BatchPreview:
    """Batch settings."""

    command: str
    arguments: tuple[str, ...]
    preamble: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FilesPreview:
    """Attached files; absolute paths."""

    to_configure: tuple[str, ...]
    to_copy: tuple[str, ...]
    to_symlink: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Client:
    """One database as a model's client finds it.

    :param identifier: the suffix of its variables; empty for a colocated database without one
    :param backend: kind of server, empty if not known
    :param connection: ``TCP`` or ``UDS``; empty for a database that is not colocated
    :param ports: empty if they are chosen at the start
    :param type: ``Standalone``, ``Clustered`` or ``Colocated``
    """

    identifier: str
    backend: str
    connection: str
    ports: tuple[int, ...]
    socket: str
    type: str


@dataclass(frozen=True, slots=True)
class KeyPrefixing:
    """Which kinds of keys a model's client writes under the model's name."""

    tensors: bool = True
    datasets: bool = True
    models_and_scripts: bool = False
    aggregation_lists: bool = True


@dataclass(frozen=True, slots=True)
class ColocatedPreview:
    """The database next to a model.

    :param ports: empty if chosen at the start, or for a socket
    :param socket: empty if chosen at the start, or for TCP
    """

    identifier: str
    connection: str
    ports: tuple[int, ...]
    socket: str
    interfaces: tuple[str, ...] = field(metadata=_DEBUG)
    cpus: int = field(metadata=_DEBUG)
    pinning: tuple[int, ...] = field(metadata=_DEBUG)
    options: Mapping[str, str] = field(metadata=_DEBUG)


@dataclass(frozen=True, slots=True)
class ModelPreview:
    """One model.

    :param key_prefix: what its keys are written under; empty for none
    :param key_prefixing: None without a prefix or without a database
    :param command: None if no step was given
    """

    name: str
    parameters: Mapping[str, str]
    key_prefix: str
    colocated: ColocatedPreview | None
    clients: tuple[Client, ...]
    key_prefixing: KeyPrefixing | None
    path: str = field(metadata=_DEBUG)
    run: RunPreview = field(metadata=_DEBUG)
    batch: BatchPreview | None = field(metadata=_DEBUG)
    files: FilesPreview = field(metadata=_DEBUG)
    incoming: tuple[str, ...] = field(metadata=_DEBUG)
    ml_models: tuple[str, ...] = field(metadata=_DEBUG)
    scripts: tuple[str, ...] = field(metadata=_DEBUG)
    command: CommandPreview | None = field(metadata=_DEVELOPER)


@dataclass(frozen=True, slots=True)
class EnsemblePreview:
    """One ensemble.

    :param members: how many there are
    :param models: the members; at ``info`` only the first and the last are shown
    """

    name: str
    members: int
    models: tuple[ModelPreview, ...]
    path: str = field(metadata=_DEBUG)
    batch: BatchPreview | None = field(metadata=_DEBUG)


@dataclass(frozen=True, slots=True)
class ShardPreview:
    """The command that starts one shard of a database."""

    name: str
    command: CommandPreview


@dataclass(frozen=True, slots=True)
class DatabasePreview:
    """One database.

    :param ports: empty if they are chosen at the start
    :param interfaces: empty for the default, the node's own name
    :param backend: kind of server
    """

    identifier: str
    ports: tuple[int, ...]
    interfaces: tuple[str, ...]
    backend: str
    path: str = field(metadata=_DEBUG)
    shards: int = field(metadata=_DEBUG)
    batch: BatchPreview | None = field(metadata=_DEBUG)
    commands: tuple[ShardPreview, ...] = field(metadata=_DEVELOPER)


@dataclass(frozen=True, slots=True)
class PlannedPreview:
    """Where one step runs in the allocation, and when.

    :param name: the step's name
    :param turn: 1 for what starts at once, 2 for what starts when that has ended...; 0 for never
    :param places: nodes with cores, and why there are none
    """

    name: str
    turn: int
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExperimentPreview:
    """An experiment with what would be started in it.

    :param infrastructure: the databases that run already
    :param plan: who runs where, in an allocation whose nodes are known
    """

    name: str
    path: str
    launcher: str
    infrastructure: tuple[DatabasePreview, ...]
    databases: tuple[DatabasePreview, ...]
    models: tuple[ModelPreview, ...]
    ensembles: tuple[EnsemblePreview, ...]
    plan: tuple[PlannedPreview, ...] = field(default=(), metadata=_DEVELOPER)


def visible(value: object, verbosity: Verbosity) -> Json:
    """What ``verbosity`` shows of a view, as plain lists and dictionaries."""
    if isinstance(value, EnsemblePreview):
        return _record(value, verbosity) | {"models": _members(value, verbosity)}
    if is_dataclass(value) and not isinstance(value, type):
        return _record(value, verbosity)
    if isinstance(value, Mapping):
        return {str(key): visible(item, verbosity) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [visible(item, verbosity) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a preview cannot hold {value!r}")


def _record(value: Any, verbosity: Verbosity) -> dict[str, Json]:
    shown = _ORDER[: _ORDER.index(verbosity) + 1]
    return {
        item.name: visible(getattr(value, item.name), verbosity)
        for item in fields(value)
        if item.metadata.get("verbosity", Verbosity.INFO) in shown
    }


def _members(ensemble: EnsemblePreview, verbosity: Verbosity) -> list[Json]:
    models = ensemble.models
    if verbosity is Verbosity.INFO and len(models) > 2:
        models = (models[0], models[-1])
    return [visible(model, verbosity) for model in models]
