from __future__ import annotations

from pathlib import Path

import pytest

from smartcore.spec import Command, Node, Resources, Step, Tag
from smartcore_slurm.fitting import (
    misfit,
    missing_directory,
    parse_features,
    read_line,
    unknown_feature,
)
from smartcore_slurm.nodes import Allocation

MB = 2**20
ALLOCATION = Allocation("7", "RUNNING", (Node("a", 8, 2, 2000 * MB), Node("b", 4, 0, 1000 * MB)))


def step(resources: Resources, *options: str) -> Step:
    path = Path("/x")
    command = Command(("srun", *options, "true"))
    return Step("m", Tag("m-1"), command, path, path / "o", path / "e", resources)


def obstacle(resources: Resources, *options: str) -> str:
    one = step(resources, *options)
    return misfit(one, read_line(one.command.argv), ALLOCATION)


def test_options_end_where_the_program_begins() -> None:
    line = read_line(["srun", "--jobid=7", "-oout", "-N2", "--overlap", "sh", "--error=x"])
    assert line.options == {"jobid": "7", "output": "out", "nodes": "2", "overlap": ""}
    assert line.allocation == "7"


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (Resources(nodes=3), "needs 3 nodes"),
        (Resources(hosts=("a", "c")), "c is not in"),
        (Resources(nodes=2, excluded_hosts=("b",)), "has 1 for it"),
        (Resources(tasks=13), "13 CPUs"),
        (Resources(cpus_per_task=9), "at most 8"),
        (Resources(tasks_per_node=5, hosts=("b",)), "5 CPUs on a node"),
        (Resources(gpus_per_node=3), "3 GPUs"),
        (Resources(memory_per_node=3000 * MB), "3000 MB"),
    ],
)
def test_what_is_larger_than_the_allocation_is_told(resources: Resources, words: str) -> None:
    assert words in obstacle(resources)


@pytest.mark.parametrize(
    "resources",
    [
        Resources(),
        Resources(nodes=2, tasks=12),
        Resources(cpus_per_task=8),
        Resources(gpus_per_node=2, memory_per_node=2000 * MB),
        Resources(hosts=("b",)),
    ],
)
def test_what_fits_is_no_obstacle(resources: Resources) -> None:
    assert obstacle(resources) == ""


def test_who_wants_more_tasks_than_cpus_may_say_so() -> None:
    assert obstacle(Resources(tasks=100), "--overcommit") == ""


def test_of_an_allocation_of_which_nothing_is_known_nothing_is_said() -> None:
    one = step(Resources(nodes=99))
    assert misfit(one, read_line(one.command.argv), Allocation("7")) == ""


def test_files_of_srun_need_their_directory(tmp_path: Path) -> None:
    def check(option: str) -> str:
        return missing_directory(read_line(["srun", option, "true"]), tmp_path)

    for good in ("--output=x", "-o/tmp/x", "--error=none", "--input=0", "--output=%j/x", "-N2"):
        assert check(good) == ""
    for bad in ("--output=no/x", "-eno/x", f"--error={tmp_path}/no/x", "--chdir=no"):
        assert "is no directory" in check(bad)


def test_a_feature_that_no_node_has_is_told() -> None:
    nodes = parse_features(
        "NodeName=a Arch=x86_64 AvailableFeatures=sim,odd ActiveFeatures=sim,odd Gres=gpu:4\n"
        "NodeName=b Arch=x86_64 AvailableFeatures=(null) ActiveFeatures=(null) Gres=\n"
    )
    assert nodes == {"a": {"sim", "odd"}, "b": set()}
    assert unknown_feature("odd", "7", nodes.values()) == ""
    assert "the feature even" in unknown_feature("even", "7", nodes.values())
    for several in ("sim,odd", "sim&odd", "sim|odd"):
        assert "one feature only" in unknown_feature(several, "7", nodes.values())
