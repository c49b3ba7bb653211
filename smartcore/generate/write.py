"""Carries a plan out: makes directories, copies, links, writes."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from smartcore.entity.entity import PARAMS_FILE
from smartcore.entity.files import is_directory
from smartcore.error import InputError, ParameterWriterError

from .plan import ModelPlan, Plan


def carry_out(experiment_path: Path, plan: Plan) -> None:
    """Remove, make and write what the plan says.

    :raises InputError: the system did not let a directory be removed or made
    :raises ParameterWriterError: the system did not let a file be written
    """
    for path in plan.remove:
        _remove(path)
    for path in (str(experiment_path), *plan.directories):
        with _told(f"directory {path} cannot be made", InputError):
            os.makedirs(path, exist_ok=True)  # noqa: PTH103
    heading = f"Generation start date and time: {datetime.now():%d/%m/%Y %H:%M:%S}\n"
    blocks = [heading]
    for model in plan.models:
        block = params_text(model)
        with _told(f"the files of {model.name!r} cannot be written in {model.path}"):
            _fill_directory(model)
            if block:
                _write_whole(f"{model.path}/{PARAMS_FILE}", f"{heading}\n{block}")
                blocks.append(block)
    with _told(f"the parameters cannot be written in {experiment_path}"):
        _write_whole(f"{experiment_path}/{PARAMS_FILE}", "\n".join(blocks))


def params_text(model: ModelPlan) -> str:
    """The part of ``smartcore_params.txt`` about one model; empty if no tag was filled."""
    rows = [
        (item.destination if index == 0 else "", f"{name} = {_shown(model.values[name])}")
        for item in model.files.configured
        for index, name in enumerate(item.used)
    ]
    if not rows:
        return ""
    width = max(len("File name"), *(len(file) for file, _ in rows))
    lines = [("File name", "Parameters"), ("-" * width, "-" * 10), *rows]
    table = "\n".join(f"{file:<{width}}  {parameter}" for file, parameter in lines)
    return f"Model name: {model.name}\n{table}\n"


def _shown(value: bytes) -> str:
    text = value.decode(errors="backslashreplace")
    return text if text.isprintable() else repr(text)


def _fill_directory(model: ModelPlan) -> None:
    # os and not pathlib: this runs for each of thousands of models
    _make_directory(model.path)
    for destination, mode in model.files.directories:
        os.makedirs(f"{model.path}/{destination}", mode | 0o700, exist_ok=True)  # noqa: PTH103
    for source, destination in model.files.copies:
        shutil.copy(source, f"{model.path}/{destination}")
    for source, destination in model.files.links:
        os.symlink(source, f"{model.path}/{destination}")  # noqa: PTH211
    for item in model.files.configured:
        text = item.template.fill(model.values)
        _write(f"{model.path}/{item.destination}", (text,), item.mode)


def _make_directory(path: str) -> None:
    try:
        os.mkdir(path)  # noqa: PTH102
    except FileNotFoundError:
        os.makedirs(path, exist_ok=True)  # noqa: PTH103
    except FileExistsError:
        # another entity's directory lies in it and was made first
        if not is_directory(path):
            raise


def _write(path: str, chunks: Iterable[bytes], mode: int | None = None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(descriptor, view) :]
        if mode is not None:
            os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _write_whole(path: str, text: str) -> None:
    # A reader sees the old text or the new one, never a part.
    temporary = f"{path}.{os.getpid()}.tmp"
    _write(temporary, (text.encode(),))
    os.replace(temporary, path)  # noqa: PTH105


def _remove(path: str) -> None:
    with _told(f"{path} cannot be removed", InputError), contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


@contextlib.contextmanager
def _told(
    what: str, kind: type[InputError] | type[ParameterWriterError] = ParameterWriterError
) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f": {error.filename}" if error.filename and str(error.filename) not in what else ""
        raise kind(f"{what}{where}: {error.strerror or error}") from error
