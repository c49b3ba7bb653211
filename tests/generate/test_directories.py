from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from smartcore.entity import Ensemble, Entity, Model
from smartcore.error import InputError, InputTypeError, PathExistsError
from smartcore.generate import generate
from smartcore.spec.settings import RunSettings

RUN = RunSettings("true")


@dataclass
class FakeDatabase:
    """What generate sees of a database."""

    name: str
    path: str
    live: object | None = None

    @property
    def db_identifier(self) -> str:
        return self.name


@pytest.fixture
def exp(tmp_path: Path) -> Path:
    return tmp_path / "exp"


def make_model(path: Path) -> Model:
    return Model(path.name, {}, RUN, path)


def test_a_directory_that_exists_is_an_error_that_names_overwrite(exp: Path) -> None:
    (exp / "m").mkdir(parents=True)
    with pytest.raises(PathExistsError, match=f"{exp}/m, .* overwrite=True"):
        generate(exp, [make_model(exp / "m")])


def test_overwrite_removes_what_was_there(exp: Path) -> None:
    model = make_model(exp / "m")
    generate(exp, [model])
    (exp / "m" / "old").touch()
    report = generate(exp, [model], overwrite=True)
    assert not list((exp / "m").iterdir())
    assert report.removed == (exp / "m",)


def test_overwrite_removes_members_of_a_larger_ensemble(exp: Path) -> None:
    generate(exp, [Ensemble("e", {"k": [1, 2, 3]}, exp / "e", run_settings=RUN)])
    smaller = Ensemble("e", {"k": [1]}, exp / "e", run_settings=RUN)
    with pytest.raises(PathExistsError, match=f"{exp}/e, "):
        generate(exp, [smaller])
    assert (exp / "e/e_2").is_dir()
    report = generate(exp, [smaller], overwrite=True)
    assert [path.name for path in (exp / "e").iterdir()] == ["e_0"]
    assert report.removed == (exp / "e",)


def test_an_error_about_one_entity_leaves_the_others_as_they_were(exp: Path) -> None:
    (exp / "old").mkdir(parents=True)
    (exp / "old" / "result").touch()
    (exp / "file").touch()
    with pytest.raises(PathExistsError, match="is a file"):
        models = [make_model(exp / name) for name in ("new", "old", "file")]
        generate(exp, models, overwrite=True)
    assert (exp / "old" / "result").exists()
    assert not (exp / "new").exists()


def test_two_entities_of_one_directory_are_refused(exp: Path) -> None:
    with pytest.raises(InputError, match="'m' and 'm' have the same directory"):
        generate(exp, [make_model(exp / "m"), make_model(exp / "m")])
    one, other = make_model(exp / "a"), make_model(exp / "b")
    other.path = f"{exp}/b/../a"
    with pytest.raises(InputError, match="'a' and 'b' have the same directory"):
        generate(exp, [one, other])


def test_a_directory_in_anothers_is_made_with_it(exp: Path) -> None:
    inner, outer = make_model(exp / "outer" / "inner"), make_model(exp / "outer")
    for _ in range(2):
        report = generate(exp, [inner, outer], overwrite=True)
        assert (exp / "outer" / "inner").is_dir()
    assert set(report.removed) == {exp / "outer", exp / "outer" / "inner"}


def test_a_linked_directory_is_never_removed(exp: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    exp.mkdir()
    (exp / "m").symlink_to(precious)
    with pytest.raises(PathExistsError, match="symbolic link, which is never replaced"):
        generate(exp, [make_model(exp / "m")], overwrite=True)
    assert precious.is_dir()


def test_what_holds_experiment_home_or_current_directory_is_never_removed(
    exp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exp.mkdir()
    here, home = tmp_path / "around" / "here", tmp_path / "home" / "me"
    here.mkdir(parents=True)
    home.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / "link").symlink_to(tmp_path)
    places = (exp, tmp_path, here, here.parent, home, home.parent, tmp_path / "link" / "home")
    for place in (*places, exp / ".smartcore"):
        place.mkdir(exist_ok=True)
        model = Model("m", {}, RUN, place)
        with pytest.raises(InputError, match="is never removed"):
            generate(exp, [model], overwrite=True)
        database = FakeDatabase("db", str(place))
        with pytest.raises(InputError, match="is never removed"):
            generate(exp, [database], overwrite=True)
        assert place.is_dir()


def test_attached_files_are_not_removed_before_they_are_copied(exp: Path) -> None:
    model = make_model(exp / "m")
    generate(exp, [model])
    source = exp / "m" / "in.toml"
    source.touch()
    for argument in ("to_copy", "to_symlink", "to_configure"):
        model.attach_generator_files(**{argument: source})
        with pytest.raises(InputError, match=f"{source} is an attached file in {exp}/m"):
            generate(exp, [model], overwrite=True)
    assert source.exists()


def test_a_path_that_cannot_be_made_is_an_error_before_anything_is_made(
    exp: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "m", tmp_path / "file" / "deep" / "m"):
        with pytest.raises(PathExistsError, match=f"{tmp_path}/file is no directory"):
            generate(exp, [make_model(exp / "first"), make_model(path)])
    long = exp / "/".join(["x" * 250, "y" * 250] * 10)
    with pytest.raises(InputError, match="File name too long"):
        generate(exp, [make_model(exp / "first"), Model("m", {}, RUN, long)])
    with pytest.raises(PathExistsError, match="is no directory"):
        generate(tmp_path / "file", [])
    assert not exp.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_directory_without_permission_is_an_error(tmp_path: Path) -> None:
    for directory in (tmp_path, *tmp_path.parents[:-2]):
        directory.chmod(directory.stat().st_mode | 0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(InputError, match=f"no permission to write in {tmp_path}"):
            generate(tmp_path / "exp", [])
    finally:
        os.seteuid(0)


def test_the_directory_of_a_database_is_always_made_anew(exp: Path) -> None:
    database = FakeDatabase("db", str(exp / "db"))
    generate(exp, [database])
    (exp / "db" / "dump.rdb").touch()
    report = generate(exp, [database])
    assert not list((exp / "db").iterdir())
    assert report.removed == (exp / "db",)


def test_the_directory_of_a_running_database_stays(exp: Path) -> None:
    database = FakeDatabase("db", str(exp / "db"), live=object())
    (exp / "db").mkdir(parents=True)
    (exp / "db" / "dump.rdb").touch()
    with pytest.raises(InputError, match="'db' is running"):
        generate(exp, [database], overwrite=True)
    assert (exp / "db" / "dump.rdb").exists()


def test_outside_the_experiment_a_database_replaces_nothing_unasked(
    exp: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    database = FakeDatabase("db", str(elsewhere))
    generate(exp, [database])
    (elsewhere / "precious").touch()
    with pytest.raises(PathExistsError, match="overwrite=True"):
        generate(exp, [database])
    generate(exp, [database], overwrite=True)
    assert not list(elsewhere.iterdir())


def test_only_models_ensembles_and_databases_are_generated(exp: Path) -> None:
    for thing in ("m", Entity("a", exp / "a", RUN), None):
        with pytest.raises(InputTypeError, match="give models, ensembles or databases"):
            generate(exp, [thing])  # type: ignore[list-item]
