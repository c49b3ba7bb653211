"""What ``generate`` is going to do, worked out and checked before anything is touched."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from smartcore.entity import Ensemble, Entity, EntitySequence, Model
from smartcore.error import InputError, InputTypeError

from .directories import DirectoryChecks, ancestors
from .files import FilePlan, FilePlanner


@runtime_checkable
class Database(Protocol):
    """A database as far as its directory is concerned."""

    name: str
    path: str

    @property
    def db_identifier(self) -> str:
        """The name by which clients find it."""


Generatable = Entity | EntitySequence[Entity] | Database


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One model's directory.

    :param values: for each parameter that its templates use the bytes to put in
    """

    name: str
    path: str
    files: FilePlan
    values: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is to be done, in this order.

    :param remove: directories to remove with all that is in them
    :param directories: directories to make, of ensembles and databases
    :param models: directories to make and to fill
    :param unknown_tags: what looks like a tag and stays as it is, one line for each
    """

    remove: tuple[str, ...]
    directories: tuple[str, ...]
    models: tuple[ModelPlan, ...]
    unknown_tags: tuple[str, ...]


def make_plan(
    experiment_path: Path,
    entities: Iterable[Generatable],
    *,
    tag: str,
    overwrite: bool,
    strict: bool,
) -> Plan:
    """Work out what to do; reads attached files and changes nothing.

    :raises SmartcoreError: something could not be done; says what and why
    """
    directories = DirectoryChecks(experiment_path, overwrite=overwrite)
    planner = FilePlanner(tag, strict=strict)
    folders: list[str] = []
    models: list[Model] = []
    for entity in entities:
        if isinstance(entity, Model):
            models.append(entity)
        elif isinstance(entity, Ensemble):
            folders.append(directories.add(entity.name, entity.path))
            models += entity.models
        elif isinstance(entity, Database):
            folders.append(_database_directory(directories, entity))
        else:
            raise InputTypeError(
                f"{entity!r} of type {type(entity).__name__} cannot be generated;"
                " give models, ensembles or databases"
            )
    plans = tuple(_model_plan(model, directories, planner) for model in models)
    remove = directories.removals(_sources(plans))
    return Plan(remove, tuple(folders), plans, tuple(planner.left))


def _database_directory(directories: DirectoryChecks, database: Database) -> str:
    if getattr(database, "live", None) is not None:
        raise InputError(
            f"database {database.db_identifier!r} is running in {database.path};"
            " stop it before its directory is made anew"
        )
    return directories.add(database.name, database.path, always_anew=True)


def _model_plan(model: Model, directories: DirectoryChecks, planner: FilePlanner) -> ModelPlan:
    path = directories.add(model.name, model.path)
    files = planner.plan(model)
    if files.source_directories:
        _refuse_own_ancestor(model.name, path, files.source_directories)
    return ModelPlan(model.name, path, files, planner.values(model, files))


def _refuse_own_ancestor(name: str, path: str, sources: Sequence[str]) -> None:
    real = os.path.realpath(path)
    around = (real, *ancestors(real))
    for source in sources:
        if os.path.realpath(source) in around:
            raise InputError(
                f"{source} is attached to {name!r} and holds its directory {path}, so that it"
                " would be copied into itself; attach what is needed of it only"
            )


def _sources(plans: Iterable[ModelPlan]) -> set[str]:
    return {source for plan in plans for source in plan.files.attached}
