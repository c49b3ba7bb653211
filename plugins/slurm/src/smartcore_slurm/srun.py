"""The command line of srun."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from smartcore.error import InputError, UnsupportedError
from smartcore.spec import (
    Command,
    Facts,
    File,
    Launch,
    LocalRank,
    Placement,
    RunCommand,
    RunSettings,
)
from smartcore.spec.values import ArgValue, check_env_vars, check_options

from .srun_settings import SHORT, SrunSettings

# "slurm 22.05.8", "slurm-wlm 22.05.8" as Debian has it
_VERSION = re.compile(r"^slurm(?:-wlm)? (\d+\.\S+)", re.MULTILINE)
# What a user may say about how steps share CPUs; then nothing is added.
_SHARING = ("overlap", "exact", "exclusive", "whole", "oversubscribe")
_LAYOUT = ("nodes", "ntasks", "ntasks-per-node", "nodelist", "nodefile", "distribution")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Reads the variables of one program of several from a file that only its owner may read.
_WITH_FILE = '. "$0" && exec "$@"'


class Srun(RunCommand):
    """Builds ``srun [options] program``.

    How steps share the CPUs of an allocation is always said, because srun's default is that each
    waits for the CPUs of the others, retrying in silence:

    - With a plan, which gives every step cores of its own: ``--exact``, so that Slurm enforces it,
      on the nodes of the plan. ``--mem=0 --gres=none`` keep a step that asked for neither from
      taking all memory and all GPUs of its nodes, for which the next would wait.
    - Without one: ``--overlap``. Every step starts at once, whatever else runs: a consumer is never
      kept waiting for its producer, nor a model for its database. ``cpus-per-task`` still limits a
      step to so many CPUs, which another step may use, too.

    Number of nodes and tasks are always said: what the allocation was made for is in variables
    that srun would otherwise read, differently from version to version.
    """

    node_variable = "SLURMD_NODENAME"
    rank_variables: tuple[str, ...] = ("SLURM_PROCID",)
    ends_together: Mapping[str, str] = {"kill-on-bad-exit": "1"}
    # srun(1), "OUTPUT ENVIRONMENT VARIABLES": SLURM_GTIDS has the ids of the node's tasks.
    local_ranks: tuple[LocalRank, ...] = (LocalRank("SLURM_LOCALID", listed="SLURM_GTIDS"),)

    def facts(self, executable: str, output: str, /) -> Facts:
        match = _VERSION.search(output)
        return Facts(executable, "slurm", match[1]) if match else Facts(executable)

    def build(self, launch: Launch, placement: Placement, facts: Facts, /) -> Command:
        programs = list(_programs(launch))
        exported = [name for program in programs for name in program.shared]
        argv: list[str] = [facts.executable]
        files: list[File] = []
        for index, program in enumerate(programs):
            argv += [":"] if index else []
            # One word each, so that it is plain where the program begins.
            options = _options(program.settings, placement, exported, alone=len(programs) == 1)
            argv += [_word(name, value) for name, value in options.items()]
            argv += program.argv
            files += program.files
        passed = {name for name, value in launch.settings.env_vars.items() if value is None}
        env: dict[str, str] = {}
        for program in programs:
            env |= program.shared
        env = {name: value for name, value in env.items() if name not in passed}
        return Command(tuple(argv), env, files=tuple(files))


@dataclass(frozen=True, slots=True)
class _Program:
    """One of the programs of a step.

    :param shared: its variables, which can be in srun's own environment
    :param files: those that cannot, since another program has another value
    """

    argv: tuple[str, ...]
    settings: RunSettings
    shared: Mapping[str, str]
    files: tuple[File, ...] = ()


def _programs(launch: Launch) -> Iterator[_Program]:
    taken = dict(launch.env)
    yield _checked(_Program(launch.argv, launch.settings, launch.env))
    for index, other in enumerate(launch.settings.mpmd, start=1):
        env = {k: v for k, v in check_env_vars(other.env_vars).items() if v is not None}
        own = {name: value for name, value in env.items() if taken.get(name, value) != value}
        shared = {name: value for name, value in env.items() if name not in own}
        taken |= shared
        argv = other.program_argv(launch.cwd)
        files: tuple[File, ...] = ()
        if own:
            path = launch.cwd / f".srun-{index}-{Path(other.exe).name}.env"
            argv = ("/bin/sh", "-c", _WITH_FILE, str(path), *argv)
            files = (File(path, _assignments(own)),)
        yield _checked(_Program(argv, other, shared, files))


def _checked(program: _Program) -> _Program:
    if ":" in program.argv:
        raise UnsupportedError(
            f"{program.argv[0]!r} has the argument ':', which srun takes for the start of another"
            " program; put the command into a script and run that"
        )
    return program


def _assignments(variables: Mapping[str, str]) -> str:
    wrong = [name for name in variables if not _NAME.fullmatch(name)]
    if wrong:
        raise UnsupportedError(
            f"environment variable {wrong[0]!r} has another value for another program of the step,"
            " and no shell can set it; run the programs as models of their own"
        )
    return "".join(f"export {name}={quote(value)}\n" for name, value in variables.items())


def _word(name: str, value: ArgValue) -> str:
    if value is None or value == "":
        return f"-{name}" if len(name) == 1 else f"--{name}"
    return f"-{name}{value}" if len(name) == 1 else f"--{name}={value}"


def _options(
    settings: RunSettings, placement: Placement, exported: list[str], *, alone: bool
) -> dict[str, ArgValue]:
    given = _given(settings)
    made: dict[str, ArgValue] = {}
    allocation = settings.allocation if isinstance(settings, SrunSettings) else ""
    if allocation or placement.allocation:
        made["jobid"] = allocation or placement.allocation
    made["export"] = _export(given.pop("export", "ALL"), exported)
    if placement.cpus and alone:
        made |= _planned(placement, given)
    else:
        # Several programs of one step share no node: srun refuses that, and knows which are left.
        made |= _unplanned(settings, placement if alone else Placement(), given)
    given.pop("jobid", None)
    return made | {name: value for name, value in given.items() if name not in made}


def _given(settings: RunSettings) -> dict[str, ArgValue]:
    """What the user gave, by long names where there are several."""
    given: dict[str, ArgValue] = {}
    for name, value in check_options(settings.run_args).items():
        plain = name.lstrip("-")
        if plain in settings.reserved_run_args or plain in SrunSettings.reserved_run_args:
            continue
        long = {"cpu_bind": "cpu-bind", **SHORT}.get(plain, plain)
        if long in given and given[long] != value:
            raise InputError(
                f"run_args has both {long}={given[long]} and {plain}={value}; keep one"
            )
        given[long] = value
    return given


def _export(value: ArgValue, names: list[str]) -> str:
    # Names only: srun cuts values at commas, and every user of the host can read command lines.
    text = str(value or "ALL")
    words = text.split(",")
    if words[0] == "ALL":
        return text
    more = [name for name in dict.fromkeys(names) if name not in words]
    return ",".join([*(word for word in words if word != "NONE" or not more), *more])


def _planned(placement: Placement, given: dict[str, ArgValue]) -> dict[str, ArgValue]:
    tasks = placement.tasks or (1,) * len(placement.hosts)
    for name in (*_LAYOUT, *_SHARING, "exclude", "cpus-per-task"):
        given.pop(name, None)
    made: dict[str, ArgValue] = {
        "exact": None,
        "nodes": len(placement.hosts),
        "ntasks": sum(tasks),
        "cpus-per-task": max(1, placement.cpus[0] // tasks[0]),
    }
    if len(set(tasks)) == 1:
        made |= {"ntasks-per-node": tasks[0], "nodelist": ",".join(placement.hosts)}
    else:
        # One name for each task, in order (srun(1), --distribution).
        names = [
            host for host, count in zip(placement.hosts, tasks, strict=True) for _ in range(count)
        ]
        made |= {"distribution": "arbitrary", "nodelist": ",".join(names)}
    if not {"mem", "mem-per-cpu", "mem-per-gpu"} & given.keys():
        made["mem"] = 0
    if not any(name.startswith(("gpus", "gres")) for name in given):
        made["gres"] = "none"
    return made


def _unplanned(
    settings: RunSettings, placement: Placement, given: dict[str, ArgValue]
) -> dict[str, ArgValue]:
    made: dict[str, ArgValue] = {}
    if not any(name in given for name in _SHARING):
        made["overlap"] = None
    wanted = settings.resources()
    # A group, or a file that cannot be read, says itself which nodes.
    if "het-group" in given or ("nodefile" in given and not wanted.hosts):
        return made
    if placement.hosts and "nodefile" not in given:
        given.setdefault("nodelist", ",".join(placement.hosts))
    if placement.first is not None and not {"relative", "nodelist", "nodefile"} & given.keys():
        made["relative"] = placement.first  # of the nodes that the job will have
    hosts = wanted.hosts or placement.hosts
    tasks, per_node = wanted.tasks, wanted.tasks_per_node
    nodes = wanted.nodes or len(hosts) or None
    if "nodes" not in given:
        # Of tasks alone nobody said where: on as many nodes as there are, if each gets one.
        made["nodes"] = nodes or (f"1-{tasks}" if tasks and tasks > 1 else 1)
    if "ntasks" not in given:
        made["ntasks"] = (nodes or 1) * (per_node or 1)
    return made
