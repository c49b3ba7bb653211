from __future__ import annotations

import os
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.entity import Ensemble, EntityFiles, Model
from smartcore.error import (
    EntityExistsError,
    InputError,
    InputTypeError,
    PathNotFoundError,
)
from smartcore.spec.settings import RunSettings


@pytest.fixture
def run() -> RunSettings:
    return RunSettings("true")


def test_parameters_are_text(run: RunSettings) -> None:
    model = Model("m", {"n": 3, "x": 0.5, "on": True, "s": "a"}, run)
    assert model.params == {"n": "3", "x": "0.5", "on": "True", "s": "a"}
    with pytest.raises(InputTypeError, match="parameter 'k' of 'm'"):
        Model("m", {"k": [1]}, run)  # type: ignore[dict-item]


def test_models_are_equal_if_their_names_are(run: RunSettings) -> None:
    assert Model("m", {}, run) == Model("m", {"a": 1}, run, path="/tmp")
    assert Model("m", {}, run) != Model("n", {}, run)
    assert len({Model("m", {}, run), Model("m", {}, run)}) == 1
    assert Model("m", {}, run) != "m"


def test_run_settings_are_shared_with_the_caller(run: RunSettings) -> None:
    assert Model("m", {}, run).run_settings is run
    assert not Model("m", None, run).batch


def test_batch_settings_must_be_batch_settings(run: RunSettings) -> None:
    with pytest.raises(InputTypeError, match="batch settings of 'm'"):
        Model("m", {}, run, batch_settings=run)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("n", ["-n", "v w"]), ("name", ["--name=v w"]), ("-n", ["-n", "v w"]),
     ("-name", ["-name", "v w"]), ("--n", ["--n=v w"]), ("--name", ["--name=v w"])],
)  # fmt: skip
def test_parameters_become_arguments(run: RunSettings, name: str, arguments: list[str]) -> None:
    run.add_exe_args(["first"])
    model = Model("m", {name: "v w", "other": 1}, run, params_as_args=[name])
    assert run.exe_args == ["first"]
    model.params_to_args()
    model.params_to_args()
    assert run.exe_args == ["first", *arguments]


def test_an_argument_that_is_no_parameter_is_an_error(run: RunSettings) -> None:
    with pytest.raises(InputError, match="names 'b', which is none of its parameters"):
        Model("m", {"a": 1}, run, params_as_args=["a", "b"])


@given(st.text(string.ascii_letters, min_size=1), st.text(st.characters(exclude_characters="\0")))
def test_any_value_arrives_unchanged_as_an_argument(name: str, value: str) -> None:
    settings = RunSettings("true")
    Model("m", {name: value}, settings, params_as_args=[name]).params_to_args()
    last = settings.exe_args[-1]
    assert last in (value, f"--{name}={value}")


def test_an_incoming_entity_is_registered_once(run: RunSettings) -> None:
    model, other = Model("m", {}, run), Model("other", {}, run)
    model.register_incoming_entity(other)
    assert model.incoming_entities == [other]
    with pytest.raises(EntityExistsError, match="'other' is an incoming entity of 'm' already"):
        model.register_incoming_entity(Model("other", {}, run))


def test_what_cannot_be_a_prefix_of_keys_is_refused(run: RunSettings) -> None:
    model = Model("m", {}, run)
    with pytest.raises(InputTypeError, match="members of an ensemble one by one"):
        model.register_incoming_entity(
            Ensemble("e", {}, run_settings=run, replicas=1)  # type: ignore[arg-type]
        )
    with pytest.raises(InputError, match="comma"):
        model.register_incoming_entity(Model("a,b", {}, run))


def test_key_prefixing_can_be_switched(run: RunSettings) -> None:
    model = Model("m", {}, run)
    assert not model.query_key_prefixing()
    model.enable_key_prefixing()
    assert model.query_key_prefixing()
    model.disable_key_prefixing()
    assert not model.query_key_prefixing()


def test_attached_files_replace_those_attached_before(
    run: RunSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.touch()
    second.touch()
    model = Model("m", {}, run)
    assert model.attached_files_table == "No file attached to this model."
    model.attach_generator_files(to_copy=[str(first)])
    model.attach_generator_files(to_symlink=second, to_configure=str(first))
    assert model.files is not None
    assert model.files.copy == ()
    assert model.files.link == (str(second),)
    assert model.files.tagged == (str(first),)
    model.print_attached_files()
    assert str(second) in capsys.readouterr().out
    assert "Symlink" in str(model.files)


@pytest.mark.parametrize("argument", ["to_copy", "to_symlink", "to_configure"])
def test_files_that_cannot_be_attached_are_refused(
    run: RunSettings, tmp_path: Path, argument: str
) -> None:
    model = Model("m", {}, run)
    ours = tmp_path / "smartcore_params.txt"
    ours.touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PathNotFoundError, match=r"no such file or directory: .*absent"):
        model.attach_generator_files(**{argument: [str(tmp_path / "absent")]})
    with pytest.raises(InputError, match=r"smartcore_params\.txt"):
        model.attach_generator_files(**{argument: [str(ours)]})
    with pytest.raises(InputError, match="neither a file nor a directory"):
        model.attach_generator_files(**{argument: [str(tmp_path / "pipe")]})
    with pytest.raises(InputTypeError, match=argument):
        model.attach_generator_files(**{argument: [3]})  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match=argument):
        model.attach_generator_files(**{argument: 3})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not a path"):
        model.attach_generator_files(**{argument: [""]})
    assert model.files is None


def test_a_directory_with_a_file_of_ours_is_refused(run: RunSettings, tmp_path: Path) -> None:
    (tmp_path / "smartcore_params.txt").touch()
    with pytest.raises(InputError, match=r"smartcore_params\.txt"):
        Model("m", {}, run).attach_generator_files(to_copy=str(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_unreadable_file_is_an_error_when_attached(run: RunSettings, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    for directory in (tmp_path, *tmp_path.parents[:-2]):
        directory.chmod(directory.stat().st_mode | 0o755)
    os.seteuid(65534)
    try:
        for path in (secret, hidden, hidden / "x"):
            with pytest.raises(InputError, match=f"{path} cannot be read"):
                EntityFiles(copy=[path])
    finally:
        os.seteuid(0)


def test_a_linked_directory_cannot_be_configured(run: RunSettings, tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "deep" / "link").symlink_to("..")
    model = Model("m", {}, run)
    for directory in ("link", "real"):
        with pytest.raises(InputError, match="link is a symbolic link to a directory"):
            model.attach_generator_files(to_configure=str(tmp_path / directory))
    model.attach_generator_files(to_symlink=str(tmp_path / "link"))
