from __future__ import annotations

import copy
import inspect
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcore.error import InputError, InputTypeError, PathNotFoundError
from smartcore.spec import Resources, RunSettings, Singularity

ARGUMENT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def program(directory: Path, name: str = "solver", mode: int = 0o755) -> Path:
    path = directory / name
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def test_a_name_on_path_becomes_absolute() -> None:
    assert RunSettings("sh").exe.startswith("/")


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    link = tmp_path / "alias"
    link.symlink_to(program(tmp_path))
    assert RunSettings(str(link)).exe == str(link)


def test_a_relative_path_is_taken_from_the_current_directory_and_not_from_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "sh")
    monkeypatch.chdir(tmp_path)
    assert RunSettings("./sh").exe == str(tmp_path / "sh")
    assert RunSettings("sh").exe != str(tmp_path / "sh")


def test_a_name_that_is_only_in_the_current_directory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "a-solver-of-mine")
    monkeypatch.chdir(tmp_path)
    assert RunSettings("a-solver-of-mine").exe == str(tmp_path / "a-solver-of-mine")


def test_a_missing_executable_is_named_with_advice(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match=r"'no-such-program' was not found on PATH.*module"):
        RunSettings("no-such-program")
    with pytest.raises(PathNotFoundError, match=f"as '{tmp_path}/x'"):
        RunSettings(f"{tmp_path}/x")
    with pytest.raises(PathNotFoundError, match="is a directory"):
        RunSettings(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        RunSettings("~nobody-of-that-name/solver")


def test_a_file_that_may_not_be_executed_is_a_type_error(tmp_path: Path) -> None:
    with pytest.raises(InputTypeError, match=r"is not executable; try chmod \+x"):
        RunSettings(str(program(tmp_path, mode=0o644)))


def test_an_executable_that_is_no_text_is_a_type_error() -> None:
    with pytest.raises(InputTypeError, match="exe must be text, not int: 3"):
        RunSettings(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="exe is empty"):
        RunSettings(" ")


def test_in_a_container_the_executable_is_not_looked_for() -> None:
    assert RunSettings("solver", container=Singularity("image.sif")).exe == "solver"
    with pytest.raises(InputTypeError, match="container must be a Container"):
        RunSettings("sh", container="image.sif")  # type: ignore[arg-type]


def test_the_program_is_given_inside_its_container() -> None:
    plain = RunSettings("sh", ["a b"])
    assert plain.program_argv(Path("/run")) == (plain.exe, "a b")
    contained = RunSettings("solver", "-x", container=Singularity("image.sif"))
    assert contained.program_argv(Path("/run"), container_runtime="apptainer") == (
        *("apptainer", "exec", "--pwd", "/run", "--bind", "/run", "image.sif", "solver", "-x"),
    )


def test_inputs_are_copied() -> None:
    arguments, run_args, variables = ["a"], {"np": 2}, {"A": "1"}
    made = RunSettings("sh", arguments, "", run_args, variables)
    arguments.append("b")
    run_args["np"] = 3
    variables["A"] = "2"
    assert (made.exe_args, made.run_args, made.env_vars) == (["a"], {"np": 2}, {"A": "1"})


def test_settings_can_be_copied_and_pickled() -> None:
    made = RunSettings("sh", "-c true", "env", {"-i": None}, {"A": "1"})
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert vars(other) == vars(made)
        other.add_exe_args("more")
        other.update_env({"A": 2})
        assert (made.exe_args, made.env_vars) == (["-c", "true"], {"A": "1"})


def test_arguments_are_appended() -> None:
    made = RunSettings("sh", "a b")
    made.add_exe_args("c d")
    made.add_exe_args(["e f"])
    assert made.exe_args == ["a", "b", "c", "d", "e f"]
    made.exe_args = ["x y"]
    assert made.exe_args == ["x y"]


def test_variables_are_merged_as_text() -> None:
    made = RunSettings("sh", env_vars={"A": "1", "B": None})
    made.update_env({"A": 2, "C": True, "D": 0.5})
    assert made.format_env_vars() == ["A=2", "B=", "C=True", "D=0.5"]
    assert made.environment() == {"A": "2", "B": "", "C": "True", "D": "0.5"}


def test_a_variable_put_into_the_dictionary_itself_is_checked_in_the_end() -> None:
    made = RunSettings("sh")
    made.env_vars["A B"] = "1"
    with pytest.raises(InputError, match="'A B'"):
        made.environment()


def test_run_arguments_are_given_literally() -> None:
    made = RunSettings("sh", run_command="env", run_args={"-np": 2, "-v": None, "-w": "", "-m": 0})
    assert made.format_run_args() == ["-np", "2", "-v", "-w", "-m", "0"]


def test_a_run_command_is_expanded_kept_as_given_or_none() -> None:
    assert RunSettings("sh").run_command is None
    assert RunSettings("sh", run_command="no-such-program").run_command == "no-such-program"
    found = RunSettings("sh", run_command="env").run_command
    assert found is not None
    assert found.startswith("/")


def test_set_strips_dashes_and_replaces_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    made = RunSettings("sh")
    made.set("--np", "2")
    made.set("verbose")
    assert made.run_args == {"np": "2", "verbose": None}
    assert not caplog.records
    made.set("np", "3")
    assert made.run_args["np"] == "3"
    assert "'np' was '2' and becomes '3'" in caplog.text


def test_set_does_nothing_if_its_condition_does_not_hold(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "smartcore")
    made = RunSettings("sh")
    made.set("np", "2", condition=False)
    assert made.run_args == {}
    assert "'np' not set" in caplog.text


def test_set_refuses_what_is_no_text_or_no_name() -> None:
    made = RunSettings("sh")
    with pytest.raises(InputTypeError):
        made.set(3)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError):
        made.set("np", 3)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        made.set("--")


SETTERS: list[tuple[str, object, object]] = [
    ("set_nodes", 2, -1),
    ("set_tasks", 2, 1.5),
    ("set_tasks_per_node", 2, "2"),
    ("set_cpus_per_task", 2, True),
    ("set_memory_per_node", 0, -1),
    ("set_task_map", "node", 1),
    ("set_cpu_bindings", [0, 1], [0, -1]),
    ("set_cpu_bindings", 3, "3"),
    ("set_hostlist", ["a", "b"], []),
    ("set_hostlist_from_file", "file", 1),
    ("set_excluded_hosts", "a", [1]),
    ("set_node_feature", ["gpu"], 1),
    ("set_binding", "packed", None),
    ("set_broadcast", "/tmp", 1),
    ("set_mpmd_preamble", ["line"], [1]),
    ("set_quiet_launch", True, "yes"),
    ("set_verbose_launch", False, 1),
    ("set_walltime", "00:10:00", "soon"),
]


@pytest.mark.parametrize(("method", "good", "bad"), SETTERS)
def test_the_base_warns_and_changes_nothing_but_refuses_nonsense(
    method: str, good: object, bad: object, caplog: pytest.LogCaptureFixture
) -> None:
    made = RunSettings("sh")
    setter: Callable[[object], None] = getattr(made, method)
    setter(good)
    assert f"RunSettings has no {method}" in caplog.text
    assert made.run_args == {}
    with pytest.raises((InputError, InputTypeError)):
        setter(bad)


def test_every_setter_of_the_base_is_in_the_table_above() -> None:
    setters = {name for name, _ in inspect.getmembers(RunSettings) if name.startswith("set_")}
    assert setters == {method for method, _, _ in SETTERS} | {"set_time"}


def test_set_time_refuses_negative_parts_and_adds_large_ones() -> None:
    class Remembers(RunSettings):
        def set_walltime(self, walltime: str) -> None:
            self.walltime = walltime

    made = Remembers("sh")
    made.set_time(hours=30, minutes=90, seconds=100)
    assert made.walltime == str(30 * 3600 + 90 * 60 + 100)
    with pytest.raises(InputError, match="minutes must be at least 0"):
        made.set_time(minutes=-1)


def test_an_unknown_keyword_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    RunSettings("sh", alloc="777")
    assert "RunSettings has no setting 'alloc'" in caplog.text


def test_nothing_is_asked_for_by_default() -> None:
    assert RunSettings("sh").resources() == Resources()


def test_the_text_shows_names_of_variables_and_not_their_values() -> None:
    text = str(RunSettings("sh", ["a b"], "env", {"-u": "X"}, {"TOKEN": "secret"}))
    assert "'a b'" in text
    assert "-u X" in text
    assert "TOKEN" in text
    assert "secret" not in text


@settings(max_examples=25)
@given(
    arguments=st.lists(ARGUMENT, max_size=4),
    variables=st.dictionaries(st.from_regex(r"[A-Z]{3,8}", fullmatch=True), ARGUMENT, max_size=4),
)
def test_a_program_gets_the_arguments_and_variables_that_were_given(
    arguments: list[str], variables: dict[str, str]
) -> None:
    code = "import os, sys; print(ascii((sys.argv[1:], {k: os.environ[k] for k in sys.argv[1:0]})))"
    code = code.replace("sys.argv[1:0]", repr(sorted(variables)))
    made = RunSettings(sys.executable, ["-I", "-c", code, *arguments], env_vars=variables)
    answer = subprocess.run(
        [made.exe, *made.exe_args],
        env={**os.environ, **made.environment()},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert answer.stdout.strip() == ascii((arguments, {k: variables[k] for k in sorted(variables)}))
    assert dict(line.split("=", 1) for line in made.format_env_vars()) == variables
