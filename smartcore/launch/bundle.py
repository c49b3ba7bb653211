"""Which steps go to a workload manager together: a model's own job, an ensemble's, or an array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from smartcore.entity import Ensemble, Model
from smartcore.launch.step import make_tag
from smartcore.spec import BatchSettings, Job, Step


def bundles(entities: Sequence[object], steps: Mapping[str, Step]) -> dict[str, Job]:
    """The job that each step is a part of, by its name; steps without batch settings have none.

    :param entities: what is started
    :param steps: those of its models and members that are to run, by name
    """
    found: dict[str, Job] = {}
    for entity in entities:
        if not isinstance(entity, Model | Ensemble) or entity.batch_settings is None:
            members = entity.models if isinstance(entity, Ensemble) else ()
            found |= bundles(members, steps)  # these may have jobs of their own
            continue
        names = [model.name for model in _models(entity) if model.name in steps]
        if names:
            job = bundle(entity.name, entity.batch_settings, [steps[name] for name in names])
            found |= dict.fromkeys(names, job)
    return found


def bundle(name: str, settings: BatchSettings, steps: Sequence[Step]) -> Job:
    """One job for these steps.

    It becomes an array if the settings say so. If they say nothing, it does where the job that is
    asked for is just what one member asks for, so that it cannot be meant for all of them.
    """
    resources = settings.job_resources()
    array = settings.array
    if array is None:
        # Without a number of its own, a member may well be one of many on the job's nodes.
        each = {step.resources.nodes for step in steps}
        array = None not in each and each == {resources.nodes or 1}
    return Job(
        name=name,
        tag=make_tag(name),
        steps=tuple(steps),
        resources=resources,
        preamble=tuple(settings.preamble),
        arguments=dict(settings.batch_args),
        array=array and len(steps) > 1,
        throttle=settings.throttle,
    )


def _models(entity: Model | Ensemble) -> Sequence[Model]:
    return entity.models if isinstance(entity, Ensemble) else [entity]
