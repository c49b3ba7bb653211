from __future__ import annotations

import logging
import re
import resource
import signal
import stat
from pathlib import Path

import pytest

from smartcore.entity import Ensemble, Model
from smartcore.error import InputError, InputTypeError, ParameterWriterError, PathNotFoundError
from smartcore.generate import generate
from smartcore.spec.settings import RunSettings

RUN = RunSettings("true")


@pytest.fixture
def exp(tmp_path: Path) -> Path:
    return tmp_path / "exp"


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "in.toml"
    path.write_bytes(b"k = ;k;\r\nname = ';name;'")
    return path


def make_model(exp: Path, name: str = "m", /, **params: str | int | float) -> Model:
    return Model(name, params, RUN, exp / name)


def tree(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def test_a_model_without_files_gets_a_directory(exp: Path) -> None:
    report = generate(exp, [make_model(exp, k=1)])
    assert (exp / "m").is_dir()
    assert list(tree(exp)) == ["smartcore_params.txt"]
    assert report.directories == (exp / "m",)
    assert (report.configured, report.copied, report.linked, report.removed) == (0, 0, 0, ())


def test_members_get_their_own_values(exp: Path, template: Path) -> None:
    ensemble = Ensemble("e", {"k": [1, 2], "name": "x"}, exp / "e", run_settings=RUN)
    ensemble.attach_generator_files(to_configure=template)
    report = generate(exp, [ensemble])
    assert (exp / "e/e_0/in.toml").read_bytes() == b"k = 1\r\nname = 'x'"
    assert (exp / "e/e_1/in.toml").read_bytes() == b"k = 2\r\nname = 'x'"
    assert report.directories == (exp / "e", exp / "e/e_0", exp / "e/e_1")
    assert report.configured == 2


def test_an_empty_ensemble_gets_its_directory(exp: Path) -> None:
    ensemble = Ensemble("e", {"k": 1}, exp / "e", run_settings=RUN)
    ensemble.entities.clear()
    generate(exp, [ensemble])
    assert (exp / "e").is_dir()


def test_values_are_put_in_literally(exp: Path, template: Path) -> None:
    model = make_model(exp, k=r"C:\new;k;", name="grün")
    model.attach_generator_files(to_configure=str(template))
    generate(exp, [model])
    expected = "k = C:\\new;k;\r\nname = 'grün'".encode()
    assert (exp / "m/in.toml").read_bytes() == expected


def test_a_parameter_changed_afterwards_is_used(exp: Path, template: Path) -> None:
    model = make_model(exp, k=1, name="x")
    model.attach_generator_files(to_configure=template)
    model.params["k"] = 3  # type: ignore[assignment]
    generate(exp, [model])
    assert b"k = 3" in (exp / "m/in.toml").read_bytes()
    model.params["k"] = [3]  # type: ignore[assignment]
    with pytest.raises(InputTypeError, match="parameter 'k' of 'm'"):
        generate(exp, [model], overwrite=True)


@pytest.mark.parametrize("mode", [0o755, 0o640, 0o444, 0o666])
def test_mode_bits_are_kept(exp: Path, template: Path, mode: int) -> None:
    script = template.with_name("run.sh")
    script.write_text("#!/bin/sh\n")
    for path in (template, script):
        path.chmod(mode)
    model = make_model(exp, k=1, name="x")
    model.attach_generator_files(to_configure=template, to_copy=script)
    generate(exp, [model])
    for name in ("in.toml", "run.sh"):
        assert stat.S_IMODE((exp / "m" / name).stat().st_mode) == mode


def test_directories_are_copied_linked_and_configured(exp: Path, tmp_path: Path) -> None:
    for name in ("data/a.bin", "data/deep/b.bin", "conf/c.txt", "conf/deep/d.txt", "lib/x"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(";k;")
    (tmp_path / "data/empty").mkdir()
    (tmp_path / "data/linked").symlink_to(tmp_path / "lib")
    model = make_model(exp, k=1)
    model.attach_generator_files(
        to_copy=[tmp_path / "data"],
        to_configure=[tmp_path / "conf"],
        to_symlink=[tmp_path / "lib"],
    )
    report = generate(exp, [model])
    assert tree(exp / "m") == {
        "a.bin": b";k;",
        "c.txt": b"1",
        "deep/b.bin": b";k;",
        "deep/d.txt": b"1",
        "linked/x": b";k;",
        "smartcore_params.txt": (exp / "m/smartcore_params.txt").read_bytes(),
    }
    assert (exp / "m/empty").is_dir()
    assert (exp / "m/lib").readlink() == tmp_path / "lib"
    assert (report.copied, report.configured, report.linked) == (3, 2, 1)


def test_an_unknown_tag_is_an_error_with_its_file_and_line(exp: Path, template: Path) -> None:
    template.write_text("k = ;k;\n\nx;y;z\n")
    model = make_model(exp, k=1)
    model.attach_generator_files(to_configure=template)
    with pytest.raises(ParameterWriterError) as caught:
        generate(exp, [model])
    message = str(caught.value)
    assert f"{template}, line 3: ;y;" in message
    for way_out in ("to_copy", "tag=", "strict=False"):
        assert way_out in message
    assert not exp.exists()


def test_an_unknown_tag_is_left_as_it_is_if_not_strict(
    exp: Path, template: Path, caplog: pytest.LogCaptureFixture
) -> None:
    template.write_text("k = ;k;\nx;y;k;z\n")
    ensemble = Ensemble("e", {"k": [1, 2]}, exp / "e", run_settings=RUN)
    ensemble.attach_generator_files(to_configure=template)
    with caplog.at_level(logging.WARNING, logger="smartcore"):
        report = generate(exp, [ensemble], strict=False)
    assert (exp / "e/e_1/in.toml").read_text() == "k = 2\nx;y2z\n"
    assert report.unknown_tags == (f"{template}, line 2: ;y;",)
    assert len(caplog.records) == 1


def test_of_many_unknown_tags_some_are_shown(exp: Path, template: Path) -> None:
    template.write_text("".join(f";x{number};\n" for number in range(9)))
    model = make_model(exp)
    model.attach_generator_files(to_configure=template)
    with pytest.raises(ParameterWriterError, match=r"line 5: ;x4; \(and 4 more\).*has none"):
        generate(exp, [model])


def test_another_tag_leaves_semicolons_alone(exp: Path, template: Path) -> None:
    template.write_text("x;k;z @k@ @@\n")
    model = make_model(exp, k=1)
    model.attach_generator_files(to_configure=template)
    generate(exp, [model], tag="@")
    assert (exp / "m/in.toml").read_text() == "x;k;z 1 @@\n"


def test_the_values_are_written_down(exp: Path, template: Path) -> None:
    model = make_model(exp, k=1, name="a\nb", unused=3)
    model.attach_generator_files(to_configure=template)
    generate(exp, [model, make_model(exp, "plain", z=1)])
    text = (exp / "m/smartcore_params.txt").read_text()
    assert re.match(
        r"Generation start date and time: \d\d/\d\d/\d{4} \d\d:\d\d:\d\d\n\nModel name: m\n", text
    )
    assert text.splitlines()[3:] == [
        "File name  Parameters",
        "---------  ----------",
        "in.toml    k = 1",
        r"           name = 'a\nb'",
    ]
    assert (exp / "smartcore_params.txt").read_text() == text
    assert list(tree(exp / "plain")) == []


def test_the_parameters_of_the_experiment_are_those_of_the_last_call(
    exp: Path, template: Path
) -> None:
    model = make_model(exp, k=1, name="x")
    model.attach_generator_files(to_configure=template)
    generate(exp, [model])
    generate(exp, [make_model(exp, "other")])
    assert "Model name" not in (exp / "smartcore_params.txt").read_text()


def test_values_are_logged_if_asked_for(
    exp: Path, template: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_model(exp, k=17, name="x")
    model.attach_generator_files(to_configure=template)
    with caplog.at_level(logging.INFO, logger="smartcore"):
        generate(exp, [model])
        assert not caplog.records
        generate(exp, [model], overwrite=True, verbose=True)
    assert f"{exp}/m/in.toml: k = 17" in caplog.text


def test_a_file_that_went_away_since_is_an_error(exp: Path, template: Path) -> None:
    for argument in ("to_copy", "to_symlink", "to_configure"):
        model = make_model(exp, k=1, name="x")
        template.touch()
        model.attach_generator_files(**{argument: str(template)})
        template.unlink()
        with pytest.raises(PathNotFoundError, match=str(template)):
            generate(exp, [model])
        assert not exp.exists()


def test_two_files_of_one_name_are_refused(exp: Path, template: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "in.toml"
    other.parent.mkdir()
    other.touch()
    model = make_model(exp, k=1, name="x")
    for files in (
        {"to_copy": [other, template]},
        {"to_copy": [other], "to_configure": [template]},
        {"to_copy": [template], "to_symlink": [template]},
        {"to_copy": [other.parent], "to_symlink": [template]},
    ):
        model.attach_generator_files(**files)
        with pytest.raises(InputError, match=r"would both become in\.toml"):
            generate(exp, [model])
    assert not exp.exists()


def test_a_file_and_a_directory_of_one_name_are_refused(exp: Path, tmp_path: Path) -> None:
    (tmp_path / "a" / "x").mkdir(parents=True)
    (tmp_path / "x").touch()
    model = make_model(exp)
    for files in (
        {"to_copy": [tmp_path / "a", tmp_path / "x"]},
        {"to_copy": [tmp_path / "x", tmp_path / "a"]},
        {"to_copy": [tmp_path / "x"], "to_configure": [tmp_path / "a"]},
    ):
        model.attach_generator_files(**files)
        with pytest.raises(InputError, match="would both become x"):
            generate(exp, [model])


def test_a_directory_is_not_copied_into_itself(tmp_path: Path) -> None:
    model = Model("m", {}, RUN, tmp_path / "exp" / "m")
    for files in ({"to_copy": tmp_path}, {"to_configure": tmp_path}):
        model.attach_generator_files(**files)
        with pytest.raises(InputError, match="copied into itself"):
            generate(tmp_path / "exp", [model])


def test_a_circle_of_links_is_not_followed(exp: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "up").symlink_to("..")
    model = make_model(exp)
    model.attach_generator_files(to_copy=tmp_path / "data")
    with pytest.raises(InputError, match="up is a symbolic link to a directory that holds it"):
        generate(exp, [model])


def test_a_value_that_is_no_text_is_an_error_before_anything_is_written(
    exp: Path, template: Path
) -> None:
    model = make_model(exp, k="\ud800", name="x")
    model.attach_generator_files(to_configure=template)
    with pytest.raises(ParameterWriterError, match="parameter 'k' of 'm'"):
        generate(exp, [model])
    assert not exp.exists()


def test_a_full_disk_is_told_with_the_directory(exp: Path, template: Path) -> None:
    # a limit on the size of files stands for the full disk
    template.write_bytes(b";k;" + b"x" * 100_000)
    model = make_model(exp, k=1)
    model.attach_generator_files(to_configure=template)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(ParameterWriterError, match="files of 'm' cannot be written in"):
            generate(exp, [model])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_nothing_temporary_is_left(exp: Path, template: Path) -> None:
    model = make_model(exp, k=1, name="x")
    model.attach_generator_files(to_configure=template)
    generate(exp, [model])
    assert sorted(path.name for path in (exp / "m").iterdir()) == [
        "in.toml",
        "smartcore_params.txt",
    ]
