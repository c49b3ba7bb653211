"""An ensemble: one model for each combination of parameters."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence

from smartcore.error import InputError, InputTypeError
from smartcore.spec.settings import BatchSettings, RunSettings
from smartcore.spec.values import check_count

from .attached import TakesDBObjects
from .dbobject import DBModel, DBScript
from .entity import Entity, check_path
from .entity_list import EntityList
from .files import EntityFiles, Paths, files_table
from .model import Model, argument_names
from .params import param_lists
from .strategies import Strategy, expand

_KEYWORDS = ("replicas", "n_models", "seed")


class Ensemble(TakesDBObjects, EntityList[Model]):
    """Models that differ in their parameters, or are replicas, under one name.

    The members are called ``<name>_0``, ``<name>_1``, ...; each has its own copy of the run
    settings, its own parameters, a directory in the ensemble's, and writes keys under its own
    name. With neither ``params`` nor ``replicas`` but with batch settings the ensemble is empty,
    for :meth:`add_model`.

    :param name: unique in one ``start``; also the name of its directory
    :param params: for each parameter a value or the values that it takes
    :param path: its directory; None is the current one
    :param params_as_args: names of parameters that become arguments of the program
    :param batch_settings: given if all members are to run in one batch job
    :param run_settings: what each member runs
    :param perm_strat: ``all_perm``, ``step``, ``random``, or a callable, see
        :data:`~smartcore.entity.strategies.Strategy`
    :param kwargs: ``replicas``: how many members there are, or, with ``params``, how many for
        each combination, next to each other; ``n_models``: how many combinations ``random`` or
        one's own strategy is to give; ``seed`` makes ``random`` repeatable
    :raises InputError: the arguments do not fit together, or a keyword is unknown
    :raises InputTypeError: a value of the wrong type
    :raises UserStrategyError: an unknown strategy, or one that returned something unusable
    """

    def __init__(
        self,
        name: str,
        params: Mapping[str, object] | None,
        path: str | os.PathLike[str] | None = None,
        params_as_args: str | Sequence[str] | None = None,
        batch_settings: BatchSettings | None = None,
        run_settings: RunSettings | None = None,
        perm_strat: str | Strategy = "all_perm",
        **kwargs: object,
    ) -> None:
        EntityList.__init__(self, name, path, batch_settings=batch_settings)
        TakesDBObjects.__init__(self)
        counts = _counts(name, kwargs)
        lists = param_lists(repr(name), params)
        self.params = lists
        self.params_as_args = argument_names(name, params_as_args, lists)
        self.run_settings = run_settings
        if not _expandable(self, counts):
            return
        combinations: list[dict[str, str]] = [{}]
        if lists:
            n_models = counts.get("n_models", 0)
            combinations = expand(perm_strat, lists, n_models, counts.get("seed"))
        self._create_members(combinations, counts.get("replicas", 1))

    def _create_members(self, combinations: list[dict[str, str]], replicas: int) -> None:
        for params in combinations:
            for _ in range(replicas):
                name = f"{self.name}_{len(self.entities)}"
                member = Model(
                    name,
                    params,
                    copy.deepcopy(self.run_settings),  # type: ignore[arg-type]  # checked before
                    f"{self.path}/{name}",
                    self.params_as_args,
                )
                member.enable_key_prefixing()
                member.params_to_args()
                self.entities.append(member)

    @property
    def models(self) -> list[Model]:
        """The members."""
        return list(self.entities)

    def add_model(self, model: Model) -> None:
        """Add a model of one's own; its directory moves into the ensemble's.

        Machine-learning models and scripts of the ensemble are attached to it.

        :raises InputTypeError: not a model
        :raises EntityExistsError: a member has that name
        """
        if not isinstance(model, Model):
            raise InputTypeError(
                f"{self.name!r} takes models only, not {model!r} of type {type(model).__name__}"
            )
        for attached in self.db_objects:
            model.check_new(attached)
        self.append(model)
        model.set_path(f"{self.path}/{model.name}")
        for db_model in self.db_models:
            model.add_ml_model_object(db_model)
        for db_script in self.db_scripts:
            model.add_script_object(db_script)

    def set_path(self, new_path: str | os.PathLike[str]) -> None:
        """Set its directory; those of the members follow, each ``<new_path>/<member>``."""
        self.path = check_path(new_path)
        for member in self.entities:
            member.set_path(f"{self.path}/{member.name}")

    def attach_generator_files(
        self, to_copy: Paths = None, to_symlink: Paths = None, to_configure: Paths = None
    ) -> None:
        """Attach files to every member, as :meth:`Model.attach_generator_files` does."""
        files = EntityFiles(to_configure, to_copy, to_symlink)
        for member in self.entities:
            member.files = files

    @property
    def attached_files_table(self) -> str:
        """A table of the files attached to the members."""
        if not self.entities:
            return "The ensemble is empty, no files to show."
        owners = [(model.name, model.files) for model in self.entities if model.files is not None]
        return files_table(owners) if owners else "No file attached to this ensemble."

    def print_attached_files(self) -> None:
        """Print the table of the attached files."""
        print(self.attached_files_table)  # noqa: T201

    def register_incoming_entity(self, incoming_entity: Entity) -> None:
        """Let every member read keys that another entity wrote, see
        :meth:`Model.register_incoming_entity`.
        """
        for member in self.entities:
            member.register_incoming_entity(incoming_entity)

    def enable_key_prefixing(self) -> None:
        """Let every member write its keys under its own name."""
        for member in self.entities:
            member.enable_key_prefixing()

    def disable_key_prefixing(self) -> None:
        """Let every member write its keys as they are."""
        for member in self.entities:
            member.disable_key_prefixing()

    def query_key_prefixing(self) -> bool:
        """True if every member writes its keys under its own name."""
        return all(member.query_key_prefixing() for member in self.entities)

    def check_new(self, added: DBModel | DBScript) -> None:
        super().check_new(added)
        for member in self.entities:
            member.check_new(added)

    def add_ml_model_object(self, db_model: DBModel) -> None:
        super().add_ml_model_object(db_model)
        for member in self.entities:
            member.add_ml_model_object(db_model)

    def add_script_object(self, db_script: DBScript) -> None:
        super().add_script_object(db_script)
        for member in self.entities:
            member.add_script_object(db_script)

    def __str__(self) -> str:
        lines = [f"Name: {self.name}", f"Type: {self.type}", f"Members: {len(self)}"]
        if self.batch_settings is not None:
            lines.append(str(self.batch_settings))
        return "\n".join([*lines, *(str(member) for member in self.entities)])


def _counts(name: str, kwargs: Mapping[str, object]) -> dict[str, int]:
    unknown = [keyword for keyword in kwargs if keyword not in _KEYWORDS]
    if unknown:
        raise InputError(
            f"ensemble {name!r} got unknown arguments {', '.join(unknown)};"
            f" those that it knows are {', '.join(_KEYWORDS)}"
        )
    counts = {}
    for keyword, minimum in (("replicas", 1), ("n_models", 0)):
        if kwargs.get(keyword) is not None:
            counts[keyword] = check_count(
                kwargs[keyword], f"{keyword} of ensemble {name!r}", minimum=minimum
            )
    if kwargs.get("seed") is not None:
        counts["seed"] = check_count(kwargs["seed"], f"seed of ensemble {name!r}", minimum=0)
    return counts


def _expandable(ensemble: Ensemble, counts: Mapping[str, int]) -> bool:
    """Whether the ensemble makes its members itself; refuses what does not fit together."""
    name, run_settings = ensemble.name, ensemble.run_settings
    if run_settings is not None and not isinstance(run_settings, RunSettings):
        raise InputTypeError(
            f"run settings of {name!r} are of type {type(run_settings).__name__};"
            " make them with create_run_settings"
        )
    described = bool(ensemble.params) or "replicas" in counts
    if described and run_settings is None:
        raise InputError(
            f"ensemble {name!r} has params or replicas but no run_settings for its members;"
            " give run_settings"
        )
    if run_settings is not None and not described:
        raise InputError(
            f"ensemble {name!r} has run_settings but nothing to make members of;"
            " give params or replicas"
        )
    if not described and not ensemble.batch:
        raise InputError(
            f"ensemble {name!r} is given nothing; give run_settings with params or replicas, or"
            " batch_settings to add models by hand"
        )
    if counts.get("n_models") and not ensemble.params:
        raise InputError(f"ensemble {name!r} has n_models but no params to combine; use replicas")
    return described
