"""Machine-learning models and scripts that are to stand in a database before a model runs.

They are descriptions only: what they name is read when it is stored.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from smartcore.error import InputError, InputTypeError, UnsupportedError
from smartcore.spec.values import check_count, check_texts

from .entity import check_path
from .files import check_file, is_directory

Function = Callable[..., object]
Payload = TypeVar("Payload", bound=bytes | str | Function)

_BACKENDS = ("TF", "TORCH", "ONNX")
_DEVICE = re.compile(r"CPU|GPU(:[0-9]+)?")


class DBObject(Generic[Payload]):
    """What a machine-learning model and a script have in common.

    :param name: its key in the database
    :param func: what is stored, if it is in memory
    :param file_path: the file that holds it, if it is not
    :param device: ``CPU``, ``GPU``, or ``GPU:n`` for one certain GPU
    :param devices_per_node: on how many GPUs of a node it is stored
    :param first_device: number of the first of these
    :raises InputError: neither or both of ``func`` and ``file_path``, or a bad device
    :raises UnsupportedError: several devices of a CPU
    :raises PathNotFoundError: no such file
    """

    def __init__(
        self,
        name: str,
        func: Payload | None,
        file_path: str | os.PathLike[str] | None,
        device: str,
        devices_per_node: int,
        first_device: int,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise InputError(f"a {type(self).__name__} needs a name, not {name!r}")
        if (func is None) == (file_path is None):
            raise InputError(
                f"{type(self).__name__} {name!r} needs either an object in memory or a file,"
                f" and got {'neither' if func is None else 'both'}"
            )
        self.name = name
        self.func = func
        self.file = None if file_path is None else _existing_file(name, file_path)
        self.device = _checked_device(name, device)
        self.devices_per_node = check_count(
            devices_per_node, f"devices_per_node of {name!r}", minimum=1
        )
        self.first_device = check_count(first_device, f"first_device of {name!r}", minimum=0)
        self._check_devices()

    @property
    def devices(self) -> list[str]:
        """The devices of a node on which it is stored, one by one."""
        if self.device == "GPU" and (self.devices_per_node > 1 or self.first_device > 0):
            last = self.first_device + self.devices_per_node
            return [f"GPU:{number}" for number in range(self.first_device, last)]
        return [self.device]

    @property
    def is_file(self) -> bool:
        """True if it is in a file, False if it is in memory."""
        return self.func is None

    def _check_devices(self) -> None:
        if self.devices_per_node == 1 and self.first_device == 0:
            return
        given = f"devices_per_node={self.devices_per_node}, first_device={self.first_device}"
        if self.device == "CPU":
            raise UnsupportedError(f"{self.name!r} is for the CPU, which cannot have {given}")
        if self.device != "GPU":
            raise InputError(
                f"{self.name!r} names the device {self.device!r} and {given};"
                " use device='GPU' for several"
            )

    def __repr__(self) -> str:
        return self.name

    def __str__(self) -> str:
        where = self.file if self.file is not None else "in memory"
        return f"{type(self).__name__} {self.name} ({where}) on {', '.join(self.devices)}"


def _existing_file(name: str, file_path: str | os.PathLike[str]) -> Path:
    path = check_path(file_path)
    if is_directory(path):
        raise InputError(f"{path} is a directory; give the file of {name!r}")
    check_file(path)
    return Path(path)


def _checked_device(name: str, device: str) -> str:
    if not isinstance(device, str) or not _DEVICE.fullmatch(device.upper()):
        raise InputError(f"{name!r} cannot be on device {device!r}; use CPU, GPU or GPU:<number>")
    return device.upper()


class DBModel(DBObject[bytes]):
    """A machine-learning model, as bytes or in a file.

    :param name: its key in the database
    :param backend: ``TF``, ``TORCH`` or ``ONNX``, in any case
    :param model: the serialised model
    :param model_file: the file that holds it
    :param batch_size: how many requests may be run at once; 0 leaves it to the database
    :param min_batch_size: for how many requests to wait
    :param min_batch_timeout: for how many milliseconds to wait for them
    :param tag: a note stored with it
    :param inputs: names of its inputs, needed for ``TF``
    :param outputs: names of its outputs, needed for ``TF``
    :raises InputError: an unknown backend, or as :class:`DBObject`
    """

    def __init__(
        self,
        name: str,
        backend: str,
        model: bytes | None = None,
        model_file: str | os.PathLike[str] | None = None,
        device: str = "CPU",
        devices_per_node: int = 1,
        first_device: int = 0,
        batch_size: int = 0,
        min_batch_size: int = 0,
        min_batch_timeout: int = 0,
        tag: str = "",
        inputs: str | Sequence[str] | None = None,
        outputs: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__(name, model, model_file, device, devices_per_node, first_device)
        self.backend = backend.upper() if isinstance(backend, str) else ""
        if self.backend not in _BACKENDS:
            raise InputError(
                f"{name!r} cannot have the backend {backend!r}; use {', '.join(_BACKENDS)}"
            )
        self.batch_size = check_count(batch_size, f"batch_size of {name!r}", minimum=0)
        self.min_batch_size = check_count(min_batch_size, f"min_batch_size of {name!r}", minimum=0)
        self.min_batch_timeout = check_count(
            min_batch_timeout, f"min_batch_timeout of {name!r}", minimum=0
        )
        self.tag = tag
        self.inputs = check_texts(inputs or [], f"inputs of {name!r}")
        self.outputs = check_texts(outputs or [], f"outputs of {name!r}")

    @property
    def model(self) -> bytes | None:
        """The serialised model, if it is in memory."""
        return self.func


class DBScript(DBObject[str | Function]):
    """TorchScript: its text, a function in memory, or a file.

    :param name: its key in the database
    :param script: the text or the function
    :param script_path: the file that holds the text
    :raises InputError: as :class:`DBObject`
    """

    def __init__(
        self,
        name: str,
        script: str | Function | None = None,
        script_path: str | os.PathLike[str] | None = None,
        device: str = "CPU",
        devices_per_node: int = 1,
        first_device: int = 0,
    ) -> None:
        if script is not None and not isinstance(script, str) and not callable(script):
            raise InputTypeError(
                f"script {name!r} is of type {type(script).__name__}; give a str or a function"
            )
        super().__init__(name, script, script_path, device, devices_per_node, first_device)

    @property
    def script(self) -> str | Function | None:
        """The text or the function, if it is in memory."""
        return self.func
