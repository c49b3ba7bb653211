"""Several entities under one name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar, overload

from smartcore.error import EntityExistsError, InputTypeError
from smartcore.spec.settings import BatchSettings

from .dbobject import DBModel, DBScript
from .entity import Entity, check_name, check_path

T = TypeVar("T", bound=Entity)
T_co = TypeVar("T_co", bound=Entity, covariant=True)


class EntitySequence(Generic[T_co]):
    """Entities in order, found by name or by index.

    :param name: unique in one ``start``
    :param path: its directory; None is the current one
    :param entities: what it holds
    :param batch_settings: given if all is to run as one batch job
    """

    def __init__(
        self,
        name: str,
        path: str | os.PathLike[str] | None = None,
        entities: Iterable[T_co] = (),
        *,
        batch_settings: BatchSettings | None = None,
    ) -> None:
        if batch_settings is not None and not isinstance(batch_settings, BatchSettings):
            raise InputTypeError(
                f"batch settings of {name!r} are of type {type(batch_settings).__name__};"
                " make them with create_batch_settings"
            )
        self.name = check_name(name)
        self.path = check_path(path)
        self.entities: list[T_co] = list(entities)
        self.batch_settings = batch_settings

    @property
    def type(self) -> str:
        """The name of the class."""
        return type(self).__name__

    @property
    def batch(self) -> bool:
        """True if it is to run as a batch job."""
        return self.batch_settings is not None

    @property
    def db_models(self) -> Iterator[DBModel]:
        """The machine-learning models attached to it."""
        return iter(())

    @property
    def db_scripts(self) -> Iterator[DBScript]:
        """The scripts and functions attached to it."""
        return iter(())

    def set_path(self, new_path: str | os.PathLike[str]) -> None:
        """Set its own directory and that of every entity in it."""
        self.path = check_path(new_path)
        for entity in self.entities:
            entity.set_path(self.path)

    @overload
    def __getitem__(self, key: int) -> T_co: ...
    @overload
    def __getitem__(self, key: str) -> T_co | None: ...
    def __getitem__(self, key: int | str) -> T_co | None:
        if isinstance(key, str):
            return next((entity for entity in self.entities if entity.name == key), None)
        if isinstance(key, bool) or not hasattr(key, "__index__"):
            raise InputTypeError(
                f"{self.name!r} is indexed by a name or an integer, not by {key!r}"
            )
        return self.entities[key]

    def __iter__(self) -> Iterator[T_co]:
        return iter(self.entities)

    def __len__(self) -> int:
        return len(self.entities)

    def __repr__(self) -> str:
        return self.name


class EntityList(EntitySequence[T]):
    """An :class:`EntitySequence` to which entities can be added."""

    def append(self, entity: T) -> None:
        """Add one.

        :raises EntityExistsError: one of that name is already there
        """
        if self[entity.name] is not None:
            raise EntityExistsError(
                f"{self.name!r} has an entity named {entity.name!r} already; give it another name"
            )
        self.entities.append(entity)
