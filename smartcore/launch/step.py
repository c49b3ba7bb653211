"""From an entity to the step that runs it: pure but for the one probe of each run command."""

from __future__ import annotations

import copy
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from smartcore.database.live import variable
from smartcore.entity import Model
from smartcore.error import ShellError
from smartcore.log import get_logger
from smartcore.registry import Registry
from smartcore.spec import (
    Command,
    Facts,
    Launch,
    Placement,
    RunCommand,
    Step,
    Tag,
    run_command,
)
from smartcore.spec.settings import RunSettings

log = get_logger(__name__)

CONTAINER_RUNTIMES = ("singularity", "apptainer")
PROBE_TIMEOUT = timedelta(seconds=10)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass
class StepBuilder:
    """Builds the steps of one experiment's models; asks each run command once what it is."""

    registry: Registry
    _facts: dict[str, Facts] = field(default_factory=dict)

    def build(
        self,
        model: Model,
        client_env: Mapping[str, str],
        placement: Placement | None = None,
        *,
        inside: Callable[[Command], Command] | None = None,
    ) -> Step:
        """The step of ``model``; nothing is written or started.

        :param client_env: variables by which the model finds its databases; its own win over them
        :param placement: where it runs; None leaves that to the run command
        :param inside: what the run command starts instead of the program, container included
        """
        settings = model.run_settings
        cwd = Path(model.path).absolute()
        env = {**client_env, **key_environment(model, client_env), **settings.environment()}
        command = self.command(settings, cwd, env, placement, inside=inside)
        return Step(
            name=model.name,
            tag=make_tag(model.name),
            command=command,
            cwd=cwd,
            stdout=cwd / f"{model.name}.out",
            stderr=cwd / f"{model.name}.err",
            resources=settings.resources(),
        )

    def command(
        self,
        settings: RunSettings,
        cwd: Path,
        env: dict[str, str],
        placement: Placement | None,
        *,
        inside: Callable[[Command], Command] | None = None,
    ) -> Command:
        """The program of these settings, with its run command in front.

        :param env: all its variables, those of ``settings`` included
        :param placement: where it runs; None leaves that to the run command
        """
        runtime = container_runtime() if settings.container is not None else ""
        placed = Command(settings.program_argv(cwd, container_runtime=runtime), env)
        if inside is not None:
            placed = inside(placed)
            settings = _all_inside(settings, inside, cwd, env)
        program = settings.run_command
        if not program:
            return placed
        name = Path(program).name
        if name not in self.registry.names("run_commands"):
            return replace(placed, argv=(program, *settings.format_run_args(), *placed.argv))
        placing = self.registry.run_command(name)
        launch = Launch(placed.argv, settings, cwd, dict(placed.env))
        where = placement or Placement(settings.resources().hosts)
        made = placing.build(launch, where, self._probe(placing, program))
        return replace(made, files=(*made.files, *placed.files))

    def _probe(self, placing: RunCommand, program: str) -> Facts:
        if program not in self._facts:
            output = ""
            if placing.probe:
                try:
                    completed = run_command([program, *placing.probe], timeout=PROBE_TIMEOUT)
                    output = completed.stdout + completed.stderr
                except ShellError as error:
                    log.warning("%s does not say what it is: %s", program, error)
            self._facts[program] = placing.facts(program, output)
        return self._facts[program]


def _all_inside(
    settings: RunSettings, inside: Callable[[Command], Command], cwd: Path, env: Mapping[str, str]
) -> RunSettings:
    """The same settings, whose further programs are started by what starts the first one."""
    changed = copy.copy(settings)
    changed.mpmd = []
    for other in settings.mpmd:
        own = copy.copy(other)
        argv = inside(Command(other.program_argv(cwd), {**env, **other.environment()})).argv
        own.exe, own.exe_args, own.container = argv[0], list(argv[1:]), None
        changed.mpmd.append(own)
    return changed


def container_runtime() -> str:
    """The program of this host that runs containers, empty if there is none.

    Apptainer is what Singularity became; either may be installed.
    """
    return next((found for name in CONTAINER_RUNTIMES if (found := shutil.which(name))), "")


def key_environment(model: Model, client_env: Collection[str]) -> dict[str, str]:
    """The variables by which clients choose prefixes of keys (SSKEYIN, SSKEYOUT).

    A client of a database with an identifier reads those with its suffix, and only those.

    :param client_env: names of the variables by which the model finds databases
    """
    found = {"SSDB", *(name for name in client_env if name.startswith("SSDB"))}
    if model.colocation is not None:
        found.add(variable("SSDB", model.colocation.db_identifier))
    env = {}
    for suffix in sorted(name.removeprefix("SSDB") for name in found):
        if model.incoming_entities:
            env[f"SSKEYIN{suffix}"] = ",".join(entity.name for entity in model.incoming_entities)
        if model.query_key_prefixing():
            env[f"SSKEYOUT{suffix}"] = model.name
    return env


def make_tag(name: str) -> Tag:
    """A unique name for one launch: the entity's and the time in base 36."""
    number, digits = time.time_ns(), ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return Tag(f"{name}-{digits}")
