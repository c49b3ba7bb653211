"""The command lines of mpirun, mpiexec and orterun, in the spelling of the installed MPI."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import NoReturn

from smartcore.error import InputError, UnsupportedError
from smartcore.spec import Command, Facts, Launch, LocalRank, Placement, RunCommand, RunSettings
from smartcore.spec.mpi import SYSTEM_TEMPORARY, MpiSettings, format_option
from smartcore.spec.values import check_env_vars, check_options

from .flavours import DIALECTS, LOCAL_RANKS, STANDARD, Dialect, recognise

SETTERS = {
    "n": "set_tasks",
    "npernode": "set_tasks_per_node",
    "cpus-per-proc": "set_cpus_per_task",
    "host": "set_hostlist",
    "hostfile": "set_hostlist_from_file",
    "bind-to": "set_cpu_binding_type",
    "map-by": "set_task_map",
    "verbose": "set_verbose_launch",
    "quiet": "set_quiet_launch",
    "preload-binary": "set_broadcast",
    "timeout": "set_walltime",
}
_TWICE = (("n", "np"), ("npernode", "ppn"), ("host", "hosts"))
_LOCAL = frozenset({"n", "np", "wdir", "env", "literal"})

Tokens = tuple[str, ...]


class MpiCommand(RunCommand):
    """Builds the command of any of them; the flavour is what ``--version`` says.

    All of them end the other ranks when one has failed.
    """

    # Of Open MPI (mpirun(1)), HPE PALS, and MPICH's hydra, in whose jobs the others are not set.
    rank_variables: tuple[str, ...] = ("OMPI_COMM_WORLD_RANK", "PALS_RANKID", "PMI_RANK")

    local_ranks: tuple[LocalRank, ...] = LOCAL_RANKS

    def facts(self, executable: str, output: str, /) -> Facts:
        return recognise(executable, output)

    def build(self, launch: Launch, placement: Placement, facts: Facts, /) -> Command:
        settings = launch.settings
        if not isinstance(settings, MpiSettings):
            # Plain run settings with this run command: their arguments are meant literally.
            argv = (facts.executable, *settings.format_run_args(), *launch.argv)
            return Command(argv, launch.env)
        programs = _programs(launch)
        translation = _Translation(
            DIALECTS.get(facts.flavour, STANDARD),
            facts,
            str(launch.cwd),
            placement,
            _environment(launch),
            sum(program.settings.resources().tasks or 1 for program in programs),
        )
        parts = [translation.options(program) for program in programs]
        limit = _seconds(programs)
        if limit and not translation.dialect.timeout_variable:
            parts[0].append(translation.option("timeout", limit))
        if translation.dialect.once:
            parts = _given_once(parts, translation.dialect)
        argv = (facts.executable,)
        for index, (options, program) in enumerate(zip(parts, programs, strict=True)):
            argv += (":",) if index else ()
            argv += tuple(token for _, tokens in options for token in tokens)
            argv += program.argv
        if limit and translation.dialect.timeout_variable:
            translation.env[translation.dialect.timeout_variable] = limit
        if translation.dialect.session_variable and settings.temporary == SYSTEM_TEMPORARY:
            translation.env.setdefault(translation.dialect.session_variable, _session(argv))
        return Command(argv, translation.env)


@dataclass(frozen=True, slots=True)
class _Program:
    """One of the programs of an MPI job.

    :param env: variables for this one that the others do not get; for the first they are in the
        launcher's environment
    :param passed: variables to be passed on from the launcher's environment as they are there
    """

    argv: Tokens
    settings: RunSettings
    env: Mapping[str, str]
    passed: tuple[str, ...]


def _programs(launch: Launch) -> list[_Program]:
    settings = launch.settings
    programs = [_Program(launch.argv, settings, {}, _passed(settings))]
    for other in settings.mpmd:
        env = {
            name: value
            for name, value in check_env_vars(other.env_vars).items()
            if value is not None and launch.env.get(name) != value
        }
        argv = other.program_argv(launch.cwd)
        programs.append(_Program(argv, other, env, _passed(other)))
    for program in programs:
        if ":" in program.argv:
            raise UnsupportedError(
                f"{program.argv[0]!r} has the argument ':', which every MPI run command takes for "
                "the start of another program; put the command into a script and run that"
            )
    return programs


def _session(argv: Tokens) -> str:
    # The arguments hold the directory to run in, in which no two run the same at the same time.
    name = sha256("\0".join(argv).encode(errors="surrogateescape")).hexdigest()[:16]
    return f"{SYSTEM_TEMPORARY}/ompi-{name}"


def _passed(settings: RunSettings) -> tuple[str, ...]:
    return tuple(name for name, value in settings.env_vars.items() if value is None)


def _environment(launch: Launch) -> dict[str, str]:
    """The launcher's own variables. Values travel in it and only names stand on the command line:
    whatever a value holds arrives unchanged, and no other user of the host can read it.
    """
    passed = _passed(launch.settings)
    return {name: value for name, value in launch.env.items() if name not in passed}


def _seconds(programs: list[_Program]) -> str:
    """The limit of time of the job: the least that a program asks for; a limit of 0 is none."""
    limits = (program.settings.resources().walltime for program in programs)
    least = min((limit for limit in limits if limit), default=None)
    return str(math.ceil(least.total_seconds())) if least else ""


@dataclass(frozen=True, slots=True)
class _Translation:
    """Translates the settings of each program of one job.

    :param tasks: tasks of all programs together
    """

    dialect: Dialect
    facts: Facts
    cwd: str
    placement: Placement
    env: dict[str, str]
    tasks: int

    def options(self, program: _Program) -> list[tuple[str, Tokens]]:
        """``(setting, arguments)`` of one program, in order."""
        options = [self.option("wdir", self.cwd)]
        for tokens in self._variables(program):
            options.append(("env", tokens))
        settings = program.settings
        if isinstance(settings, MpiSettings):
            return [*options, *self._arguments(settings)]
        return [*options, ("literal", tuple(settings.format_run_args()))]

    def option(self, name: str, value: str) -> tuple[str, Tokens]:
        """One setting in this implementation's spelling."""
        spelt = self.dialect.options.get(name)
        if spelt is None:
            self._refuse(f"{name} ({SETTERS[name]})")
        return name, (spelt, value) if value else (spelt,)

    def _variables(self, program: _Program) -> Iterator[Tokens]:
        if self.dialect.export:
            names = dict.fromkeys((*self.env, *program.passed))
            yield from ((self.dialect.export, name) for name in names if name not in program.env)
        if program.env and not self.dialect.assign:
            self._refuse(f"variables of {program.argv[0]!r} alone ({', '.join(program.env)})")
        for name, value in program.env.items():
            if self.dialect.assign_parts == 2:
                yield (self.dialect.assign, name, value)
            else:
                yield (self.dialect.assign, f"{name}={value}")

    def _arguments(self, settings: MpiSettings) -> Iterator[tuple[str, Tokens]]:
        args = {name.lstrip("-"): value for name, value in check_options(settings.run_args).items()}
        _refuse_twice(args)
        for name in settings.reserved_run_args:
            args.pop(name, None)
        given = {name: args.pop(name) for name in SETTERS if name in args}
        known = {name: "" if value is None else str(value) for name, value in given.items()}
        known.pop("timeout", None)  # one for the whole job
        self._place(known, settings)
        self._bind(known)
        yield from (self.option(name, value) for name, value in known.items())
        yield from ((name, tuple(format_option(name, value))) for name, value in args.items())

    def _place(self, known: dict[str, str], settings: MpiSettings) -> None:
        """Settle which hosts: those of the user, those of a file in another implementation's form,
        or those of the placement."""
        hosts = [host for host in known.get("host", "").split(",") if host]
        file = settings.hostfile
        if "hostfile" in known and file is not None and file.given == known["hostfile"]:
            # A relative path would be looked for in the run directory.
            known["hostfile"] = file.path
            if file.style not in ("", self.dialect.hostfile_style):
                del known["hostfile"]
                hosts = [f"{name}:{slots}" if slots else name for name, slots in file.hosts]
        elif "hostfile" not in known and not hosts:
            hosts = list(self.placement.hosts)
            if not hosts and self.placement.first is not None and self.dialect.nth_host:
                hosts = [self.dialect.nth_host.format(self.placement.first)]
        if not hosts:
            return
        if self.dialect.fixed_slots and len(set(hosts)) == len(hosts):
            slots = self._slots(settings, len(hosts))
            hosts = [host if ":" in host or not slots else f"{host}:{slots}" for host in hosts]
        known["host"] = ",".join(hosts)

    def _slots(self, settings: MpiSettings, hosts: int) -> int:
        """Slots on each of several hosts that are enough; 0 if the number of tasks is left open."""
        wanted = settings.resources()
        share = 0 if wanted.tasks is None else math.ceil(self.tasks / hosts)
        return max(share, wanted.tasks_per_node or 0)

    def _bind(self, known: dict[str, str]) -> None:
        """Settle mapping and binding, which the implementations entangle differently."""
        cpus = known.get("cpus-per-proc")
        modifier = self.dialect.mapping == "modifier"
        if modifier and "map-by" in known and "npernode" in known:
            raise UnsupportedError(
                f"{self.dialect.title} takes one mapping, and tasks per node are one "
                f"(ppr:{known['npernode']}:node) besides map-by {known['map-by']}; leave out "
                "set_tasks_per_node or set_task_map"
            )
        if cpus and modifier:
            known["map-by"] = _with_cores(_policy(known), known.pop("cpus-per-proc"))
        elif cpus and self.dialect.mapping == "binding":
            binding = known.get("bind-to", "core")
            if binding not in ("core", "hwthread", "none"):
                self._refuse(f"cpus per task (set_cpus_per_task) bound to {binding}")
            del known["cpus-per-proc"]
            known["bind-to"] = binding if binding == "none" else f"{binding}:{cpus}"
        if self.placement.cpus and not {"bind-to", "map-by"} & known.keys():
            self._unbind(known)

    def _unbind(self, known: dict[str, str]) -> None:
        # Where others run on the same nodes, too: each of these jobs would bind its tasks to the
        # first cores of its nodes, and all of them to the same.
        if "bind-to" in self.dialect.options:
            known["bind-to"] = "none"

    def _refuse(self, setting: str) -> NoReturn:
        program = f"{self.facts.executable} {self.facts.version}".strip()
        raise UnsupportedError(
            f"{self.dialect.title} ({program}) has no way to say {setting}; leave it out, give "
            "this program's own argument in run_args, or use another MPI"
        )


def _refuse_twice(args: Mapping[str, object]) -> None:
    for first, second in _TWICE:
        if first in args and second in args:
            raise InputError(
                f"run_args has both {first}={args[first]} ({SETTERS[first]}) and "
                f"{second}={args[second]}; keep one"
            )


def _policy(known: dict[str, str]) -> str:
    if "npernode" in known:
        return f"ppr:{known.pop('npernode')}:node"
    return known.pop("map-by", "slot")


def _with_cores(policy: str, cpus: str) -> str:
    """Add cores for a task to a mapping, e.g. ``slot:PE=2`` or ``ppr:4:node:PE=2``; modifiers are
    separated by commas (mpirun(1))."""
    if "pe=" in policy.lower():
        raise InputError(
            f"map-by {policy} says itself how many cores a task has; leave out set_cpus_per_task"
        )
    fields = 3 if policy.lower().startswith("ppr:") else 1
    return f"{policy}{',' if policy.count(':') >= fields else ':'}PE={cpus}"


def _given_once(
    parts: list[list[tuple[str, Tokens]]], dialect: Dialect
) -> list[list[tuple[str, Tokens]]]:
    """Drop what an earlier program has said for all."""
    said: dict[str, Tokens] = {}
    kept = []
    for options in parts:
        kept.append(
            [(name, tokens) for name, tokens in options if name in _LOCAL or name not in said]
        )
        for name, tokens in options:
            if name not in _LOCAL and said.setdefault(name, tokens) != tokens:
                raise UnsupportedError(
                    f"{dialect.title} has one {name} for all programs of an MPI job, and they "
                    f"ask for {said[name][-1]!r} and {tokens[-1]!r}; give the same, or run them as "
                    "models of their own"
                )
    return kept
