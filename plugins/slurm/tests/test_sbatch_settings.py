from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from smartcore.error import InputError, InputTypeError
from smartcore_slurm.sbatch_settings import SbatchSettings


def test_every_setter_gives_its_option() -> None:
    settings = SbatchSettings(nodes=2, time="01:00:00", account="acc")
    settings.set_partition("debug")
    settings.set_cpus_per_task(3)
    settings.set_hostlist(["n1", "n2"])
    assert settings.format_batch_args() == [
        "--nodes=2",
        "--time=01:00:00",
        "--account=acc",
        "--partition=debug",
        "--cpus-per-task=3",
        "--nodelist=n1,n2",
    ]


def test_a_queue_is_a_partition() -> None:
    settings = SbatchSettings(queue="first")
    settings.set_queue("second")
    assert settings.format_batch_args() == ["--partition=second"]


def test_arguments_are_given_as_they_are() -> None:
    settings = SbatchSettings(batch_args={"exclusive": None, "C": "sim", "k": "", "qos": "a b"})
    assert settings.format_batch_args() == ["--exclusive", "-C", "sim", "-k", "--qos=a b"]


def test_a_setter_replaces_what_was_given_by_another_name() -> None:
    settings = SbatchSettings(batch_args={"N": "9", "p": "x"})
    settings.set_nodes(2)
    settings.set_partition("y")
    assert settings.format_batch_args() == ["--nodes=2", "--partition=y"]


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ("01:02:03", "01:02:03"),
        ("1-02:03:04", "26:03:04"),
        ("90", "00:01:30"),
        ("10:30", "00:10:30"),
        ("100:00:00", "100:00:00"),
    ],
)
def test_walltimes(given: str, option: str) -> None:
    settings = SbatchSettings(time=given)
    assert settings.format_batch_args() == [f"--time={option}"]


@pytest.mark.parametrize("name", ["wait", "W", "wrap", "--test-only", "clusters", "M"])
def test_what_would_make_something_else_of_the_job_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=name):
        SbatchSettings(batch_args={name: None})
    settings = SbatchSettings()
    settings.batch_args[name] = None
    with pytest.raises(InputError, match=name):
        settings.format_batch_args()


@pytest.mark.parametrize(
    "call",
    [
        lambda: SbatchSettings(nodes=0),
        lambda: SbatchSettings(time="soon"),
        lambda: SbatchSettings(account="-x"),
        lambda: SbatchSettings().set_partition("a b"),
        lambda: SbatchSettings().set_hostlist([]),
        lambda: SbatchSettings().set_cpus_per_task(0),
        lambda: SbatchSettings(batch_args={"array": "1-3"}),
    ],
)
def test_bad_values_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(InputError):
        call()


def test_bad_types_are_refused() -> None:
    with pytest.raises(InputTypeError):
        SbatchSettings(nodes="2")  # type: ignore[arg-type]
    with pytest.raises(InputTypeError):
        SbatchSettings(batch_args={"nodes": True})  # type: ignore[dict-item]


def test_resources_are_what_slurm_would_read() -> None:
    settings = SbatchSettings(
        nodes=2,
        batch_args={
            "n": "8",
            "ntasks-per-node": "4",
            "c": "3",
            "gres": "nvme:1,gpu:a100:2",
            "mem": "4G",
            "t": "90",
            "w": "nid[001-002]",
            "exclude": "nid004",
        },
    )
    found = settings.job_resources()
    assert (found.nodes, found.tasks, found.tasks_per_node, found.cpus_per_task) == (2, 8, 4, 3)
    assert (found.gpus_per_node, found.memory_per_node) == (2, 4 * 2**30)
    assert found.walltime == timedelta(minutes=90)
    assert found.hosts == ("nid001", "nid002")
    assert found.excluded_hosts == ("nid004",)


@pytest.mark.parametrize(
    ("time", "seconds"),
    [("5", 300), ("1:30", 90), ("1:00:01", 3601), ("1-1", 90000), ("1-0:0:1", 86401), ("x", None)],
)
def test_times_of_arguments_are_read_as_sbatch_does(time: str, seconds: int | None) -> None:
    found = SbatchSettings(batch_args={"time": time}).job_resources().walltime
    assert found == (None if seconds is None else timedelta(seconds=seconds))


def test_resources_that_are_left_to_slurm_are_not_told() -> None:
    args: dict[str, str | None] = {
        "nodes": "2-4",
        "mem": "0",
        "gpus-per-node": "a100:2",
        "w": "./f[",
    }
    found = SbatchSettings(batch_args=args).job_resources()
    assert (found.nodes, found.memory_per_node, found.hosts) == (None, None, ())
    assert found.gpus_per_node == 2
