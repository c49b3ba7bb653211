"""Which directories are made and removed; refuses what would do harm, and touches nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from smartcore.entity.files import is_directory, list_directory
from smartcore.error import InputError, PathExistsError


class DirectoryChecks:
    """Takes the directories of entities one by one and finds out what stands in their way.

    :param experiment_path: the experiment's directory
    :param overwrite: the user allowed the removal of what is there
    """

    def __init__(self, experiment_path: Path, *, overwrite: bool) -> None:
        self._overwrite = overwrite
        self._owners: dict[str, str] = {}
        self._remove: dict[str, str] = {}
        self._writable: set[str] = set()
        root = os.path.abspath(experiment_path)  # noqa: PTH100  # links are kept
        self._root = os.path.realpath(root)
        self._check_place(f"{root}/x")
        self._protected = _with_ancestors([root, f"{root}/.smartcore", Path.home(), Path.cwd()])

    def add(self, name: str, path: str, *, always_anew: bool = False) -> str:
        """Check one directory that is to be made; returns its absolute path.

        :param always_anew: in the experiment it is replaced even without the user's word
        :raises PathExistsError: something is there and may not be removed
        :raises InputError: it belongs to another entity, cannot be made, or may never be removed
        """
        path = os.path.abspath(path)  # noqa: PTH100  # links are kept
        if path in self._owners:
            raise InputError(
                f"{self._owners[path]!r} and {name!r} have the same directory {path};"
                " each needs its own"
            )
        self._owners[path] = name
        status = status_of(path)
        if status is None:
            self._check_place(path)
        elif not any(parent in self._remove for parent in ancestors(path)):
            self._check_existing(name, path, status, always_anew)
            self._remove[path] = name
        return path

    def removals(self, sources: Iterable[str]) -> tuple[str, ...]:
        """The directories to remove.

        :param sources: attached files and directories, which must not be among what is removed
        :raises InputError: one of them is
        """
        removed = {os.path.realpath(path): name for path, name in self._remove.items()}
        for source in sources if removed else ():
            real = os.path.realpath(source)
            for place in (real, *ancestors(real)):
                if place in removed:
                    raise InputError(
                        f"{source} is an attached file in {place}, the directory of"
                        f" {removed[place]!r}, which overwrite=True would remove; move it away"
                    )
        return tuple(self._remove)

    def _check_existing(
        self, name: str, path: str, status: os.stat_result, always_anew: bool
    ) -> None:
        if stat.S_ISLNK(status.st_mode):
            raise PathExistsError(
                f"{path}, the directory of {name!r}, is a symbolic link, which is never replaced;"
                " remove it or give another path"
            )
        if not stat.S_ISDIR(status.st_mode):
            raise PathExistsError(
                f"{path}, the directory of {name!r}, is a file; remove it or give another path"
            )
        real = os.path.realpath(path)
        anew = always_anew and (self._root in ancestors(real) or not list_directory(path))
        if not (self._overwrite or anew):
            raise PathExistsError(
                f"{path}, the directory of {name!r}, exists already; pass overwrite=True to"
                " remove it with all that is in it, or give another path"
            )
        if real in self._protected:
            raise InputError(
                f"{path}, the directory of {name!r}, holds the experiment, the home or the"
                " current directory and is never removed; give another path"
            )
        self._check_place(path)

    def _check_place(self, path: str) -> None:
        parent = os.path.dirname(path)  # noqa: PTH120  # called for each of very many
        if parent in self._writable:
            return
        check_creatable(path)
        self._writable.add(parent)


def ancestors(path: str) -> list[str]:
    """The directories above an absolute path, the nearest first."""
    return [str(parent) for parent in Path(path).parents]


def _with_ancestors(paths: Iterable[str | Path]) -> frozenset[str]:
    places = [os.path.realpath(path) for path in paths]
    return frozenset(above for place in places for above in (place, *ancestors(place)))


def status_of(path: str) -> os.stat_result | None:
    """What stands at a path, links not followed; None if there is nothing.

    :raises InputError: the path cannot be
    """
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be used as a directory: {error.strerror}") from error


def check_creatable(path: str) -> None:
    """See that the nearest directory above that is there can be written to.

    :raises PathExistsError: a file stands where a directory is needed
    :raises InputError: permission denied
    """
    for parent in ancestors(path):
        status = status_of(parent)
        if status is None:
            continue
        if not is_directory(parent):
            raise PathExistsError(f"{path} cannot be made, because {parent} is no directory")
        if not os.access(parent, os.W_OK | os.X_OK, effective_ids=True):
            raise InputError(f"{path} cannot be made: no permission to write in {parent}")
        return
