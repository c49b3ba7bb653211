"""Attaching machine-learning models and scripts to models and ensembles."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from smartcore.error import InputTypeError, UnsupportedError

from .dbobject import DBModel, DBScript, Function


class TakesDBObjects:
    """An entity to which machine-learning models and scripts can be attached."""

    name: str

    def __init__(self) -> None:
        self._db_models: list[DBModel] = []
        self._db_scripts: list[DBScript] = []

    @property
    def db_models(self) -> Iterator[DBModel]:
        """The machine-learning models attached to it."""
        return iter(self._db_models)

    @property
    def db_scripts(self) -> Iterator[DBScript]:
        """The scripts and functions attached to it."""
        return iter(self._db_scripts)

    @property
    def db_objects(self) -> list[DBModel | DBScript]:
        """All that is attached to it."""
        return [*self._db_models, *self._db_scripts]

    def add_ml_model(
        self,
        name: str,
        backend: str,
        model: bytes | None = None,
        model_path: str | os.PathLike[str] | None = None,
        device: str = "CPU",
        devices_per_node: int = 1,
        first_device: int = 0,
        batch_size: int = 0,
        min_batch_size: int = 0,
        min_batch_timeout: int = 0,
        tag: str = "",
        inputs: str | Sequence[str] | None = None,
        outputs: str | Sequence[str] | None = None,
    ) -> None:
        """Have a machine-learning model stored in the database before the start.

        The parameters are those of :class:`DBModel`.

        :raises UnsupportedError: the name is taken, or the model is in memory and the database
            colocated
        """
        self.add_ml_model_object(
            DBModel(
                name,
                backend,
                model,
                model_path,
                device,
                devices_per_node,
                first_device,
                batch_size,
                min_batch_size,
                min_batch_timeout,
                tag,
                inputs,
                outputs,
            )
        )

    def add_script(
        self,
        name: str,
        script: str | None = None,
        script_path: str | os.PathLike[str] | None = None,
        device: str = "CPU",
        devices_per_node: int = 1,
        first_device: int = 0,
    ) -> None:
        """Have TorchScript stored in the database before the start.

        The parameters are those of :class:`DBScript`.

        :raises UnsupportedError: the name is taken
        """
        self.add_script_object(
            DBScript(name, script, script_path, device, devices_per_node, first_device)
        )

    def add_function(
        self,
        name: str,
        function: str | Function | None = None,
        device: str = "CPU",
        devices_per_node: int = 1,
        first_device: int = 0,
    ) -> None:
        """Have a function stored in the database before the start.

        :raises UnsupportedError: the name is taken, or the database is colocated
        """
        self.add_script_object(
            DBScript(name, function, None, device, devices_per_node, first_device)
        )

    def add_ml_model_object(self, db_model: DBModel) -> None:
        """Attach a machine-learning model.

        :raises UnsupportedError: as :meth:`add_ml_model`
        """
        if not isinstance(db_model, DBModel):
            raise InputTypeError(f"{db_model!r} is not a DBModel")
        self.check_new(db_model)
        self._db_models.append(db_model)

    def add_script_object(self, db_script: DBScript) -> None:
        """Attach a script or function.

        :raises UnsupportedError: as :meth:`add_script`
        """
        if not isinstance(db_script, DBScript):
            raise InputTypeError(f"{db_script!r} is not a DBScript")
        self.check_new(db_script)
        self._db_scripts.append(db_script)

    def check_new(self, added: DBModel | DBScript) -> None:
        """Refuse what cannot be attached.

        :raises UnsupportedError: says why
        """
        present: Sequence[DBModel | DBScript] = (
            self._db_models if isinstance(added, DBModel) else self._db_scripts
        )
        if any(other.name == added.name for other in present):
            raise UnsupportedError(
                f"{self.name!r} has a {type(added).__name__} named {added.name!r} already;"
                " give it another name"
            )


def refuse_in_memory(owner: str, attached: DBModel | DBScript) -> None:
    """Refuse what a colocated database cannot be given: its content would be needed on the node.

    :raises UnsupportedError: it is a model or a function in memory
    """
    if attached.is_file or isinstance(attached.func, str):
        return
    raise UnsupportedError(
        f"{owner!r} has a colocated database, and {attached.name!r} is in memory;"
        " save it to a file and give its path"
    )
