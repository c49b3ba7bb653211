"""A model: one program with its parameters, files and settings, described and not yet run."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from itertools import chain

from smartcore.error import EntityExistsError, InputError, InputTypeError
from smartcore.log import get_logger
from smartcore.spec.settings import BatchSettings, RunSettings
from smartcore.spec.values import check_texts

from .attached import TakesDBObjects, refuse_in_memory
from .colocation import (
    ColocationSettings,
    Pinning,
    Reach,
    colocation_settings,
    tcp_options,
    uds_options,
)
from .dbobject import DBModel, DBScript
from .entity import Entity
from .files import EntityFiles, Paths, files_table
from .params import ParamValue, text_params

logger = get_logger(__name__)


class Model(TakesDBObjects, Entity):
    """One program to run, most often a simulation.

    Two models are equal if their names are.

    :param name: unique in one ``start``; also the name of its directory
    :param params: values for the tags in its input files, and for arguments
    :param run_settings: what to run; shared with the caller, not copied
    :param path: its directory; None is the current one
    :param params_as_args: names of parameters that :meth:`params_to_args` makes arguments of
    :param batch_settings: given if it is to be a batch job of its own
    :raises InputTypeError: a parameter is not a str, int, float or bool
    :raises InputError: ``params_as_args`` names no parameter
    """

    def __init__(
        self,
        name: str,
        params: Mapping[str, ParamValue] | None,
        run_settings: RunSettings,
        path: str | os.PathLike[str] | None = None,
        params_as_args: str | Sequence[str] | None = None,
        batch_settings: BatchSettings | None = None,
    ) -> None:
        Entity.__init__(self, name, path, run_settings)
        TakesDBObjects.__init__(self)
        if batch_settings is not None and not isinstance(batch_settings, BatchSettings):
            raise InputTypeError(
                f"batch settings of {name!r} are of type {type(batch_settings).__name__};"
                " make them with create_batch_settings"
            )
        self.params = text_params(repr(name), params)
        self.params_as_args = argument_names(name, params_as_args, self.params)
        self.batch_settings = batch_settings
        self.incoming_entities: list[Entity] = []
        self.files: EntityFiles | None = None
        self.colocation: ColocationSettings | None = None
        self._key_prefixing_enabled = False
        self._params_in_args = False

    @property
    def colocated(self) -> bool:
        """True if it has a database next to it."""
        return self.colocation is not None

    @property
    def batch(self) -> bool:
        """True if it is to be a batch job of its own."""
        return self.batch_settings is not None

    def params_to_args(self) -> None:
        """Add the parameters in ``params_as_args`` to the arguments of the program, once.

        A name of one letter becomes ``-n value``, two arguments; a longer one ``--name=value``,
        one argument. A name that begins with dashes keeps them.
        """
        if self._params_in_args:
            return
        arguments = (argument(name, self.params[name]) for name in self.params_as_args)
        self.run_settings.add_exe_args(list(chain.from_iterable(arguments)))
        self._params_in_args = True

    def attach_generator_files(
        self, to_copy: Paths = None, to_symlink: Paths = None, to_configure: Paths = None
    ) -> None:
        """Say which files ``generate`` puts into its directory, in place of those said before.

        :param to_copy: files; of directories the contents
        :param to_symlink: files and directories
        :param to_configure: files whose tags are replaced by the parameters' values; of
            directories the contents, with their hierarchy
        :raises PathNotFoundError: one is not there
        :raises InputError: one cannot be read, is called ``smartcore_params.txt``, or is a
            directory to configure behind a symbolic link
        """
        self.files = EntityFiles(to_configure, to_copy, to_symlink)

    @property
    def attached_files_table(self) -> str:
        """A table of the attached files."""
        if self.files is None:
            return "No file attached to this model."
        return files_table([("", self.files)])

    def print_attached_files(self) -> None:
        """Print the table of the attached files."""
        print(self.attached_files_table)  # noqa: T201

    def register_incoming_entity(self, incoming_entity: Entity) -> None:
        """Let this model's client read keys that another entity wrote under its prefix.

        :raises EntityExistsError: one of that name was registered already
        :raises InputError: its name cannot stand in a list separated by commas
        """
        if not isinstance(incoming_entity, Entity):
            raise InputTypeError(
                f"{incoming_entity!r} cannot be an incoming entity of {self.name!r};"
                " register a model, or the members of an ensemble one by one"
            )
        name = incoming_entity.name
        if any(entity.name == name for entity in self.incoming_entities):
            raise EntityExistsError(f"{name!r} is an incoming entity of {self.name!r} already")
        if "," in name:
            raise InputError(f"{name!r} cannot be a prefix of keys: it has a comma; rename it")
        self.incoming_entities.append(incoming_entity)

    def enable_key_prefixing(self) -> None:
        """Let this model's client write its keys under the model's name."""
        self._key_prefixing_enabled = True

    def disable_key_prefixing(self) -> None:
        """Let this model's client write its keys as they are."""
        self._key_prefixing_enabled = False

    def query_key_prefixing(self) -> bool:
        """True if keys are written under the model's name."""
        return self._key_prefixing_enabled

    def colocate_db(
        self,
        port: int | None = None,
        ifname: str | list[str] = "lo",
        db_cpus: int = 1,
        custom_pinning: Pinning | None = None,
        debug: bool = False,
        db_identifier: str = "",
        **kwargs: object,
    ) -> None:
        """The old name of :meth:`colocate_db_tcp`."""
        warnings.warn(
            "colocate_db is an old name; use colocate_db_tcp", FutureWarning, stacklevel=2
        )
        self.colocate_db_tcp(port, ifname, db_cpus, custom_pinning, debug, db_identifier, **kwargs)

    def colocate_db_tcp(
        self,
        port: int | None = None,
        ifname: str | list[str] = "lo",
        db_cpus: int = 1,
        custom_pinning: Pinning | None = None,
        debug: bool = False,
        db_identifier: str = "",
        **kwargs: object,
    ) -> None:
        """Run a private database on each node of this model, reached by TCP.

        :param port: where it listens; None picks a free one
        :param ifname: network interface or interfaces of the node
        :param db_cpus: how many cores it gets
        :param custom_pinning: the cores of a node to which it is pinned: numbers and iterables of
            numbers; None for the first ``db_cpus`` cores, an empty list for no pinning
        :param debug: accepted; its log is always kept
        :param db_identifier: clients find it under this name; empty for the only database
        :param kwargs: directives of the server's configuration, ``_`` for ``-``
        :raises InputError: a value that cannot be used
        :raises InputTypeError: a value of the wrong type
        :raises UnsupportedError: ``limit_app_cpus``, or a machine-learning model in
            memory
        """
        self._colocate(
            colocation_settings(
                Reach.TCP,
                tcp_options(port, ifname),
                db_cpus,
                custom_pinning,
                debug,
                db_identifier,
                kwargs,
            )
        )

    def colocate_db_uds(
        self,
        unix_socket: str | os.PathLike[str] | None = None,
        socket_permissions: int = 700,
        db_cpus: int = 1,
        custom_pinning: Pinning | None = None,
        debug: bool = False,
        db_identifier: str = "",
        **kwargs: object,
    ) -> None:
        """Run a private database on each node of this model, reached by a unix socket.

        :param unix_socket: absolute path of the socket; None picks a unique one
        :param socket_permissions: its mode as octal digits: 700 is ``rwx------``

        The other parameters and the errors are those of :meth:`colocate_db_tcp`.
        """
        self._colocate(
            colocation_settings(
                Reach.UDS,
                uds_options(unix_socket, socket_permissions),
                db_cpus,
                custom_pinning,
                debug,
                db_identifier,
                kwargs,
            )
        )

    def _colocate(self, settings: ColocationSettings) -> None:
        for attached in self.db_objects:
            refuse_in_memory(self.name, attached)
        if self.colocation is not None:
            logger.warning("%s was colocated already; the new settings replace the old", self.name)
        self.colocation = settings

    def check_new(self, added: DBModel | DBScript) -> None:
        super().check_new(added)
        if self.colocated:
            refuse_in_memory(self.name, added)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        parts = [f"Name: {self.name}", f"Type: {self.type}", str(self.run_settings)]
        if self.batch_settings is not None:
            parts.append(str(self.batch_settings))
        return "\n".join(parts)


def argument_names(
    owner: str, names: str | Sequence[str] | None, params: Mapping[str, object]
) -> list[str]:
    """The names in ``params_as_args``, each of which must be a parameter's.

    :raises InputError: names the one that is not
    """
    listed = check_texts(names or [], "params_as_args")
    for name in listed:
        if name not in params:
            raise InputError(
                f"params_as_args of {owner!r} names {name!r}, which is none of its parameters"
                f" ({', '.join(map(repr, params)) or 'it has none'})"
            )
    return listed


def argument(name: str, value: str) -> tuple[str, ...]:
    """The argument or arguments that give a program one parameter."""
    bare = name.lstrip("-")
    dashes = name[: len(name) - len(bare)] or ("-" if len(bare) == 1 else "--")
    return (f"{dashes}{bare}={value}",) if dashes == "--" else (f"{dashes}{bare}", value)
