from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.error import InputError, InputTypeError, PathNotFoundError, UnsupportedError
from smartcore.spec import Resources, RunSettings, Singularity
from smartcore.spec.mpi import MpiSettings, read_hostfile


def mpi(exe: str = "sh", **arguments: object) -> MpiSettings:
    return MpiSettings(exe, fail_if_missing_exec=False, **arguments)  # type: ignore[arg-type]


FLAGS: list[tuple[Callable[[MpiSettings], None], list[str]]] = [
    (lambda s: s.set_nodes(2), []),
    (lambda s: s.set_tasks(8), ["--n", "8"]),
    (lambda s: s.set_tasks_per_node(4), ["--npernode", "4"]),
    (lambda s: s.set_cpus_per_task(3), ["--cpus-per-proc", "3"]),
    (lambda s: s.set_hostlist(["n1", "n2"]), ["--host", "n1,n2"]),
    (lambda s: s.set_hostlist_from_file("hf"), ["--hostfile", "hf"]),
    (lambda s: s.set_excluded_hosts(["n3"]), []),
    (lambda s: s.set_cpu_bindings([0, 1]), []),
    (lambda s: s.set_cpu_binding_type("core"), ["--bind-to", "core"]),
    (lambda s: s.set_task_map("node"), ["--map-by", "node"]),
    (lambda s: s.set_memory_per_node(1000), []),
    (lambda s: s.set_verbose_launch(True), ["--verbose"]),
    (lambda s: s.set_quiet_launch(True), ["--quiet"]),
    (lambda s: s.set_broadcast("/d"), ["--preload-binary"]),
    (lambda s: s.set_walltime("01:02:03"), ["--timeout", "01:02:03"]),
    (lambda s: s.set_time(1, 2, 3), ["--timeout", "3723"]),
    (lambda s: s.set_node_feature(["f1"]), []),
    (lambda s: s.set("x-y", "1"), ["--x-y", "1"]),
    (lambda s: s.set("k"), ["--k"]),
]


@pytest.mark.parametrize(("call", "flags"), FLAGS)
def test_each_setter_gives_its_flags(
    call: Callable[[MpiSettings], None], flags: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    settings = mpi()
    caplog.clear()
    call(settings)
    assert settings.format_run_args() == flags
    assert flags or "ignored" in caplog.text


def test_switches_can_be_taken_back() -> None:
    settings = mpi()
    for switch in (settings.set_verbose_launch, settings.set_quiet_launch):
        switch(True)
        switch(False)
    assert settings.format_run_args() == []


def test_a_missing_run_command_is_an_error_or_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(PathNotFoundError, match="'no-such-mpi' was not found on PATH"):
        MpiSettings("sh", run_command="no-such-mpi")
    assert mpi(run_command="no-such-mpi").run_command == "no-such-mpi"
    assert "'no-such-mpi' was not found" in caplog.text


def test_the_working_directory_is_not_the_users_to_set(caplog: pytest.LogCaptureFixture) -> None:
    settings = mpi(run_args={"wdir": "/x", "-wd": "/y", "np": 2})
    settings.set("wdir", "/z")
    assert caplog.text.count("set by smartcore itself") == 3
    assert settings.format_run_args() == ["--np", "2"]


def test_variables_are_spelt_with_x() -> None:
    settings = mpi(env_vars={"A": "1", "B": None, "C": "x,y"})
    assert settings.format_env_vars() == ["-x", "A=1", "-x", "B", "-x", "C=x,y"]


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_]+", fullmatch=True), st.text().filter(lambda t: "\0" not in t)
    )
)
def test_formatted_variables_read_as_themselves(variables: dict[str, str]) -> None:
    formatted = mpi(env_vars=variables).format_env_vars()
    assert formatted[::2] == ["-x"] * len(variables)
    assert dict(item.split("=", 1) for item in formatted[1::2]) == variables


def test_what_was_set_is_told_in_the_terms_of_all_launchers() -> None:
    settings = mpi()
    assert settings.resources() == Resources()
    settings.set_tasks(7)
    settings.set_tasks_per_node(2)
    settings.set_cpus_per_task(3)
    settings.set_walltime("00:10:00")
    assert settings.resources() == Resources(4, 7, 2, 3, walltime=timedelta(minutes=10))
    settings.set_hostlist("n1:2,n2")
    assert settings.resources().hosts == ("n1", "n2")
    assert settings.resources().nodes == 2


def test_a_limit_of_zero_is_none_and_a_bad_one_in_run_args_is_found() -> None:
    assert mpi(run_args={"timeout": 0}).resources().walltime is None
    with pytest.raises(InputError, match="walltime 'soon'"):
        mpi(run_args={"timeout": "soon"}).resources()
    with pytest.raises(InputError, match="walltime 'soon'"):
        mpi().set_walltime("soon")


@pytest.mark.parametrize(
    ("text", "hosts", "style"),
    [
        ("# nodes\nn1 slots=4 max_slots=8\n\nn2\n", (("n1", 4), ("n2", 0)), "slots="),
        ("n1:4 # first\nn2:2\n", (("n1", 4), ("n2", 2)), ":"),
        ("n1\nn2\n", (("n1", 0), ("n2", 0)), ""),
    ],
)
def test_a_file_of_hosts_is_read_in_both_forms(
    text: str, hosts: tuple[tuple[str, int], ...], style: str, tmp_path: Path
) -> None:
    path = tmp_path / "hosts"
    path.write_text(text)
    read = read_hostfile(str(path))
    assert read is not None
    assert (read.hosts, read.style, read.path) == (hosts, style, str(path))
    settings = mpi()
    settings.set_hostlist_from_file(str(path))
    assert settings.resources().hosts == ("n1", "n2")


def test_programs_of_one_job_are_copied() -> None:
    settings, other = mpi(), mpi("env")
    settings.make_mpmd(other)
    other.set_tasks(4)
    assert [program.run_args for program in settings.mpmd] == [{}]
    assert "Together with" in str(settings)
    for twin in (copy.deepcopy(settings), pickle.loads(pickle.dumps(settings))):
        assert twin.mpmd[0].exe == settings.mpmd[0].exe


def test_programs_that_cannot_share_a_job_are_refused() -> None:
    settings = mpi()
    with pytest.raises(UnsupportedError, match="container"):
        settings.make_mpmd(RunSettings("sh", container=Singularity("i")))
    nested = mpi()
    nested.make_mpmd(mpi())
    with pytest.raises(UnsupportedError, match="further programs itself"):
        settings.make_mpmd(nested)
    with pytest.raises(InputTypeError, match="takes run settings, not str"):
        settings.make_mpmd("sh")  # type: ignore[arg-type]
