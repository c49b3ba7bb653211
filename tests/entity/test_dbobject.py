from __future__ import annotations

from pathlib import Path

import pytest

from smartcore.entity import DBModel, DBScript, Model
from smartcore.error import InputError, InputTypeError, PathNotFoundError, UnsupportedError
from smartcore.spec.settings import RunSettings


@pytest.fixture
def model() -> Model:
    return Model("m", {}, RunSettings("true"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.pt"
    path.write_bytes(b"net")
    return path


@pytest.mark.parametrize("backend", ["TF", "TORCH", "ONNX", "torch"])
def test_a_model_has_one_of_the_backends(backend: str) -> None:
    assert DBModel("net", backend, b"x").backend == backend.upper()


@pytest.mark.parametrize("backend", ["TFLITE", "", None])
def test_other_backends_are_refused(backend: str) -> None:
    with pytest.raises(InputError, match="use TF, TORCH, ONNX"):
        DBModel("net", backend, b"x")


def test_an_object_is_in_memory_or_in_a_file(file: Path) -> None:
    in_memory = DBModel("net", "TORCH", b"x", inputs="in", outputs=["out"])
    assert (in_memory.model, in_memory.is_file, in_memory.inputs) == (b"x", False, ["in"])
    in_file = DBScript("f", script_path=str(file))
    assert (in_file.script, in_file.is_file, in_file.file) == (None, True, file)
    assert str(file) in str(in_file)
    with pytest.raises(InputError, match="neither"):
        DBModel("net", "TORCH")
    with pytest.raises(InputError, match="both"):
        DBScript("f", "def f(): pass", str(file))
    with pytest.raises(PathNotFoundError, match="absent"):
        DBScript("f", script_path=file.parent / "absent")
    with pytest.raises(InputError, match="is a directory"):
        DBScript("f", script_path=file.parent)
    with pytest.raises(InputTypeError, match="type int"):
        DBScript("f", 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("device", "count", "first", "devices"),
    [("CPU", 1, 0, ["CPU"]), ("gpu", 1, 0, ["GPU"]), ("GPU:3", 1, 0, ["GPU:3"]),
     ("GPU", 2, 0, ["GPU:0", "GPU:1"]), ("GPU", 2, 1, ["GPU:1", "GPU:2"]),
     ("GPU", 1, 2, ["GPU:2"])],
)  # fmt: skip
def test_devices_are_counted_from_the_first(
    device: str, count: int, first: int, devices: list[str]
) -> None:
    assert DBScript("f", "x", None, device, count, first).devices == devices


def test_devices_that_cannot_be_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="CPU"):
        DBScript("f", "x", devices_per_node=2)
    with pytest.raises(UnsupportedError, match="CPU"):
        DBScript("f", "x", first_device=1)
    with pytest.raises(InputError, match="device='GPU' for several"):
        DBScript("f", "x", None, "GPU:1", 2)
    for device in ("TPU", "GPU:", "GPU:x", "", None):
        with pytest.raises(InputError, match="use CPU, GPU or GPU:<number>"):
            DBScript("f", "x", device=device)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="devices_per_node of 'f'"):
        DBScript("f", "x", None, "GPU", 0)
    with pytest.raises(InputError, match="batch_size of 'net'"):
        DBModel("net", "TF", b"x", batch_size=-1)


def test_what_is_attached_to_a_model_is_recorded(model: Model, file: Path) -> None:
    model.add_ml_model("net", "TORCH", model_path=str(file), device="GPU", devices_per_node=2)
    model.add_script("script", script="def f(x): return x")
    model.add_function("function", function=lambda x: x)
    assert [attached.name for attached in model.db_models] == ["net"]
    assert [attached.name for attached in model.db_scripts] == ["script", "function"]
    assert next(model.db_models).devices == ["GPU:0", "GPU:1"]


def test_a_name_is_attached_once(model: Model) -> None:
    model.add_ml_model("net", "TORCH", b"x")
    model.add_script("net", "text")
    with pytest.raises(UnsupportedError, match="'m' has a DBModel named 'net' already"):
        model.add_ml_model("net", "TF", b"y")
    with pytest.raises(UnsupportedError, match="'m' has a DBScript named 'net' already"):
        model.add_function("net", "text")
    with pytest.raises(InputTypeError, match="not a DBModel"):
        model.add_ml_model_object(DBScript("f", "x"))  # type: ignore[arg-type]


def test_a_colocated_database_takes_nothing_from_memory(model: Model, file: Path) -> None:
    model.colocate_db_tcp()
    model.add_ml_model_object(DBModel("in_file", "TORCH", model_file=file))
    model.add_script("text", "def f(x): return x")
    with pytest.raises(UnsupportedError, match="'net' is in memory"):
        model.add_ml_model("net", "TORCH", b"x")
    with pytest.raises(UnsupportedError, match="'f' is in memory"):
        model.add_function("f", lambda x: x)


def test_a_model_with_something_in_memory_cannot_be_colocated(model: Model) -> None:
    model.add_ml_model("net", "TORCH", b"x")
    with pytest.raises(UnsupportedError, match="'net' is in memory"):
        model.colocate_db_uds()
    assert not model.colocated
