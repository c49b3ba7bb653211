"""Which steps go to a workload manager together: a model's own job, an ensemble's, or an array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from smartcore.entity import Ensemble, Model
from smartcore.launch.step import make_tag
from smartcore.spec import BatchSettings, Job, Resources, Step


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
    array = array and len(steps) > 1
    if array or len(steps) == 1:
        resources = _filled(resources, steps[0].resources)
    return Job(
        name=name,
        tag=make_tag(name),
        steps=tuple(steps),
        resources=resources,
        preamble=tuple(settings.preamble),
        arguments=dict(settings.batch_args),
        array=array,
        throttle=settings.throttle,
    )


def _filled(job: Resources, step: Resources) -> Resources:
    """What a job needs for one step: what was said of the job, then what was said of the step."""
    return Resources(
        nodes=job.nodes or step.nodes,
        tasks=job.tasks or step.tasks,
        tasks_per_node=job.tasks_per_node or step.tasks_per_node,
        cpus_per_task=job.cpus_per_task or step.cpus_per_task,
        gpus_per_node=job.gpus_per_node or step.gpus_per_node,
        memory_per_node=job.memory_per_node or step.memory_per_node,
        walltime=job.walltime or step.walltime,
        hosts=job.hosts or step.hosts,
        excluded_hosts=job.excluded_hosts or step.excluded_hosts,
    )


def _models(entity: Model | Ensemble) -> Sequence[Model]:
    return entity.models if isinstance(entity, Ensemble) else [entity]
