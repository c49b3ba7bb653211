from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from smartcore.error import InputError, InputTypeError, UnsupportedError
from smartcore.spec import Resources, RunSettings, Singularity
from smartcore_slurm.settings import SrunSettings, fmt_walltime

Change = Callable[[SrunSettings], None]


def srun(**arguments: object) -> SrunSettings:
    return SrunSettings("sh", **arguments)  # type: ignore[arg-type]


# The flags that users of SmartSim know.
FLAGS: list[tuple[Change, list[str]]] = [
    (lambda s: s.set_nodes(2), ["--nodes=2"]),
    (lambda s: s.set_tasks(8), ["--ntasks=8"]),
    (lambda s: s.set_tasks_per_node(4), ["--ntasks-per-node=4"]),
    (lambda s: s.set_cpus_per_task(3), ["--cpus-per-task=3"]),
    (lambda s: s.set_hostlist(["n1", "n2"]), ["--nodelist=n1,n2"]),
    (lambda s: s.set_hostlist("n[1-4]"), ["--nodelist=n[1-4]"]),
    (lambda s: s.set_hostlist_from_file("hf"), ["--nodefile=hf"]),
    (lambda s: s.set_excluded_hosts(["n3", "n4"]), ["--exclude=n3,n4"]),
    (lambda s: s.set_cpu_bindings([0, 1]), ["--cpu_bind=map_cpu:0,1"]),
    (lambda s: s.set_cpu_bindings(2), ["--cpu_bind=map_cpu:2"]),
    (lambda s: s.set_memory_per_node(1000), ["--mem=1000M"]),
    (lambda s: s.set_verbose_launch(True), ["--verbose"]),
    (lambda s: s.set_quiet_launch(True), ["--quiet"]),
    (lambda s: s.set_broadcast("/d"), ["--bcast=/d"]),
    (lambda s: s.set_broadcast(), ["--bcast"]),
    (lambda s: s.set_walltime("01:02:03"), ["--time=01:02:03"]),
    (lambda s: s.set_walltime("90"), ["--time=00:01:30"]),
    (lambda s: s.set_time(1, 2, 3), ["--time=01:02:03"]),
    (lambda s: s.set_node_feature(["f1", "f2"]), ["-C", "f1,f2"]),
    (lambda s: s.set_gpus_per_node(2), ["--gpus-per-node=2"]),
    (lambda s: s.set_mpi_type("pmix"), ["--mpi=pmix"]),
    (lambda s: s.set_task_map("cyclic"), ["--distribution=cyclic"]),
    (lambda s: s.set("exclusive"), ["--exclusive"]),
    (lambda s: s.set("p", "debug"), ["-p", "debug"]),
]


@pytest.mark.parametrize(("change", "flags"), FLAGS, ids=str)
def test_each_method_has_its_flag(change: Change, flags: list[str]) -> None:
    settings = srun()
    change(settings)
    assert settings.format_run_args() == flags


BAD: list[tuple[Change, str]] = [
    (lambda s: s.set_nodes(0), "nodes"),
    (lambda s: s.set_tasks("8"), "tasks"),  # type: ignore[arg-type]
    (lambda s: s.set_tasks_per_node(-1), "tasks_per_node"),
    (lambda s: s.set_cpus_per_task(1.5), "cpus_per_task"),  # type: ignore[arg-type]
    (lambda s: s.set_gpus_per_node(True), "gpus_per_node"),
    (lambda s: s.set_hostlist("n[1-"), "n\\[1-"),
    (lambda s: s.set_excluded_hosts([]), "host_list"),
    (lambda s: s.set_cpu_bindings(["0"]), "bindings"),  # type: ignore[list-item]
    (lambda s: s.set_walltime("soon"), "walltime"),
    (lambda s: s.set_quiet_launch(1), "quiet"),  # type: ignore[arg-type]
    (lambda s: s.set_het_group("0"), "het_group"),  # type: ignore[arg-type]
    (lambda s: setattr(s, "alloc", "x; rm"), "alloc"),
]


@pytest.mark.parametrize(("change", "name"), BAD, ids=str)
def test_bad_input_is_refused_by_name(change: Change, name: str) -> None:
    with pytest.raises((InputError, InputTypeError), match=name):
        change(srun())


@pytest.mark.parametrize("name", ["D", "chdir", "J", "job-name"])
def test_what_smartcore_says_itself_is_refused_with_a_warning(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = srun(run_args={name: "x"})
    settings.set(f"--{name}", "y")
    assert settings.format_run_args() == []
    assert "smartcore itself" in caplog.text


def test_resources_are_read_whichever_way_they_were_given() -> None:
    settings = srun(run_args={"N": 2, "n": 8, "c": "3", "t": "00:10:00", "w": "n[1-2]", "x": "n9"})
    settings.set("gres", "gpu:a100:2")
    settings.set("mem", "4G")
    assert settings.resources() == Resources(
        nodes=2,
        tasks=8,
        cpus_per_task=3,
        gpus_per_node=2,
        memory_per_node=4 * 2**30,
        walltime=timedelta(minutes=10),
        hosts=("n1", "n2"),
        excluded_hosts=("n9",),
    )


@pytest.mark.parametrize(("given", "seconds"), [("5", 300), ("1:30", 90), ("UNLIMITED", None)])
def test_times_of_arguments_are_read_as_srun_does(given: str, seconds: int | None) -> None:
    found = srun(run_args={"time": given}).resources().walltime
    assert found == (None if seconds is None else timedelta(seconds=seconds))


def test_nodes_follow_from_tasks_or_hosts(tmp_path: Path) -> None:
    settings = srun()
    settings.set_tasks(9)
    settings.set_tasks_per_node(4)
    assert settings.resources().nodes == 3
    hosts = tmp_path / "hosts"
    hosts.write_text("n[1-2]\nn7,n8\n")
    listed = srun()
    listed.set_hostlist_from_file(str(hosts))
    assert listed.resources().hosts == ("n1", "n2", "n7", "n8")
    assert listed.resources().nodes == 4


def test_an_allocation_is_given_in_either_way() -> None:
    assert srun(alloc="777").allocation == "777"
    assert srun(run_args={"jobid": 778}).allocation == "778"
    assert srun().allocation == ""


def test_variables_are_shown_as_users_know_them() -> None:
    settings = srun(env_vars={"A": "1", "B": None, "C": "x,y"})
    assert settings.format_env_vars() == ["A=1", "B", "C=x,y"]
    assert settings.format_comma_sep_env_vars() == ("A=1,B,C", ["C=x,y"])


def test_a_variable_that_the_driver_has_otherwise_is_warned_of_without_its_value(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("KEY", "theirs")
    srun(env_vars={"KEY": "secret"}).check_env_vars()
    assert "KEY" in caplog.text
    assert "secret" not in caplog.text
    caplog.clear()
    srun(env_vars={"KEY": "theirs"}).check_env_vars()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_programs_are_joined_and_copied() -> None:
    settings, other = srun(), srun()
    settings.make_mpmd(other)
    other.set_tasks(9)
    assert settings.mpmd[0].resources().tasks is None


def test_what_cannot_be_one_of_several_programs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputTypeError, match="RunSettings"):
        srun().make_mpmd(RunSettings("sh"))
    with pytest.raises(UnsupportedError, match="container"):
        srun().make_mpmd(SrunSettings("sh", container=Singularity("image.sif")))
    nested = srun()
    nested.make_mpmd(srun())
    with pytest.raises(UnsupportedError, match="itself"):
        srun().make_mpmd(nested)
    monkeypatch.setenv("SLURM_HET_SIZE", "2")
    with pytest.raises(ValueError, match="heterogeneous"):
        srun().make_mpmd(srun())


def test_groups_are_for_heterogeneous_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_HET_SIZE", raising=False)
    with pytest.raises(ValueError, match="SLURM_HET_SIZE"):
        srun().set_het_group([0])
    monkeypatch.setenv("SLURM_HET_SIZE", "2")
    settings = srun()
    settings.set_het_group([0, 1])
    assert settings.format_run_args() == ["--het-group=0,1"]
    with pytest.raises(ValueError, match="0 to 1"):
        settings.set_het_group([2])


def test_walltimes_are_written_as_slurm_takes_them() -> None:
    assert fmt_walltime(1, 90, 61) == "02:31:01"
