from __future__ import annotations

from pathlib import Path

import pytest

from smartcore.entity import Ensemble, Model
from smartcore.error import InputError, InputTypeError
from smartcore.launch.bundle import bundles
from smartcore.spec import BatchSettings, Command, Resources, RunSettings, Step, Tag


class Batch(BatchSettings):
    def __init__(self, nodes: int | None = None) -> None:
        self._nodes = nodes
        super().__init__("submit", {"qos": "low"})

    def set_nodes(self, num_nodes: int) -> None:
        self._nodes = num_nodes

    def set_hostlist(self, host_list: str | list[str]) -> None: ...

    def set_queue(self, queue: str) -> None: ...

    def set_walltime(self, walltime: str) -> None: ...

    def set_account(self, account: str) -> None: ...

    def format_batch_args(self) -> list[str]:
        return []

    def job_resources(self) -> Resources:
        return Resources(nodes=self._nodes)


def ensemble(name: str, settings: BatchSettings | None, count: int = 3) -> Ensemble:
    return Ensemble(
        name, {}, run_settings=RunSettings("true"), replicas=count, batch_settings=settings
    )


def steps(*entities: Model | Ensemble, nodes: int | None = None) -> dict[str, Step]:
    where = Path("/nowhere")
    names = [
        model.name
        for entity in entities
        for model in (entity.models if isinstance(entity, Ensemble) else [entity])
    ]
    needs = Resources(nodes=nodes)
    return {
        name: Step(name, Tag(name), Command(("true",)), where, where, where, needs)
        for name in names
    }


def test_without_batch_settings_there_is_no_job() -> None:
    entity = ensemble("e", None)
    assert bundles([entity], steps(entity)) == {}


def test_the_members_of_an_ensemble_are_one_job() -> None:
    settings = Batch(nodes=2)
    settings.add_preamble("module load x")
    entity = ensemble("e", settings)
    found = bundles([entity], steps(entity))
    (job,) = {id(job): job for job in found.values()}.values()
    assert list(found) == ["e_0", "e_1", "e_2"]
    assert [step.name for step in job.steps] == ["e_0", "e_1", "e_2"]
    assert (job.name, job.resources, job.array) == ("e", Resources(nodes=2), False)
    assert (job.preamble, job.arguments) == (("module load x",), {"qos": "low"})


def test_models_and_members_may_have_jobs_of_their_own() -> None:
    model = Model("m", {}, RunSettings("true"), "/nowhere", batch_settings=Batch())
    group = Ensemble("g", {}, batch_settings=None, run_settings=RunSettings("true"), replicas=1)
    group.models[0].batch_settings = Batch()
    found = bundles([model, group], steps(model, group))
    assert found["m"].tag != found["g_0"].tag
    assert [len(job.steps) for job in found.values()] == [1, 1]


def test_only_what_is_to_run_is_in_the_job() -> None:
    entity = ensemble("e", Batch())
    some = steps(entity)
    del some["e_1"]
    assert [step.name for step in bundles([entity], some)["e_0"].steps] == ["e_0", "e_2"]
    assert bundles([entity], {}) == {}


@pytest.mark.parametrize(
    ("job", "member", "array"),
    [
        (None, None, False),  # members that say nothing may share what there is
        (1, None, False),
        (1, 1, True),
        (None, 1, True),
        (2, 2, True),
        (4, 1, False),
    ],
)
def test_members_that_each_need_what_the_job_asks_for_are_an_array(
    job: int | None, member: int | None, array: bool
) -> None:
    entity = ensemble("e", Batch(job))
    assert bundles([entity], steps(entity, nodes=member))["e_0"].array is array


def test_settings_decide_about_the_array() -> None:
    settings = Batch(1)
    entity = ensemble("e", settings)
    settings.set_array(False)
    assert not bundles([entity], steps(entity, nodes=1))["e_0"].array
    settings.set_array(throttle=2)
    job = bundles([entity], steps(entity))["e_0"]
    assert (job.array, job.throttle) == (True, 2)
    single = ensemble("s", settings, 1)
    assert not bundles([single], steps(single))["s_0"].array


def test_wrong_options_of_an_array_are_named() -> None:
    with pytest.raises(InputTypeError, match="array is 'yes'"):
        Batch().set_array("yes")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="throttle"):
        Batch().set_array(throttle=0)


def test_a_job_for_one_step_has_room_for_it() -> None:
    where = Path("/nowhere")
    needs = Resources(nodes=1, tasks=4, cpus_per_task=2, gpus_per_node=1)
    model = Model("m", {}, RunSettings("true"), "/nowhere", batch_settings=Batch(2))
    step = Step("m", Tag("m"), Command(("true",)), where, where, where, needs)
    job = bundles([model], {"m": step})["m"]
    assert job.resources == Resources(nodes=2, tasks=4, cpus_per_task=2, gpus_per_node=1)
