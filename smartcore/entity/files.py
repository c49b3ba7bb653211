"""The files that a model gets in its directory: copies, links, and templates to be filled."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from smartcore.error import InputError, InputTypeError, PathNotFoundError

from .entity import PARAMS_FILE, check_path

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None


class TaggedFilesHierarchy:
    """Templates and the directories that hold them, as they are to stand below an entity's.

    :param parent: the hierarchy that this is a directory of; None for the outermost
    :param subdir_name: the name in its parent; empty for the outermost
    """

    def __init__(self, parent: TaggedFilesHierarchy | None = None, subdir_name: str = "") -> None:
        if (parent is None) != (not subdir_name):
            raise InputError("a directory in a hierarchy of files needs both a parent and a name")
        if subdir_name in {".", ".."} or "/" in subdir_name:
            raise InputError(f"{subdir_name!r} is not the name of a directory")
        self.parent = parent
        self._base = f"{parent.base}/{subdir_name}".lstrip("/") if parent else ""
        self.files: list[str] = []
        self.dirs: dict[str, TaggedFilesHierarchy] = {}

    @property
    def base(self) -> str:
        """The path from the outermost directory to this; empty for that one itself."""
        return self._base

    @classmethod
    def from_list_paths(
        cls, path_list: Sequence[str], dir_contents_to_base: bool = False
    ) -> TaggedFilesHierarchy:
        """Make a hierarchy of files and directories.

        :param path_list: absolute paths
        :param dir_contents_to_base: what stands in a directory of the list goes to the outermost
            directory, not into one of the same name
        :raises PathNotFoundError: one is not there
        :raises InputError: a directory is a symbolic link, or something is no file
        """
        root = cls()
        for path in path_list:
            if dir_contents_to_base and is_directory(path):
                root._add_directory_contents(path)
            else:
                root._add(path)
        return root

    def walk(self) -> Iterator[TaggedFilesHierarchy]:
        """This and all below it, each before what it holds."""
        yield self
        for directory in self.dirs.values():
            yield from directory.walk()

    def _add(self, path: str) -> None:
        if is_directory(path):
            name = Path(path).name
            below = self.dirs.get(name) or TaggedFilesHierarchy(self, name)
            self.dirs[name] = below
            below._add_directory_contents(path)
        else:
            check_file(path)
            self.files.append(path)

    def _add_directory_contents(self, path: str) -> None:
        if Path(path).is_symlink():
            raise InputError(
                f"{path} is a symbolic link to a directory and cannot be configured;"
                " name the directory itself"
            )
        for name in list_directory(path):
            self._add(f"{path}/{name}")


def is_directory(path: str) -> bool:
    """True if a directory is there, or a link to one; False also where one may not look."""
    return os.path.isdir(path)  # noqa: PTH112  # Path.is_dir() raises where one may not look


def check_file(path: str) -> None:
    """See that a regular file is there and can be read.

    :raises PathNotFoundError: it is not there
    :raises InputError: it is something else, or may not be read
    """
    if os.path.isfile(path):  # noqa: PTH113  # as in is_directory
        if not os.access(path, os.R_OK, effective_ids=True):
            raise InputError(f"{path} cannot be read; permission denied")
        return
    try:
        Path(path).stat()
    except PermissionError as error:
        raise InputError(f"{path} cannot be read; permission denied") from error
    except OSError as error:
        raise PathNotFoundError(f"no such file or directory: {path}") from error
    raise InputError(f"{path} is neither a file nor a directory")


def list_directory(path: str) -> list[str]:
    """The sorted names in a directory.

    :raises InputError: it may not be read
    """
    try:
        return sorted(entry.name for entry in Path(path).iterdir())
    except OSError as error:
        raise InputError(f"{path} cannot be read; {error.strerror}") from error


class EntityFiles:
    """The files attached to a model; paths are absolute.

    :param tagged: templates, or directories of templates whose hierarchy is kept
    :param copy: files to copy, or directories whose contents are copied
    :param symlink: files and directories to link to
    :raises PathNotFoundError: one is not there
    :raises InputError: one cannot be read, is called as a file of ours, or is a directory to
        configure behind a symbolic link
    """

    __slots__ = ("copy", "link", "tagged", "tagged_hierarchy")

    def __init__(self, tagged: Paths = None, copy: Paths = None, symlink: Paths = None) -> None:
        self.tagged = _checked("to_configure", tagged)
        self.copy = _checked("to_copy", copy)
        self.link = _checked("to_symlink", symlink)
        self.tagged_hierarchy = TaggedFilesHierarchy.from_list_paths(
            self.tagged, dir_contents_to_base=True
        )

    def __str__(self) -> str:
        return files_table([("", self)])


def _checked(argument: str, paths: Paths) -> tuple[str, ...]:
    if paths is None:
        return ()
    listed = [paths] if isinstance(paths, str | os.PathLike) else paths
    if isinstance(listed, bytes) or not isinstance(listed, Iterable):
        raise InputTypeError(f"{argument} must be a list of paths, not {paths!r}")
    return tuple(_checked_path(argument, path) for path in listed)


def _checked_path(argument: str, path: object) -> str:
    if not isinstance(path, str | os.PathLike):
        raise InputTypeError(f"{argument} must be a list of paths, not of {path!r}")
    absolute = check_path(path)
    if is_directory(absolute):
        taken = argument != "to_symlink" and PARAMS_FILE in list_directory(absolute)
    else:
        check_file(absolute)
        taken = Path(absolute).name == PARAMS_FILE
    if taken:
        raise InputError(
            f"{argument} has a file called {PARAMS_FILE} in {absolute}; generate writes one of"
            " that name, so rename it"
        )
    return absolute


def files_table(owners: Sequence[tuple[str, EntityFiles]]) -> str:
    """A table of attached files; the owners' names stand in it if there are any."""
    from tabulate import tabulate

    named = any(name for name, _ in owners)
    rows: list[list[Any]] = []
    for name, files in owners:
        kinds = (("Copy", files.copy), ("Symlink", files.link), ("Configure", files.tagged))
        for kind, paths in kinds:
            if paths:
                rows.append([*([name] if named else []), kind, "\n".join(paths)])
    headers = [*(["Model"] if named else []), "Strategy", "Files"]
    return tabulate(rows, headers=headers, tablefmt="grid")
