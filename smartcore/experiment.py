"""The experiment: what users make models, ensembles and databases with, start and stop them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from smartcore import log
from smartcore.error import (
    EntityExistsError,
    InputError,
    InputTypeError,
    PathNotFoundError,
)

# This is a facade: each method imports what it needs, and `from smartcore import Experiment` is
# quick.
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta
    from types import TracebackType
    from typing import Any, Self

    from smartcore.config import Config
    from smartcore.database import Orchestrator
    from smartcore.entity import Ensemble, Entity, EntitySequence, Model
    from smartcore.preview import Format, Verbosity
    from smartcore.registry import Registry
    from smartcore.settings import BatchSettings, Container, RunSettings
    from smartcore.spec import Status
    from smartcore.status import SmartcoreStatus
    from smartcore.telemetry import ExperimentTelemetryConfiguration

logger = log.get_logger(__name__)


class Experiment:
    """Creates models, ensembles and databases, launches them, watches them and stops them.

    Used as a context manager, it stops everything at its end. Otherwise what still runs when the
    driver ends goes on, and a warning says so.

    :param name: name of the experiment and, without ``exp_path``, of its directory
    :param exp_path: an existing directory for everything; None is ``./<name>``, made when needed
    :param launcher: name of an installed launcher, or ``auto``
    :param max_running: how many models may run at the same time, where the launcher has no queue
        of its own; None or 0 leaves it to ``SMARTCORE_MAX_RUNNING`` and the launcher
    :param registry: the plugins to use; None uses those that are installed
    :raises PluginMissingError: the launcher's plugin is not installed
    :raises UnsupportedError: there is no such launcher
    :raises PathNotFoundError: ``exp_path`` is not there
    """

    def __init__(
        self,
        name: str,
        exp_path: str | None = None,
        launcher: str = "local",
        *,
        max_running: int | None = None,
        registry: Registry | None = None,
    ) -> None:
        from smartcore.entity.entity import check_name
        from smartcore.registry import default_registry
        from smartcore.session import Session

        self.name = check_name(name)
        self.exp_path = str(_experiment_path(name, exp_path))
        self._registry = registry if registry is not None else default_registry()
        self._config = self._registry.load_config()
        log.setup(self._config.text("log_level"))
        resolved = _resolve_launcher(launcher, self._registry, self._config)
        if max_running is not None:
            _check_limit(max_running)
        self._session = Session(
            self.name, Path(self.exp_path), resolved, self._registry, self._config, max_running
        )

    @classmethod
    def attach(cls, path: str, *, registry: Registry | None = None) -> Experiment:
        """Take up an experiment that an earlier driver left, also one that was killed.

        What runs is followed and can be waited for and stopped, by name; ``summary`` shows
        everything that was ever launched.

        :param path: the experiment's directory
        :raises PathNotFoundError: nothing was started there
        :raises InputError: its driver lives
        """
        from smartcore.launch import journal

        directory = Path(path).expanduser().absolute()
        story = journal.read(directory)
        made = cls(story.name, str(directory), story.launcher, registry=registry)
        made._session.adoption.adopt(story)
        return made

    def __str__(self) -> str:
        return self.name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.stops.stop_all()
        self._session.close()

    @property
    def launcher(self) -> str:
        """Name of the launcher in use; never ``auto``."""
        return self._session.launcher

    @property
    def telemetry(self) -> ExperimentTelemetryConfiguration:
        """The switch for telemetry of this experiment; off unless enabled."""
        return self._session.news.telemetry.configuration

    # -- create ---------------------------------------------------------------------------------

    def create_run_settings(
        self,
        exe: str,
        exe_args: str | Sequence[str] | None = None,
        run_command: str = "auto",
        run_args: Mapping[str, int | str | float | None] | None = None,
        env_vars: Mapping[str, str | int | float | bool | None] | None = None,
        container: Container | None = None,
        **kwargs: Any,
    ) -> RunSettings:
        """Describe how a program is run.

        :param exe: path of the executable, or its name on ``PATH``
        :param exe_args: its arguments; a string is split at blanks, a list is taken as it is
        :param run_command: what places its ranks (``mpirun``, ``srun``...); ``auto`` takes the best
            one that the launcher knows and this host has; any other program is taken literally
        :param run_args: arguments of the run command
        :param env_vars: variables set for it
        :param container: the container to run it in
        :raises PathNotFoundError: there is no such executable
        """
        from smartcore.settings.settings import create_run_settings

        return create_run_settings(
            self.launcher,
            exe,
            exe_args=exe_args,
            run_command=run_command,
            run_args=run_args,
            env_vars=env_vars,
            container=container,
            registry=self._registry,
            **kwargs,
        )

    def create_batch_settings(
        self,
        nodes: int = 1,
        time: str = "",
        queue: str = "",
        account: str = "",
        batch_args: Mapping[str, str | None] | None = None,
        **kwargs: Any,
    ) -> BatchSettings:
        """Describe a batch job.

        :param nodes: how many nodes
        :param time: limit as ``HH:MM:SS``
        :raises UnsupportedError: the launcher has no batch jobs
        """
        from smartcore.settings.settings import create_batch_settings

        return create_batch_settings(
            self.launcher,
            nodes=nodes,
            time=time,
            queue=queue,
            account=account,
            batch_args=batch_args,
            registry=self._registry,
            **kwargs,
        )

    def create_model(
        self,
        name: str,
        run_settings: RunSettings,
        params: Mapping[str, str | int | float | bool] | None = None,
        path: str | None = None,
        enable_key_prefixing: bool = False,
        batch_settings: BatchSettings | None = None,
    ) -> Model:
        """Describe one simulation or application.

        :param params: values for tags in its input files
        :param path: its directory; None is ``<experiment>/<name>``
        :param enable_key_prefixing: database clients in it prefix what they write with its name
        """
        from smartcore.entity import Model
        from smartcore.entity.entity import check_name

        check_name(name)
        model = Model(
            name,
            params or {},
            run_settings,
            path or str(Path(self.exp_path) / name),
            batch_settings=batch_settings,
        )
        if enable_key_prefixing:
            model.enable_key_prefixing()
        return model

    def create_ensemble(
        self,
        name: str,
        params: Mapping[str, object] | None = None,
        batch_settings: BatchSettings | None = None,
        run_settings: RunSettings | None = None,
        replicas: int | None = None,
        perm_strategy: str | Callable[..., list[dict[str, str]]] = "all_perm",
        path: str | None = None,
        **kwargs: Any,
    ) -> Ensemble:
        """Describe a group of models: one for each combination of parameters, or replicas.

        :param params: for each parameter a value, or several
        :param replicas: how many of each combination; of the one model without ``params``
        :param perm_strategy: ``all_perm``, ``step``, ``random``, or a function
        :param path: its directory; None is ``<experiment>/<name>``
        """
        from smartcore.entity import Ensemble
        from smartcore.entity.entity import check_name

        check_name(name)
        if params is not None and not hasattr(params, "items"):
            raise InputTypeError(f"params is {params!r}; give a dictionary of names and values")
        return Ensemble(
            name,
            dict(params or {}),
            path=path or str(Path(self.exp_path) / name),
            batch_settings=batch_settings,
            run_settings=run_settings,
            perm_strat=perm_strategy,
            replicas=replicas,
            **kwargs,
        )

    def create_database(
        self,
        port: int | None = None,
        path: str | None = None,
        db_nodes: int = 1,
        batch: bool = False,
        hosts: list[str] | str | None = None,
        run_command: str = "auto",
        interface: str | list[str] | None = None,
        account: str | None = None,
        time: str | None = None,
        queue: str | None = None,
        single_cmd: bool = False,
        db_identifier: str = "orchestrator",
        **kwargs: Any,
    ) -> Orchestrator:
        """Describe an in-memory database.

        :param port: TCP port of the first shard; None or 0 finds free ones
        :param path: its directory; None is ``<experiment>/<db_identifier>``
        :param db_nodes: number of shards: 1, or 3 and more for a cluster
        :param interface: network interface to listen on; None is ``lo`` on this host, and the
            address of the node's own name on another
        :param single_cmd: on nodes, start all shards with one command, so that they are one step
            and end together; otherwise one that dies leaves the others alone
        :param db_identifier: name by which models tell several databases apart
        :param kwargs: ``allow_unauthenticated=True`` admits clients that send no password;
            ``backend`` names another kind of server; ``tls=True`` encrypts connections
        """
        from smartcore.database import Orchestrator
        from smartcore.entity.entity import check_name

        check_name(db_identifier)
        kwargs.setdefault("backend", self._config.text("database.backend"))
        kwargs.setdefault("tls", self._config.flag("database.tls") or None)
        return Orchestrator(
            path=path or str(Path(self.exp_path) / db_identifier),
            port=port,
            interface=interface or self._config.text("database.interface") or None,
            launcher=self.launcher,
            run_command=run_command,
            db_nodes=db_nodes,
            batch=batch,
            hosts=hosts,
            account=account,
            time=time,
            queue=queue,
            single_cmd=single_cmd,
            db_identifier=db_identifier,
            **kwargs,
        )

    # -- before the start -----------------------------------------------------------------------

    def generate(
        self,
        *args: Entity | EntitySequence[Entity],
        tag: str | None = None,
        overwrite: bool = False,
        verbose: bool = False,
        strict: bool = True,
    ) -> None:
        """Make the directories, with copied, linked and filled-in input files.

        Everything is checked first: an error leaves nothing half done.

        :param tag: what encloses the name of a parameter in tagged files; None is ``;``
        :param overwrite: remove what is there already
        :param verbose: log each parameter
        :param strict: an unknown tag is an error; otherwise it stays as it is, with a warning
        :raises PathExistsError: a directory is there and ``overwrite`` is not set
        :raises EntityExistsError: it is running, also when an earlier driver started it
        :raises ParameterWriterError: a tagged file cannot be filled; names file and line
        """
        from smartcore.generate import generate
        from smartcore.launch.check import startable

        entities = startable(args)
        for run in self._session.roster.runs_of(entities):
            if run.active:
                state = run.status.state.value.lower()
                raise EntityExistsError(
                    f"{run.name!r} is {state}, and generate would change its files; stop it first"
                )
        self._session.adoption.refuse(self._session.roster.names_of(entities))
        self._session.warm_up(entities)
        generate(
            Path(self.exp_path),
            entities,
            tag=tag,
            overwrite=overwrite,
            verbose=verbose,
            strict=strict,
        )

    def preview(
        self,
        *args: Entity | EntitySequence[Entity],
        verbosity_level: Verbosity | str = "info",
        output_format: Format | str = "plain_text",
        output_filename: str | None = None,
    ) -> None:
        """Show what would be launched, without launching it.

        :param verbosity_level: ``info``, ``debug``, or ``developer`` for the exact command lines
        :param output_format: ``plain_text`` or ``json``
        :param output_filename: file to write to instead of standard output; one that is there is
            not overwritten, a number is added
        """
        from smartcore.launch.check import startable
        from smartcore.launch.plan import places
        from smartcore.preview import PlannedPreview, preview_of, render, write

        entities = startable(args)
        running = list(self._session.databases)
        steps = self._session.steps.planned(entities)
        preview = preview_of(
            self.name,
            self.exp_path,
            self.launcher,
            entities,
            steps,
            running,
            [
                PlannedPreview(planned.name, planned.turn, tuple(places(planned)))
                for planned in self._session.steps.places(entities, steps)
            ],
        )
        text = render(preview, verbosity_level, output_format)
        if output_filename is None:
            print(text)  # noqa: T201 -- what was asked for
        else:
            written = write(text, output_filename, output_format)
            logger.info("preview written to %s", written)

    # -- start and stop -------------------------------------------------------------------------

    def start(
        self,
        *args: Entity | EntitySequence[Entity],
        block: bool = True,
        summary: bool = False,
        kill_on_interrupt: bool = True,
        raise_on_failure: bool = False,
        retries: int = 0,
        on_failure: str = "continue",
        skip_completed: bool = False,
    ) -> None:
        """Launch entities: databases first, each until it serves, then all models.

        A model that fails is logged with its cause and the end of its ``.err``; the others go on.
        An entity that has ended is run again, with the next run id. Ctrl-C while blocked stops what
        this call launched and raises; a second one kills what has not ended by then. A handler of
        your own for SIGINT is called, and the start goes on if that does not raise. Python hears of
        signals in the main thread: what a start in another one launched is stopped when that ends.

        :param block: return when the models given here have ended
        :param summary: log what is going to be launched
        :param kill_on_interrupt: False leaves alone what runs when Ctrl-C is pressed
        :param raise_on_failure: with ``block``, raise if a model failed
        :param retries: how many times a model that failed is run again, as long as this driver
            lives; the output of each attempt stays, as ``<model>.out.<run id>``
        :param on_failure: what becomes of the other models of this call when one has failed, also
            its retries: ``continue`` with all of them; ``drain``: those that wait are never
            started; ``stop`` them all
        :param skip_completed: launch only what has not completed, also in an earlier driver of this
            experiment
        :raises EntityExistsError: it is running, also when an earlier driver started it
        :raises StepFailedError: only with ``raise_on_failure``
        :raises DatabaseError: a database did not come up; nothing of this call is left running
        """
        from smartcore.launch.check import startable
        from smartcore.launch.policy import make_policy

        entities = startable(args)
        if summary:
            names = self._session.roster.names(entities)
            logger.info("launching %d: %s", len(names), ", ".join(names))
        self._session.start(
            entities,
            block=block,
            kill_on_interrupt=kill_on_interrupt,
            raise_on_failure=raise_on_failure,
            skip_completed=skip_completed,
            policy=make_policy(retries, on_failure),
        )

    def restart(self, database: Orchestrator | str) -> Orchestrator:
        """Bring back the shards of a database that have ended, or do not answer any more.

        They come back at the same addresses, which models that run know, with the same passwords,
        and with the data of their last checkpoint. What came back, and what is lost, is logged. Of
        a database that is whole, each shard writes all its data, ends and is started again.
        Returns when the whole database serves.

        :param database: the database, or its ``db_identifier``, as after an ``attach``
        :raises InputTypeError: a model, which ``start`` runs again
        :raises InputError: no such database was started in this experiment
        :raises DatabaseError: an address is taken by somebody else, a shard's data cannot be read
            or written, or it does not come to serve; what serves goes on
        :raises UnsupportedError: it runs as a batch job
        """
        return self._session.restart(database)

    def stop(self, *args: Entity | EntitySequence[Entity] | str) -> None:
        """End entities: SIGTERM, then SIGKILL after a grace period. Returns when they have ended.

        What has ended already is left as it is.

        :raises InputError: one of them was never started here
        """
        self._session.stops.stop(self._session.roster.started(args))

    def wait(
        self,
        *args: Entity | EntitySequence[Entity] | str,
        timeout: timedelta | float | None = None,
    ) -> None:
        """Return when these have ended; without arguments, when all models have.

        :param timeout: seconds, or a timedelta; None waits for ever
        :raises WaitTimeoutError: naming some that go on
        """
        limit = _duration("timeout", timeout)
        runs = self._session.roster.started(args) if args else self._session.roster.active_models()
        self._session.wait(runs, limit)

    def poll(
        self, interval: int = 10, verbose: bool = True, kill_on_interrupt: bool = True
    ) -> None:
        """Return when all models have ended.

        :param interval: seconds between lines of the log
        :param verbose: log how each model stands
        :param kill_on_interrupt: Ctrl-C meanwhile stops them
        """
        pause = _duration("interval", interval)
        if not pause:
            raise InputError(f"interval is {interval!r}; give more than 0 seconds")
        runs = self._session.roster.active_models()

        def report() -> None:
            for run in runs:
                logger.info("%s: %s", run.name, run.status.state.value)

        with self._session.stops.interrupts(stops=kill_on_interrupt):
            try:
                self._session.wait(runs, tick=report if verbose else None, interval=interval)
            except KeyboardInterrupt:
                if kill_on_interrupt:
                    self._session.stops.abandon(runs)
                raise

    def on_end(self, function: Callable[[str, Status], None]) -> None:
        """Call ``function(name, status)`` after each end of a model or shard, from another thread.

        It may start and stop entities. What it raises is logged.
        """
        if not callable(function):
            raise InputTypeError(f"on_end takes a function, not {function!r}")
        self._session.news.on_end(lambda run: function(run.name, run.status))

    # -- what is known --------------------------------------------------------------------------

    def status(self, entity: Entity | EntitySequence[Entity] | str) -> Status:
        """All that is known about an entity. For several members or shards, the status of the one
        that is farthest from success: failed before running before completed.

        :raises InputError: it was never started here
        """
        from smartcore.status import farthest_from_success

        runs = self._session.roster.started([entity])
        return farthest_from_success(run.status for run in runs)

    def statuses(self, *args: Entity | EntitySequence[Entity] | str) -> dict[str, Status]:
        """The status of each model, member and shard by its name; without arguments, of all but the
        shards of databases that serve again by others.
        """
        runs = self._session.runs
        if args:
            names = self._session.roster.names(args)
            return {name: runs[name].status for name in names if name in runs}
        return {name: run.status for name, run in runs.items() if not run.replaced}

    def get_status(self, *args: Entity | EntitySequence[Entity] | str) -> list[SmartcoreStatus]:
        """The status of each model, member and shard, in the order of the arguments."""
        from smartcore.status import SmartcoreStatus, from_state

        names = self._session.roster.names(args)
        return [
            from_state(self._session.runs[name].status.state)
            if name in self._session.runs
            else SmartcoreStatus.STATUS_NEVER_STARTED
            for name in names
        ]

    def finished(self, entity: Entity | EntitySequence[Entity] | str) -> bool:
        """True when a model, or every member of an ensemble, has ended.

        :raises InputTypeError: a database, which does not finish by itself
        :raises InputError: it was never started here
        """
        from smartcore.database import Orchestrator
        from smartcore.entity import DBNode

        if isinstance(entity, Orchestrator | DBNode):
            raise InputTypeError("a database does not finish by itself; ask its is_active()")
        return not any(run.active for run in self._session.roster.started([entity]))

    def summary(self, style: str = "github", *, databases: bool = False) -> str:
        """A table of everything that was launched, also of what still runs, with the ids that the
        workload manager's own commands take, as far as it tells them.

        :param style: a table format of the package tabulate, or ``json``
        :param databases: add what each shard of its databases does, and each database next to a
            model that runs: memory, keys, clients, operations; as ``smartcore db top`` shows it
            live. Operations in a second are those that the server measures, hits those since its
            start
        """
        from smartcore.summary import SummaryRow, summary_text

        now = time.monotonic()
        names = self._session.native_ids()
        return summary_text(
            (
                SummaryRow(
                    run.name,
                    run.kind,
                    names.get(run.job, run.job) if run.job is not None else "",
                    run.run_id,
                    run.seconds(now),
                    run.status.state.value,
                    run.status.returncode,
                )
                for run in self._session.history
            ),
            style,
            self._session.database_rows() if databases else None,
        )

    def reconnect_orchestrator(self, checkpoint: str) -> Orchestrator:
        """Take up a database that an earlier driver started and left running.

        :param checkpoint: its ``checkpoint_file``
        :raises PathNotFoundError: there is no such file
        :raises DatabaseError: the database does not run any more, or is not ours
        """
        from smartcore.database.checkpoint import reconnect

        database, jobs = reconnect(checkpoint, self._registry)
        self._session.follow(database, jobs)
        return database


def _experiment_path(name: str, exp_path: str | None) -> Path:
    if exp_path is None:
        return Path.cwd() / name
    if not isinstance(exp_path, str | os.PathLike):
        raise InputTypeError(f"exp_path is a {type(exp_path).__name__}; give a path")
    path = Path(exp_path).expanduser().absolute()
    if not path.is_dir():
        raise PathNotFoundError(f"exp_path {path} is not a directory; create it first")
    return path


def _duration(name: str, value: timedelta | float | None) -> timedelta | None:
    from datetime import timedelta

    if value is None or isinstance(value, timedelta):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputTypeError(f"{name} is {value!r}; give seconds or a timedelta")
    if value < 0:
        raise InputError(f"{name} is {value!r}; give 0 seconds or more")
    return timedelta(seconds=value)


def _check_limit(max_running: int) -> None:
    if isinstance(max_running, bool) or not isinstance(max_running, int):
        raise InputTypeError(f"max_running is {max_running!r}; give a whole number")
    if max_running < 0:
        raise InputError(f"max_running is {max_running}; give 1 or more, or 0 for the default")


def _resolve_launcher(launcher: str, registry: Registry, settings: Config) -> str:
    from smartcore.detection import AUTO, choose

    if not isinstance(launcher, str):
        raise InputTypeError(f"launcher is a {type(launcher).__name__}; give its name")
    name = launcher.lower()
    if name == AUTO:
        choice = choose(registry, settings, os.environ)
        logger.debug("launcher %s: %s", choice.name, choice.why)
        return choice.name
    entry = registry.launcher(name)
    registry.load(entry.target, entry.plugin)  # a launcher that cannot be imported is told of now
    return name
