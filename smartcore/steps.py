"""The steps of an experiment's models: what finds their databases, and what runs next to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from smartcore.config import Config
from smartcore.config.runtime import nodes_runtime_path, runtime_directory
from smartcore.database import client_environment
from smartcore.databases import Databases
from smartcore.entity import Model
from smartcore.error import InputError
from smartcore.launch.bundle import bundles
from smartcore.launch.check import Startable, databases_of, here, models_of
from smartcore.launch.engine import Engine
from smartcore.launch.plan import Planned, Shares, plan
from smartcore.launch.run import SHARD
from smartcore.launch.step import StepBuilder
from smartcore.registry import Registry
from smartcore.roster import Roster
from smartcore.spec import Placement, Places, ShardAddress, Step

# Imported where they are used: `from smartcore import Experiment` stays quick.
if TYPE_CHECKING:
    from smartcore.entity import ColocationSettings
    from smartcore.launch.beside import Beside, Elsewhere

Build = Callable[[Placement], Step]
"""Builds a step anew when its place is known."""


class Steps:
    """Builds the steps of models, with the databases that run when it is asked.

    :param path: the experiment's directory
    :param engine: gives the engine, made when first needed
    """

    def __init__(
        self,
        path: Path,
        registry: Registry,
        config: Config,
        builder: StepBuilder,
        databases: Databases,
        roster: Roster,
        engine: Callable[[], Engine],
    ) -> None:
        self._path, self._registry, self._config = path, registry, config
        self._builder, self._databases = builder, databases
        self._roster, self._engine = roster, engine
        # Where colocated databases listen, by model; that of a queued one is not bound yet.
        self._colocated: dict[str, ShardAddress] = {}

    def build(self, models: Sequence[Model]) -> list[tuple[Step, Build]]:
        """The step of each model that is started now, and what builds it anew."""
        active = {run.name for run in self._roster.active()}
        self._colocated = {name: at for name, at in self._colocated.items() if name in active}
        built = []
        for model in models:
            known = list(self._colocated.values())
            taken = list(known)
            built.append(self._built(model, taken))
            for address in taken[len(known) :]:
                self._colocated[model.name] = address
        return built

    def planned(self, entities: Sequence[Startable]) -> dict[str, Step]:
        """The steps that a start of these would run, by name; shards without their secrets.
        Nothing is written or started.
        """
        from smartcore.database.plan import planned_environment

        given = {model.name for model in models_of(entities)}
        taken = [at for name, at in self._colocated.items() if name not in given]
        env: dict[str, str] = {}
        for database in databases_of(entities):
            env |= planned_environment(database, on_nodes=self._databases.on_nodes(database))
        steps = {model.name: self._built(model, taken, env)[0] for model in models_of(entities)}
        for database in databases_of(entities):
            steps |= {step.name: step for step in self._databases.planned_shards(database)}
        return steps

    def places(self, entities: Sequence[Startable], steps: Mapping[str, Step]) -> list[Planned]:
        """Where ``entities`` would run in their allocations, beside the databases that run;
        nothing for those that nobody plans.
        """
        jobs = bundles(entities, steps)
        shards = self._databases.placed_steps(databases_of(entities))
        names = [*shards, *(model.name for model in models_of(entities) if model.name not in jobs)]
        by_allocation: dict[str, list[Step]] = {}
        for step in (steps[name] for name in names):
            by_allocation.setdefault(step.resources.allocation, []).append(step)
        found: list[Planned] = []
        for allocation, own in by_allocation.items():
            nodes = self._engine().nodes(allocation)
            if nodes:
                running = self._shards_in(allocation)
                lasting = {*shards, *(name for name, _ in running)}
                wanted = [(step.name, step.resources) for step in own]
                found += plan(nodes, wanted, running, lasting=lasting)
        return found

    def _shards_in(self, allocation: str) -> list[tuple[str, Shares]]:
        runs = [run for run in self._roster.active() if run.kind == SHARD and run.shares]
        return [(r.name, r.shares) for r in runs if r.step.resources.allocation == allocation]

    def check(self, models: Sequence[Model]) -> None:
        """Refuse colocated databases that cannot be started, and settings that their servers do not
        know.

        :raises InputError: naming the setting, or cores that are not there
        :raises DatabaseError: no server program was found
        :raises UnsupportedError: their model's run command would start one for each task
        """
        for model in models:
            if model.colocation is None:
                continue
            from smartcore.launch.colocation import missing_cores, server_options
            from smartcore.launch.farewell import some

            elsewhere = self._elsewhere(model)
            missing = missing_cores(model.colocation.pinning or ()) if elsewhere is None else ()
            if missing:
                cores = some([str(core) for core in missing])
                raise InputError(
                    f"the database next to {model.name!r} is to run on the cores {cores}, which"
                    f" this host does not have; it has {os.cpu_count()}: change db_cpus or"
                    " custom_pinning"
                )
            kind = self._registry.database(self._config.text("database.backend"))
            options = server_options(model.colocation, kind)
            kind.check(kind.find(os.environ), options)

    def _built(
        self, model: Model, taken: list[ShardAddress], planned: Mapping[str, str] | None = None
    ) -> tuple[Step, Build]:
        # What the model finds its databases by is as it is now; only the place is not known yet.
        env = {**(planned or {}), **client_environment(self._databases.live)}
        step = self._builder.build(model, env)
        if model.colocation is None:
            return step, partial(self._builder.build, model, env)
        shown = self._shown_port(model) if planned is not None else 0
        beside = self._beside(model, model.colocation, step, taken, shown)
        if self._elsewhere(model) is None:
            step = replace(step, command=beside.around(step.command))
            return step, lambda placement: step
        # The database belongs where the run command puts the program.
        build = partial(self._builder.build, model, env, inside=beside.around)
        return replace(build(), tag=step.tag), build

    def _shown_port(self, model: Model) -> int:
        from smartcore.launch.node import PORT_WORD

        known = self._colocated.get(model.name)
        return known.port if known is not None and known.port else PORT_WORD

    def _beside(
        self,
        model: Model,
        settings: ColocationSettings,
        step: Step,
        taken: list[ShardAddress],
        shown_port: int,
    ) -> Beside:
        from smartcore.launch.colocation import colocate

        return colocate(
            step,
            settings,
            self._registry,
            self._path,
            runtime_directory(self._config),
            where=self._elsewhere(model),
            backend=self._config.text("database.backend"),
            allow_unauthenticated=self._config.flag("database.allow_unauthenticated"),
            timeout=timedelta(seconds=self._config.number("database.start_timeout")),
            taken=taken,
            shown_port=shown_port,
        )

    def _elsewhere(self, model: Model) -> Elsewhere | None:
        hosts = {host for host in model.run_settings.resources().hosts if host not in here()}
        if not hosts and not isinstance(self._engine().launcher, Places):
            return None
        from smartcore.launch.colocation import elsewhere

        return elsewhere(model, self._registry, nodes_runtime_path(self._config))
