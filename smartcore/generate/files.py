"""What the files attached to a model become in its directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from smartcore.entity import EntityFiles, Model
from smartcore.entity.files import check_file, is_directory, list_directory
from smartcore.entity.params import text_params
from smartcore.error import InputError, ParameterWriterError
from smartcore.log import get_logger

from .template import Template, cut, unknown_tags

logger = get_logger(__name__)

_SHOWN = 5  # unknown tags in one message


@dataclass(frozen=True, slots=True)
class Configured:
    """A template and where it goes.

    :param source: absolute path
    :param destination: relative to the model's directory
    :param mode: permission bits, as those of the source
    :param used: the parameters in it, each once, in the order of their first tags
    """

    source: str
    destination: str
    mode: int
    template: Template
    used: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FilePlan:
    """What is made in a directory, in this order. All destinations are relative to it.

    :param directories: destination and permission bits
    :param copies: source and destination
    :param links: source and destination
    :param configured: templates
    :param used: the parameters in the templates
    :param attached: files and directories from which all this comes
    :param source_directories: the directories among them whose contents are copied
    """

    directories: tuple[tuple[str, int], ...] = ()
    copies: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    configured: tuple[Configured, ...] = ()
    used: tuple[str, ...] = ()
    attached: tuple[str, ...] = ()
    source_directories: tuple[str, ...] = ()


class FilePlanner:
    """Makes the plan of each model's files; models that share files and names share the plan.

    :param tag: the delimiter of tags
    :param strict: refuse unknown tags
    """

    def __init__(self, tag: str, *, strict: bool) -> None:
        self._tag = tag
        self._strict = strict
        self._plans: dict[tuple[int, frozenset[str]], FilePlan] = {}
        self._texts: dict[str, tuple[bytes, int]] = {}
        self._left: dict[str, None] = {}

    @property
    def left(self) -> list[str]:
        """What looks like a tag and is left as it is, one line for each."""
        return list(self._left)

    def plan(self, model: Model) -> FilePlan:
        """The plan of one model's files.

        :raises PathNotFoundError: an attached file is there no more
        :raises InputError: two would have the same name
        :raises ParameterWriterError: a template cannot be read, or has an unknown tag
        """
        if model.files is None:
            return FilePlan()
        key = (id(model.files), frozenset(model.params))
        if key not in self._plans:
            self._plans[key] = self._new_plan(model, model.files)
        return self._plans[key]

    def values(self, model: Model, files: FilePlan) -> dict[str, bytes]:
        """The values that the templates need, as they are written.

        :raises InputTypeError: a parameter is neither text nor number
        """
        params = text_params(repr(model.name), model.params)
        return {name: _encoded(model.name, name, params[name]) for name in files.used}

    def _new_plan(self, model: Model, files: EntityFiles) -> FilePlan:
        layout = _Layout(model.name)
        for path in files.copy:
            layout.copy(path)
        for path in files.link:
            layout.link(path)
        configured = self._configured(model, files, layout)
        plan = FilePlan(
            directories=tuple(layout.directories.items()),
            copies=tuple(layout.copies),
            links=tuple(layout.links),
            configured=tuple(configured),
            used=tuple(dict.fromkeys(name for item in configured for name in item.used)),
            attached=(*files.copy, *files.link, *files.tagged),
            source_directories=tuple(
                path for path in (*files.copy, *files.tagged) if is_directory(path)
            ),
        )
        unused = sorted(set(model.params).difference(plan.used))
        if unused and plan.configured:
            logger.debug("no tagged file of %s uses %s", model.name, ", ".join(unused))
        return plan

    def _configured(self, model: Model, files: EntityFiles, layout: _Layout) -> list[Configured]:
        found: list[Configured] = []
        unknown: list[str] = []
        # looked at anew: the files may have changed since they were attached
        for directory in EntityFiles(files.tagged).tagged_hierarchy.walk():
            if directory.base:
                layout.directory(directory.base, directory.base, 0o777)
            for source in directory.files:
                name = Path(source).name
                destination = f"{directory.base}/{name}" if directory.base else name
                layout.claim(destination, source)
                text, mode = self._text(source)
                unknown += _described(source, text, self._tag, model.params)
                template = cut(text, self._tag, model.params)
                used = tuple(dict.fromkeys(template.names))
                found.append(Configured(source, destination, mode, template, used))
        if unknown:
            self._unknown(model, unknown)
        return found

    def _unknown(self, model: Model, unknown: list[str]) -> None:
        if self._strict:
            shown = "; ".join(unknown[:_SHOWN])
            more = f" (and {len(unknown) - _SHOWN} more)" if len(unknown) > _SHOWN else ""
            raise ParameterWriterError(
                f"{shown}{more}: no parameter of {model.name!r}, which has"
                f" {', '.join(model.params) or 'none'}; add it to params, attach the file with"
                " to_copy if it is no template, choose another tag=, or leave such text as it is"
                " with strict=False"
            )
        new = [line for line in unknown if line not in self._left]
        for line in new:
            logger.warning("%s: no parameter of %s, left as it is", line, model.name)
        self._left.update(dict.fromkeys(new))

    def _text(self, source: str) -> tuple[bytes, int]:
        if source not in self._texts:
            try:
                with Path(source).open("rb") as file:
                    mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o777
                    self._texts[source] = file.read(), mode
            except OSError as error:
                raise ParameterWriterError(f"{source} cannot be read: {error.strerror}") from error
        return self._texts[source]


def _described(source: str, text: bytes, tag: str, params: Mapping[str, str]) -> list[str]:
    return [
        f"{source}, line {line}: {tag}{name}{tag}" for line, name in unknown_tags(text, tag, params)
    ]


def _encoded(model: str, name: str, value: str) -> bytes:
    try:
        return value.encode(errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise ParameterWriterError(
            f"parameter {name!r} of {model!r} holds {value[error.start]!r}, which is no character"
            " that can be written"
        ) from error


class _Layout:
    """Where files go; two of one name are refused."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._sources: dict[str, str] = {}
        self.directories: dict[str, int] = {}
        self.copies: list[tuple[str, str]] = []
        self.links: list[tuple[str, str]] = []

    def claim(self, destination: str, source: str) -> None:
        if destination in self._sources or destination in self.directories:
            other = self._sources.get(destination, "a directory")
            raise InputError(
                f"{other} and {source} are attached to {self._model!r} and would both become"
                f" {destination}; rename or leave out one of them"
            )
        self._sources[destination] = source

    def directory(self, destination: str, source: str, mode: int) -> None:
        if destination in self._sources:
            raise InputError(
                f"{self._sources[destination]} and {source} are attached to {self._model!r} and"
                f" would both become {destination}; rename or leave out one of them"
            )
        self.directories.setdefault(destination, mode)

    def link(self, path: str) -> None:
        if not is_directory(path):
            check_file(path)
        name = Path(path).name
        self.claim(name, path)
        self.links.append((path, name))

    def copy(self, path: str) -> None:
        if is_directory(path):
            self._copy_contents(path, "", (os.path.realpath(path),))
        else:
            self._copy_file(path, Path(path).name)

    def _copy_file(self, path: str, destination: str) -> None:
        check_file(path)
        self.claim(destination, path)
        self.copies.append((path, destination))

    def _copy_contents(self, path: str, base: str, above: tuple[str, ...]) -> None:
        for name in list_directory(path):
            source, destination = f"{path}/{name}", f"{base}/{name}" if base else name
            if not is_directory(source):
                self._copy_file(source, destination)
                continue
            real = os.path.realpath(source)
            if real in above:
                raise InputError(f"{source} is a symbolic link to a directory that holds it")
            mode = stat.S_IMODE(Path(source).stat().st_mode) & 0o777
            self.directory(destination, source, mode)
            self._copy_contents(source, destination, (*above, real))
