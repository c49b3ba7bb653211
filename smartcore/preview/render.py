"""Previews as text: plain, through jinja2, or JSON.

The JSON is one object: ``schema_version`` (raised when a key changes its meaning or goes),
``verbosity``, and ``experiment``, an :class:`~.view.ExperimentPreview` with the keys of its
fields. Each verbosity has all keys of the lesser ones.
"""

from __future__ import annotations

import json
import textwrap
from functools import cache
from typing import TYPE_CHECKING

from .text import printable, shown
from .view import ExperimentPreview, Format, Json, Verbosity, format_of, verbosity_of, visible

if TYPE_CHECKING:
    from jinja2 import Template

SCHEMA_VERSION = 1


def render(
    preview: ExperimentPreview,
    verbosity: str = Verbosity.INFO,
    output_format: str = Format.PLAINTEXT,
) -> str:
    """The text of a preview, without the last line's end.

    :param verbosity: ``info``, ``debug`` or ``developer``
    :param output_format: ``plain_text`` or ``json``
    :raises InputError: there is no such verbosity
    :raises PreviewFormatError: there is no such format
    """
    contents = document(preview, verbosity)
    if format_of(output_format) is Format.JSON:
        return json.dumps(contents, indent=2)
    return _template().render(contents).rstrip("\n")


def document(preview: ExperimentPreview, verbosity: str = Verbosity.INFO) -> dict[str, Json]:
    """What :func:`render` writes down, as plain lists and dictionaries.

    :raises InputError: there is no such verbosity
    """
    level = verbosity_of(verbosity)
    return {
        "schema_version": SCHEMA_VERSION,
        "verbosity": level.value,
        "experiment": visible(preview, level),
    }


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("smartcore.preview"),
        # Plain text for terminals and files: nothing to escape for HTML.
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters["shown"] = shown
    environment.filters["printable"] = printable
    environment.filters["json"] = json.dumps
    environment.filters["indented"] = lambda text, width: textwrap.indent(text, " " * width)
    return environment.get_template("preview.jinja")
