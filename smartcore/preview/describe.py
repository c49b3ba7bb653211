"""From entities, and the steps that would run them, to the data of a preview. Pure."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from typing import Protocol

from smartcore.entity import ColocationSettings, Ensemble, Model
from smartcore.servertype import CLUSTERED, STANDALONE
from smartcore.spec import Command, File, Step
from smartcore.spec.settings import BatchSettings, RunSettings

from .text import HIDDEN, Redactor, is_secret, shell_line
from .view import (
    BatchPreview,
    Client,
    ColocatedPreview,
    CommandPreview,
    DatabasePreview,
    EnsemblePreview,
    ExperimentPreview,
    FilesPreview,
    KeyPrefixing,
    ModelPreview,
    PlannedPreview,
    RunPreview,
    ShardPreview,
    WrittenFile,
)

COLOCATED = "Colocated"
_UNIX = "unix://"


class Database(Protocol):
    """What a preview must know about a database; an ``Orchestrator`` has it."""

    @property
    def name(self) -> str:
        """What its shards are called, with an index behind."""

    @property
    def db_identifier(self) -> str:
        """By what clients tell it from others."""

    @property
    def num_shards(self) -> int:
        """Of how many servers it consists."""

    @property
    def path(self) -> str:
        """Its directory."""

    @property
    def backend(self) -> str:
        """Kind of server."""

    @property
    def ports(self) -> Sequence[int]:
        """Where its shards listen; none or 0 if that is chosen at the start."""

    @property
    def interface(self) -> str | Sequence[str] | None:
        """Network interface or interfaces; None for the default."""

    @property
    def batch_settings(self) -> BatchSettings | None:
        """Set if it is to be a batch job."""


def preview_of(
    name: str,
    path: str,
    launcher: str,
    entities: Sequence[Model | Ensemble | Database],
    steps: Mapping[str, Step],
    running: Sequence[Database] = (),
    plan: Sequence[PlannedPreview] = (),
) -> ExperimentPreview:
    """The preview of an experiment.

    :param entities: what would be started
    :param steps: the step of each model, member and shard by its name, as far as they are known
    :param running: databases that run already
    :param plan: who runs where
    """
    live = tuple(describe_database(each, shard_steps(each, steps)) for each in running)
    started = {database.db_identifier for database in running}
    databases = tuple(
        describe_database(each, shard_steps(each, steps))
        for each in entities
        if not isinstance(each, Model | Ensemble) and each.db_identifier not in started
    )
    seen = (*live, *databases)
    return ExperimentPreview(
        name=name,
        path=path,
        launcher=launcher,
        infrastructure=live,
        databases=databases,
        models=tuple(
            describe_model(each, steps.get(each.name), seen)
            for each in entities
            if isinstance(each, Model)
        ),
        ensembles=tuple(
            describe_ensemble(each, steps, seen) for each in entities if isinstance(each, Ensemble)
        ),
        plan=tuple(plan),
    )


def shard_steps(database: Database, steps: Mapping[str, Step]) -> list[Step]:
    """The steps of a database's shards, as far as they are known."""
    names = [f"{database.name}_{index}" for index in range(database.num_shards)]
    found = [steps[name] for name in names if name in steps]
    # One step may start all of them.
    return found or [steps[name] for name in (database.name,) if name in steps]


def describe_database(database: Database, steps: Sequence[Step] = ()) -> DatabasePreview:
    """A database; ``steps`` are those of its shards."""
    return DatabasePreview(
        identifier=database.db_identifier,
        ports=tuple(port for port in database.ports if port),
        interfaces=_texts(database.interface),
        backend=database.backend,
        path=str(database.path),
        shards=database.num_shards,
        batch=_batch(database.batch_settings),
        commands=tuple(ShardPreview(step.name, describe_step(step)) for step in steps),
    )


def describe_ensemble(
    ensemble: Ensemble, steps: Mapping[str, Step], databases: Sequence[DatabasePreview]
) -> EnsemblePreview:
    """An ensemble with all its members."""
    models = tuple(
        describe_model(member, steps.get(member.name), databases) for member in ensemble.models
    )
    return EnsemblePreview(
        name=ensemble.name,
        members=len(models),
        models=models,
        path=str(ensemble.path),
        batch=_batch(ensemble.batch_settings),
    )


def describe_model(
    model: Model, step: Step | None, databases: Sequence[DatabasePreview]
) -> ModelPreview:
    """A model.

    :param step: what would run it; None if that is not known
    :param databases: those that its client would find
    """
    prefix = model.name if model.query_key_prefixing() else ""
    environment = step.command.env if step is not None else {}
    colocated = _colocated(model.colocation, environment) if model.colocation else None
    clients = tuple(_client(database) for database in databases)
    if colocated is not None:
        clients = (_colocated_client(colocated), *clients)
    return ModelPreview(
        name=model.name,
        parameters=dict(model.params),
        key_prefix=prefix,
        colocated=colocated,
        clients=clients,
        key_prefixing=KeyPrefixing() if prefix and clients else None,
        path=str(model.path),
        run=_run(model.run_settings),
        batch=_batch(model.batch_settings),
        files=_files(model),
        incoming=tuple(entity.name for entity in model.incoming_entities),
        ml_models=tuple(item.name for item in model.db_models),
        scripts=tuple(item.name for item in model.db_scripts),
        command=describe_step(step) if step is not None else None,
    )


def describe_step(step: Step) -> CommandPreview:
    """A step's command as it would be run, without what is secret in it."""
    command = step.command
    hide = Redactor.of(command.env)
    argv = tuple(hide.text(word) for word in command.argv)
    return CommandPreview(
        line=shell_line(argv),
        argv=argv,
        directory=str(step.cwd),
        stdin=str(command.stdin or ""),
        stdout=str(step.stdout),
        stderr=str(step.stderr),
        environment=hide.environment(command.env),
        files=_written(command, hide),
    )


def _written(command: Command, hide: Redactor) -> tuple[WrittenFile, ...]:
    return tuple(
        WrittenFile(
            str(file.path),
            f"{stat.S_IMODE(file.mode):04o}",
            None if _private(file) else hide.text(file.text),
        )
        for file in command.files
    )


def _private(file: File) -> bool:
    # What only its owner may read, and nobody run, is a configuration with passwords. A script
    # holds at worst the variables of the entity, and those are hidden.
    return not file.mode & (stat.S_IRGRP | stat.S_IROTH | stat.S_IXUSR)


def _run(settings: RunSettings) -> RunPreview:
    hide = Redactor.of(
        {name: value for name, value in settings.env_vars.items() if value is not None}
    )
    return RunPreview(
        executable=settings.exe,
        arguments=tuple(hide.text(argument) for argument in settings.exe_args),
        container=settings.container.image if settings.container is not None else "",
        run_command=settings.run_command or "",
        run_arguments=tuple(hide.text(argument) for argument in settings.format_run_args()),
        together=tuple(
            hide.text(shell_line((other.exe, *other.exe_args))) for other in settings.mpmd
        ),
    )


def _batch(settings: BatchSettings | None) -> BatchPreview | None:
    if settings is None:
        return None
    return BatchPreview(
        command=settings.batch_cmd,
        arguments=tuple(settings.format_batch_args()),
        preamble=tuple(settings.preamble),
    )


def _files(model: Model) -> FilesPreview:
    if model.files is None:
        return FilesPreview((), (), ())
    return FilesPreview(
        to_configure=tuple(model.files.tagged),
        to_copy=tuple(model.files.copy),
        to_symlink=tuple(model.files.link),
    )


def _client(database: DatabasePreview) -> Client:
    return Client(
        identifier=database.identifier,
        backend=database.backend,
        connection="",
        ports=database.ports,
        socket="",
        type=CLUSTERED if database.shards > 1 else STANDALONE,
    )


def _colocated_client(colocated: ColocatedPreview) -> Client:
    return Client(
        identifier=colocated.identifier,
        backend="",
        connection=colocated.connection,
        ports=colocated.ports,
        socket=colocated.socket,
        type=COLOCATED,
    )


def _colocated(settings: ColocationSettings, environment: Mapping[str, str]) -> ColocatedPreview:
    options = settings.options
    port, socket = options.get("port"), options.get("unix_socket")
    suffix = f"_{settings.db_identifier}" if settings.db_identifier else ""
    address = environment.get(f"SSDB{suffix}", "")
    if address.startswith(_UNIX):
        socket = address.removeprefix(_UNIX)
    elif address.rpartition(":")[2].isdecimal():
        port = int(address.rpartition(":")[2])
    return ColocatedPreview(
        identifier=settings.db_identifier,
        connection=settings.strategy.upper(),
        ports=(port,) if isinstance(port, int) and port else (),
        socket=str(socket or ""),
        interfaces=_texts(options.get("ifname")),
        cpus=settings.db_cpus,
        pinning=settings.pinning or (),
        options={
            name: HIDDEN if is_secret(name) or name.endswith("pass") else value
            for name, value in settings.server_options.items()
        },
    )


def _texts(value: object) -> tuple[str, ...]:
    if not value:
        return ()
    if isinstance(value, str):
        return (value,)
    return tuple(str(item) for item in value) if isinstance(value, list | tuple) else (str(value),)
