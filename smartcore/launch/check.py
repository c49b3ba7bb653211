"""What is refused before anything is launched."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from smartcore.database import Orchestrator
from smartcore.database.live import DEFAULT_IDENTIFIER, variable
from smartcore.database.ports import choose_ports, listen_hosts, port_offsets
from smartcore.entity import Ensemble, Model
from smartcore.error import (
    DatabaseIdConflictError,
    EntityExistsError,
    InputError,
    InputTypeError,
    PathNotFoundError,
    UnsupportedError,
)
from smartcore.launch.run import Run
from smartcore.launch.step import CONTAINER_RUNTIMES, container_runtime
from smartcore.registry import Registry

Startable: TypeAlias = Model | Ensemble | Orchestrator
StepNames: TypeAlias = Callable[[Orchestrator], list[str]]


def startable(entities: Sequence[object]) -> list[Startable]:
    """The entities themselves, if all of them can be started.

    :raises InputTypeError: naming the one that cannot
    """
    checked: list[Startable] = []
    for entity in entities:
        if not isinstance(entity, Model | Ensemble | Orchestrator):
            raise InputTypeError(
                f"{entity!r} is a {type(entity).__name__}; give models, ensembles and databases"
            )
        checked.append(entity)
    return checked


def models_of(entities: Sequence[Startable]) -> list[Model]:
    """All models in order, the members of ensembles in their ensemble's place."""
    found: list[Model] = []
    for entity in entities:
        if isinstance(entity, Model):
            found.append(entity)
        elif isinstance(entity, Ensemble):
            found += entity.models
    return found


def databases_of(entities: Sequence[Startable]) -> list[Orchestrator]:
    """All databases in order."""
    return [entity for entity in entities if isinstance(entity, Orchestrator)]


def before_start(
    entities: Sequence[Startable],
    *,
    runs: Mapping[str, Run],
    live: Collection[str],
    registry: Registry,
    launcher: str,
    on_nodes: Callable[[Orchestrator], bool] = lambda database: False,
    steps_of: StepNames | None = None,
) -> None:
    """Refuse what cannot work, before anything is created or launched.

    :param runs: the newest run of each name
    :param live: identifiers of databases that are up
    :param on_nodes: True for a database whose shards do not run on this host
    :param steps_of: names of the steps of a database; None for those of its shards
    :raises SmartcoreError: naming the entity, what is wrong, and the next step
    """
    models, databases = models_of(entities), databases_of(entities)
    _unique_identifiers(models, databases, live)
    names = [model.name for model in models]
    names += [name for database in databases for name in names_of(database, steps_of)]
    _unique_names(names)
    shards = set(names) - {model.name for model in models}
    for name in names:
        run = runs.get(name)
        if run is not None and run.active:
            lost = name in shards and any(name in runs and runs[name].failed for name in shards)
            raise EntityExistsError(
                f"{name!r} is {run.status.state.value.lower()}; stop it, or wait for its end,"
                " before starting it again"
                + ("; restart() brings back the shards that have ended" if lost else "")
            )
    for entity in entities:
        _batch(entity, registry, launcher)
    for database in databases:
        if database.launcher != launcher:
            raise InputError(
                f"the database {database.name!r} was made for the launcher {database.launcher!r},"
                f" and this experiment has {launcher!r}; make it with create_database"
            )
        if on_nodes(database):
            continue
        _hosts(database)
        if database.port:
            offsets = port_offsets(registry.database(database.backend), database.num_shards)
            hosts = listen_hosts(database.interface)
            choose_ports(hosts, database.port, database.num_shards, offsets)
    for model in models:
        _model(model, registry)
    for path in [*(model.path for model in models), *(db.path for db in databases)]:
        creatable(Path(path))


def shard_names(database: Orchestrator) -> list[str]:
    """Names of the shards, and of their runs if each has its own."""
    return [f"{database.name}_{index}" for index in range(database.num_shards)]


def names_of(entity: Startable, steps_of: StepNames | None = None) -> list[str]:
    """Names of the runs of an entity: its own, its members', or its shards'.

    :param steps_of: those of a database; None if each shard is a step
    """
    if isinstance(entity, Orchestrator):
        return (steps_of or shard_names)(entity)
    return [model.name for model in models_of([entity])]


def _unique_names(names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise EntityExistsError(
            f"given more than once in one start: {', '.join(twice[:5])}; models, members and"
            " shards need names of their own"
        )


def _unique_identifiers(
    models: Sequence[Model], databases: Sequence[Orchestrator], live: Collection[str]
) -> None:
    counts = Counter(database.db_identifier for database in databases)
    for identifier, count in counts.items():
        if count > 1:
            raise DatabaseIdConflictError(
                f"two databases have the identifier {identifier!r} and would both be found by"
                f" {variable('SSDB', identifier)}; give one of them another db_identifier"
            )
    for model in models:
        colocation = model.colocation
        if colocation is None:
            continue
        # Clients find the default identifier and none at all in the same variable, SSDB.
        identifier = colocation.db_identifier or DEFAULT_IDENTIFIER
        if identifier in {*counts, *live}:
            raise DatabaseIdConflictError(
                f"the database colocated with {model.name!r} and the database {identifier!r} would"
                f" both be found by {variable('SSDB', identifier)}; give one of them another"
                " db_identifier"
            )


def here() -> frozenset[str]:
    """Names of this host."""
    return frozenset({os.uname().nodename, "localhost", "127.0.0.1"})


def _hosts(database: Orchestrator) -> None:
    others = [host for host in database.placed_on if host not in here()]
    if others:
        raise UnsupportedError(
            f"the database {database.name!r} is to run on {', '.join(others)}, and the launcher"
            f" {database.launcher!r} starts databases on this host only; leave hosts out"
        )


def _batch(entity: Startable, registry: Registry, launcher: str) -> None:
    wants = bool(entity.batch_settings) if isinstance(entity, Model) else bool(entity.batch)
    if wants and not registry.launcher(launcher).batch_settings:
        raise UnsupportedError(
            f"{entity.name!r} wants a batch job, and the launcher {launcher!r} has none; leave out"
            " its batch settings or choose another launcher"
        )


def _model(model: Model, registry: Registry) -> None:
    stored = [item.name for item in model.db_objects]
    if stored:
        raise UnsupportedError(
            f"{model.name!r} has ML models or scripts attached ({', '.join(stored[:5])}), and this"
            " version cannot store them in a database yet; remove them to start"
        )
    settings = model.run_settings
    exe = Path(settings.exe)
    if settings.container is None and exe.is_absolute() and not os.access(exe, os.X_OK):
        raise PathNotFoundError(
            f"the executable of {model.name!r} is gone or cannot be run: {exe}; restore it or"
            " make new run settings"
        )
    if settings.container is not None and not container_runtime():
        raise PathNotFoundError(
            f"{model.name!r} runs in a container, and none of {', '.join(CONTAINER_RUNTIMES)} is on"
            " PATH; load the module that provides it"
        )
    if model.colocation is not None:
        strategy = registry.colocation(model.colocation.strategy)
        strategy.check(model.colocation.options)


def creatable(path: Path) -> None:
    """Refuse a directory that could not be created.

    :raises InputError: naming the part that is in the way
    """
    nearest = path
    while not nearest.exists() and not nearest.is_symlink() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise InputError(f"cannot create {path}: {nearest} is not a directory")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"cannot write to {nearest}, needed for {path}; check its permissions")
