from __future__ import annotations

import pytest

from smartcore.error import InputError, InputTypeError, UnsupportedError
from smartcore.spec import Container, Singularity


def prefix(container: Container, cwd: str = "/run") -> tuple[str, ...]:
    return container.prefix(cwd, "/opt/bin/singularity")


def test_the_working_directory_is_bound_and_the_image_comes_last() -> None:
    container = Singularity("img.sif", args=["--nv"], mount={"/a": "/b", "/c": ""})
    assert prefix(container) == (
        *("/opt/bin/singularity", "exec", "--pwd", "/run", "--nv"),
        *("--bind", "/run,/a:/b,/c", "img.sif"),
    )


def test_the_forms_of_mounts_and_arguments_say_the_same() -> None:
    forms: list[str | list[str] | dict[str, str]] = [
        "/a:/b,/c",
        ["/a:/b", "/c"],
        {"/a": "/b", "/c": ""},
    ]
    made = {prefix(Singularity("i", args="--nv -C", mount=form)) for form in forms}
    assert made == {prefix(Singularity("i", args=["--nv", "-C"], mount=forms[0]))}


def test_an_argument_with_blanks_stays_one() -> None:
    assert "a b" in prefix(Singularity("i", args=["--env", "a b"]))


def test_a_directory_below_a_mount_is_not_bound_again() -> None:
    assert prefix(Singularity("i", mount="/scratch"), "/scratch/run")[5] == "/scratch"
    assert prefix(Singularity("i", mount="/x:/data", working_directory="/data/run"))[3:6] == (
        *("/data/run", "--bind", "/x:/data"),
    )


def test_an_own_working_directory_is_bound_too() -> None:
    assert prefix(Singularity("i", working_directory="/other"))[2:6] == (
        *("--pwd", "/other", "--bind", "/other"),
    )


def test_another_runtime_takes_the_place_of_singularity() -> None:
    assert Singularity("i").prefix("/")[0] == "singularity"
    assert Singularity("i").prefix("/", "/opt/bin/apptainer")[0] == "/opt/bin/apptainer"


def test_a_directory_that_cannot_be_written_as_a_bind_is_refused() -> None:
    with pytest.raises(InputError, match="has a comma or a colon"):
        prefix(Singularity("i"), "/a,b")


@pytest.mark.parametrize("mount", ["/a,,/b", [""], {"": "/b"}, {"/a:x": "/b"}, ["/a,/b"]])
def test_a_mount_that_cannot_be_one_is_refused(mount: str | list[str] | dict[str, str]) -> None:
    with pytest.raises(InputError):
        Singularity("i", mount=mount)


def test_wrong_types_are_type_errors() -> None:
    with pytest.raises(InputTypeError):
        Singularity(1)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError):
        Singularity("i", args=1)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError):
        Singularity("i", mount=1)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError):
        Singularity("i", working_directory=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="image is empty"):
        Singularity("")


def test_the_base_runs_nothing() -> None:
    with pytest.raises(UnsupportedError, match="use Singularity"):
        prefix(Container("i"))
