"""Containers that a program runs in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from smartcore.error import InputError, InputTypeError, UnsupportedError

from .values import check_arguments, check_text


class Container:
    """An image, and how a program is run in it. The kinds of containers derive from this.

    :param image: path or address of the image, as the container's program takes it
    :param args: further arguments of that program; a text is split on blanks, of a list each item
        is one argument
    :param mount: directories to make visible inside: ``"/host:/inside,/both"``, a list of such
        items, or ``{"/host": "/inside", "/both": ""}``
    :param working_directory: directory inside the container to run in; empty: the one outside
    :raises InputTypeError: a value of another type
    :raises InputError: no image, or a mount that cannot be written as one
    """

    def __init__(
        self,
        image: str,
        args: str | Sequence[str] = "",
        mount: str | Sequence[str] | Mapping[str, str] = "",
        working_directory: str = "",
    ) -> None:
        self.image = check_text(image, "image")
        if not self.image.strip():
            raise InputError("image is empty; give the path or the address of a container image")
        self.args = check_arguments(args, "container args")
        self.mount = _mounts(mount)
        self.working_directory = check_text(working_directory, "working_directory")

    def prefix(self, cwd: str, runtime: str = "", /) -> tuple[str, ...]:
        """What is put in front of a program to run it inside. Pure.

        :param cwd: absolute path of the directory that the program runs in outside
        :param runtime: the program that runs containers; empty: the one these are named after
        """
        raise UnsupportedError(
            f"{type(self).__name__} does not say how a program is run in it; use Singularity"
        )

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.image})"


class Singularity(Container):
    """A container run by Singularity or Apptainer (``singularity exec``).

    The directory that the program runs in is bound if no mount covers it.
    """

    def prefix(self, cwd: str, runtime: str = "", /) -> tuple[str, ...]:
        directory = self.working_directory or cwd
        bind = ",".join(self._binds(directory))
        program = runtime or "singularity"
        return (program, "exec", "--pwd", directory, *self.args, "--bind", bind, self.image)

    def _binds(self, directory: str) -> list[str]:
        if _covers(self.mount, directory):
            return self.mount
        if {",", ":"} & set(directory):
            raise InputError(
                f"directory {directory!r} cannot be bound into a container: its name has a comma "
                "or a colon; run in another directory"
            )
        return [directory, *self.mount]


def _mounts(mount: object) -> list[str]:
    if isinstance(mount, str):
        items = check_text(mount, "mount").split(",") if mount.strip() else []
    elif isinstance(mount, Mapping):
        items = [_pair(host, inside) for host, inside in mount.items()]
    elif isinstance(mount, Sequence):
        items = [check_text(item, f"item {index} of mount") for index, item in enumerate(mount)]
    else:
        raise InputTypeError(
            f"mount must be text, a list of texts or a dictionary, not {type(mount).__name__}"
        )
    mounts = [item.strip() for item in items]
    for item in mounts:
        if not item or item.startswith(":"):
            raise InputError(f"mount {item!r} names no directory of the host")
        if "," in item:
            # singularity exec --help: "-B, --bind strings: src[:dest[:opts]]", comma-separated
            raise InputError(f"mount {item!r} has a comma, which separates mounts")
    return mounts


def _pair(host: object, inside: object) -> str:
    source = check_text(host, "directory in mount")
    target = check_text(inside or "", f"mount of {source!r}")
    if ":" in source:
        raise InputError(f"mount {source!r} has a colon, which separates it from its place inside")
    return f"{source}:{target}" if target else source


def _covers(mounts: Sequence[str], directory: str) -> bool:
    targets = (mount.split(":")[1 if ":" in mount else 0] for mount in mounts)
    return any(PurePosixPath(directory).is_relative_to(target) for target in targets if target)
