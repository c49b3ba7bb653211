"""Makes the directories of entities, with copied and linked files and filled templates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from smartcore.log import get_logger

from .plan import Generatable, Plan, make_plan
from .template import check_tag
from .write import carry_out

__all__ = ["Generatable", "GenerateReport", "generate"]

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class GenerateReport:
    """What was made.

    :param directories: of ensembles, databases and models, in this order
    :param removed: directories that were there before
    :param configured: how many templates were filled
    :param copied: how many files were copied
    :param linked: how many links were made
    :param unknown_tags: what looked like a tag and was left as it is, one line for each
    """

    directories: tuple[Path, ...]
    removed: tuple[Path, ...]
    configured: int
    copied: int
    linked: int
    unknown_tags: tuple[str, ...]


def generate(
    experiment_path: Path,
    entities: Iterable[Generatable],
    *,
    tag: str | None = None,
    overwrite: bool = False,
    verbose: bool = False,
    strict: bool = True,
) -> GenerateReport:
    """Make the directories of entities with their files.

    Everything is checked before anything is removed or written, so that an error about what was
    asked for leaves all as it was. The directory of a database in the experiment is always made
    anew.

    :param experiment_path: the experiment's directory; made if need be
    :param entities: models, ensembles and databases
    :param tag: what stands on both sides of a parameter's name in a template; None is ``;``
    :param overwrite: remove what stands in a directory's place, with all that is in it
    :param verbose: log every value that is put in
    :param strict: an unknown tag is an error; if not, it is left as it is with a warning
    :raises PathExistsError: a directory is there and may not be removed
    :raises PathNotFoundError: an attached file is there no more
    :raises ParameterWriterError: a template cannot be read, filled or written; an unknown tag is
        named with file and line
    :raises InputError: two entities or files have one path, or a path cannot be used
    """
    plan = make_plan(
        experiment_path, entities, tag=check_tag(tag), overwrite=overwrite, strict=strict
    )
    carry_out(experiment_path, plan)
    if verbose:
        _log_values(plan)
    return _report(plan)


def _log_values(plan: Plan) -> None:
    for model in plan.models:
        for item in model.files.configured:
            for name in item.used:
                value = model.values[name].decode(errors="backslashreplace")
                logger.info("%s/%s: %s = %s", model.path, item.destination, name, value)


def _report(plan: Plan) -> GenerateReport:
    files = [model.files for model in plan.models]
    return GenerateReport(
        directories=tuple(map(Path, (*plan.directories, *(model.path for model in plan.models)))),
        removed=tuple(map(Path, plan.remove)),
        configured=sum(len(each.configured) for each in files),
        copied=sum(len(each.copies) for each in files),
        linked=sum(len(each.links) for each in files),
        unknown_tags=plan.unknown_tags,
    )
