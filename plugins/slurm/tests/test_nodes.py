from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.spec import Node
from smartcore_slurm.nodes import (
    Allocation,
    expand_counts,
    expand_hosts,
    from_environment,
    parse_gpus,
    parse_job,
    parse_memory,
)

MB = 2**20
# What "scontrol show job --details --oneliner" of 22.05.8 printed, without what matters nowhere.
SHOWN = (
    "JobId=3 JobName=no-shell UserId=root(0) JobState=RUNNING Reason=None NodeList=nid[001-003]"
    " NumNodes=3 NumCPUs=20 JOB_GRES=gpu:4 Nodes=nid[001-002] CPU_IDs=0-7 Mem=2000"
    " GRES=gpu:2(IDX:0-1) Nodes=nid003 CPU_IDs=0-1,4-5 Mem=1000 GRES= MinCPUsNode=2\n"
)
HETEROGENEOUS = (
    "JobId=6 HetJobId=6 HetJobOffset=0 JobName=x JobState=RUNNING Nodes=nid001 CPU_IDs=0 Mem=250"
    " GRES= MinCPUsNode=1\nJobId=7 HetJobId=6 HetJobOffset=1 JobName=x JobState=RUNNING"
    " Nodes=nid[002-003] CPU_IDs=0 Mem=250 GRES= MinCPUsNode=1\n"
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("nid001", ["nid001"]),
        ("a,b", ["a", "b"]),
        ("nid[001-003,007]", ["nid001", "nid002", "nid003", "nid007"]),
        ("nid[9-11],login1", ["nid9", "nid10", "nid11", "login1"]),
        ("r[1-2]n[3,5]x", ["r1n3x", "r1n5x", "r2n3x", "r2n5x"]),
    ],
)
def test_lists_of_nodes_are_expanded_in_order(text: str, names: list[str]) -> None:
    assert expand_hosts(text) == names


@pytest.mark.parametrize("text", ["a[", "a]", "a[1-]", "a,,b", "a[[1]]", "a[x]"])
def test_what_is_no_list_of_nodes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        expand_hosts(text)


@given(st.lists(st.integers(0, 99), min_size=1, max_size=20), st.integers(1, 4))
def test_every_number_in_brackets_is_one_node(numbers: list[int], width: int) -> None:
    texts = [f"{number:0{width}d}" for number in numbers]
    assert expand_hosts(f"n[{','.join(texts)}]") == [f"n{text}" for text in texts]


def test_counts_are_expanded() -> None:
    assert expand_counts("8(x3),4") == [8, 8, 8, 4]
    with pytest.raises(ValueError, match="no number"):
        expand_counts("many")


def test_amounts_are_megabytes_unless_they_say_otherwise() -> None:
    assert [parse_memory(text) for text in ("2000", "2000M", "4G", "1.5G", "8K")] == [
        2000 * MB,
        2000 * MB,
        4096 * MB,
        1536 * MB,
        8192,
    ]


def test_gpus_are_counted_whatever_their_type_and_place() -> None:
    texts = ("gpu:4(IDX:0-3)", "gpu:a100:2(IDX:0,3),nvme:1", "gres/gpu:3", "nvme:2", "")
    assert [parse_gpus(text) for text in texts] == [4, 2, 3, 0, 0]


def test_an_allocation_is_what_was_granted_on_each_node() -> None:
    assert parse_job("3", SHOWN) == Allocation(
        "3",
        "RUNNING",
        (
            Node("nid001", 8, 2, 2000 * MB),
            Node("nid002", 8, 2, 2000 * MB),
            Node("nid003", 4, 0, 1000 * MB),
        ),
    )


def test_components_of_a_heterogeneous_job_are_one_allocation() -> None:
    found = parse_job("6", HETEROGENEOUS)
    assert found is not None
    assert [node.name for node in found.nodes] == ["nid001", "nid002", "nid003"]


def test_an_answer_without_a_job_is_none() -> None:
    assert parse_job("3", "No jobs in the system\n") is None


def test_an_allocations_variables_say_its_nodes_without_any_command() -> None:
    found = from_environment(
        {
            "SLURM_JOB_ID": "3",
            "SLURM_JOB_NODELIST": "nid[001-002],big1",
            "SLURM_JOB_CPUS_PER_NODE": "8(x2),16",
            "SLURM_MEM_PER_CPU": "250",
        }
    )
    assert found is not None
    assert found.cpus == 32
    assert found.nodes[2] == Node("big1", 16, 0, 4000 * MB)


def test_outside_of_an_allocation_there_is_none_and_nonsense_has_no_nodes() -> None:
    assert from_environment({}) is None
    odd = from_environment({"SLURM_JOB_ID": "3", "SLURM_JOB_NODELIST": "a["})
    assert odd is not None
    assert odd.nodes == ()
