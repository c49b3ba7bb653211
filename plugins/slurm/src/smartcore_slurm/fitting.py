"""What is refused before a step starts, because srun would wait for ever or leave a step behind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from smartcore.spec import Node, Resources, Step

from .nodes import Allocation
from .srun_settings import SHORT

_FILES = ("output", "error", "input", "chdir")
_FEATURE = re.compile(r"[A-Za-z0-9_.-]+")
_OVER = ("overcommit", "oversubscribe", "use-min-nodes")


@dataclass(frozen=True, slots=True)
class Line:
    """The options of a command line of srun, by their long names.

    :param options: the first program's
    """

    options: Mapping[str, str]

    @property
    def allocation(self) -> str:
        """The allocation that it names; empty if none."""
        return self.options.get("jobid", "")


def read_line(argv: Sequence[str]) -> Line:
    """Read the options before the program; an option and its value are one word."""
    options = {}
    for word in argv[1:]:
        if not word.startswith("-"):
            break
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
        else:
            name, value = SHORT.get(word[1:2], word[1:2]), word[2:]
        options[name] = value
    return Line(options)


def missing_directory(line: Line, cwd: Path) -> str:
    """Which file of srun's own has no directory; empty if none.

    Of ``srun --output /missing/x`` the step stays RUNNING and holds its CPUs until the allocation
    ends, though srun returns at once.
    """
    for name in _FILES:
        value = line.options.get(name, "")
        if not value or value in ("none", "all") or value.isdigit():
            continue
        path = cwd / value
        directory = path if name == "chdir" else path.parent
        # "%j" and the like are filled in by srun.
        if "%" not in str(directory) and not directory.is_dir():
            return f"--{name}={value}: {directory} is no directory; create it first"
    return ""


def misfit(step: Step, line: Line, allocation: Allocation) -> str:
    """Why a step can never run in an allocation; empty if nothing speaks against it."""
    nodes = {node.name: node for node in allocation.nodes}
    if not nodes:
        return ""
    wanted = step.resources
    where = f"allocation {allocation.id}"
    unknown = [host for host in wanted.hosts if host not in nodes]
    if unknown:
        return f"{', '.join(unknown)} is not in {where} ({', '.join(nodes)})"
    usable = [
        node
        for name, node in nodes.items()
        if name not in wanted.excluded_hosts and (not wanted.hosts or name in wanted.hosts)
    ]
    if len(usable) < (wanted.nodes or 1):
        return f"it needs {wanted.nodes or 1} nodes, and {where} has {len(usable)} for it"
    return _too_large(wanted, line, usable, where)


def _too_large(wanted: Resources, line: Line, usable: Sequence[Node], where: str) -> str:
    cpus = wanted.cpus_per_task or 1
    largest = max(node.cpus for node in usable)
    total = sum(node.cpus for node in usable)
    over = any(name in line.options for name in _OVER)
    if cpus > largest > 0:
        return f"a task needs {cpus} CPUs, and {where} has at most {largest} on a node"
    if (wanted.tasks or 1) * cpus > total > 0 and not over:
        return f"it needs {(wanted.tasks or 1) * cpus} CPUs, and {where} has {total} for it"
    if (wanted.tasks_per_node or 1) * cpus > largest > 0 and not over:
        needed = (wanted.tasks_per_node or 1) * cpus
        return f"it needs {needed} CPUs on a node, and {where} has at most {largest} on one"
    gpus = max(node.gpus for node in usable)
    if (wanted.gpus_per_node or 0) > gpus:
        return f"it needs {wanted.gpus_per_node} GPUs on a node, and {where} has at most {gpus}"
    memory = max(node.memory or 0 for node in usable)
    if (wanted.memory_per_node or 0) > memory > 0:
        return (
            f"it needs {(wanted.memory_per_node or 0) // 2**20} MB on a node, and {where} has at"
            f" most {memory // 2**20} MB"
        )
    return ""


def wanted_feature(line: Line) -> str:
    """The feature that the nodes of a step must have; empty if it asked for none."""
    return line.options.get("constraint", "")


def unknown_feature(wanted: str, allocation: str, features: Iterable[set[str]]) -> str:
    """Why no node can serve a step that wants a feature, for which srun would wait for ever.

    Of more than one feature srun (22.05) finds no node of an allocation, though sbatch does.
    """
    if not _FEATURE.fullmatch(wanted):
        return (
            f"a step can ask for one feature only, and not for {wanted!r}; name its nodes with"
            " set_hostlist"
        )
    if not any(wanted in has for has in features):
        return f"no node of allocation {allocation} has the feature {wanted}"
    return ""


def parse_features(output: str) -> dict[str, set[str]]:
    """Features of each node, from ``scontrol show node --oneliner``."""
    found = {}
    for line in output.splitlines():
        fields = dict(word.partition("=")[::2] for word in line.split())
        if "NodeName" in fields:
            features = fields.get("ActiveFeatures", "(null)")
            found[fields["NodeName"]] = set(features.split(",")) - {"(null)", ""}
    return found
