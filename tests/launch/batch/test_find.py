"""What a driver submitted that was killed before it heard of the id."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from smartcore.launch import journal
from smartcore.launch.finding import find_unheard
from smartcore.launch.journal import Journal
from smartcore.launch.run import Run
from smartcore.spec import ABSENT, Command, Job, State, Status, Step, Tag
from smartcore.testing.fakewlm.simulation import Program

if TYPE_CHECKING:
    from tests.launch.batch.conftest import Simulated

NOWHERE = Path("/nowhere")


def known(name: str, tag: str) -> Step:
    """A step as a journal tells of it."""
    return Step(name, Tag(tag), Command(()), NOWHERE, NOWHERE, NOWHERE)


def test_a_job_is_found_by_its_tag_and_followed_to_its_end(simulated: Simulated) -> None:
    simulated.programs(m=Program(30, 3))
    simulated.start("m")
    simulated.launcher = simulated.make()
    (found,) = simulated.launcher.find([known("m", "m-1")])
    assert found.id is not None
    status = simulated.ended(found.id)
    assert (status.state, status.returncode) == (State.FAILED, 3)
    assert len(simulated.sim.wlm.jobs) == 1


def test_members_of_an_array_are_found_one_by_one(simulated: Simulated) -> None:
    simulated.programs(a=Program(10, 4))
    simulated.array("a", 3)
    simulated.launcher = simulated.make()
    steps = tuple(known(f"a_{index}", f"a_{index}-1") for index in range(3))
    (found,) = simulated.launcher.find([Job("a", Tag("a-1"), steps, array=True)])
    assert [simulated.ended(job).returncode for job in found.members] == [4, 4, 4]
    assert len(set(found.members)) == 3
    assert len(simulated.sim.wlm.jobs) == 3


def test_what_was_never_submitted_is_absent_and_its_look_ups_are_few(simulated: Simulated) -> None:
    (found,) = simulated.launcher.find([known("m", "m-1")])
    assert found.id is not None
    assert simulated.after(60, found.id) is ABSENT
    assert simulated.sim.wlm.jobs == {}


def test_while_nobody_answers_nothing_is_known_of_it(simulated: Simulated) -> None:
    simulated.programs(m=Program(1000))
    simulated.start("m")
    simulated.launcher = simulated.make()
    (found,) = simulated.launcher.find([known("m", "m-1")])
    assert found.id is not None
    simulated.sim.script({"on": "query", "do": "fail", "times": 2})
    assert simulated.status(found.id) is ABSENT
    answer = simulated.after(120, found.id)
    assert isinstance(answer, Status)
    assert answer.state is State.RUNNING


def test_what_stands_in_a_journal_is_enough(simulated: Simulated, tmp_path: Path) -> None:
    simulated.programs(job=Program(20, 2))
    runs = [Run(simulated.step(name), "Model") for name in "xyz"]
    bundle = Job("job", Tag("job-1"), tuple(run.step for run in runs[:2]), array=True)
    runs[0].bundle = runs[1].bundle = bundle
    written = Journal(tmp_path)
    written.opened("exp", "fake")
    written.launch(runs)
    written.handed(runs)
    written.close()  # killed in the middle of the submits
    simulated.launcher.start([bundle])
    simulated.launcher = simulated.make()
    story = journal.read(tmp_path)
    again = story.runs
    assert find_unheard(again, simulated.launcher, None, story.handed) == []
    ids = [run.job for run in again if run.job is not None]
    assert [simulated.ended(job).returncode for job in ids[:2]] == [2, 2]
    assert simulated.status(ids[2]) is ABSENT


def test_members_are_called_what_the_scheduler_calls_them(simulated: Simulated) -> None:
    whole, members = simulated.array("a", 2)
    (single,) = simulated.start("m")
    names = simulated.launcher.native_ids([whole, *members, single])
    assert [names[job] for job in (whole, *members, single)] == ["1", "1_0", "1_1", "2"]
    (found,) = simulated.make().find([known("x", "x-1")])
    assert found.id is not None
    assert simulated.launcher.native_ids([found.id]) == {}
