"""Who is next, and where: with an engine, and a launcher in memory that has nodes and jobs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from smartcore.error import LauncherError
from smartcore.launch import journal
from smartcore.launch.engine import Engine
from smartcore.launch.journal import Journal
from smartcore.launch.run import SHARD, Run
from smartcore.spec import (
    ABSENT,
    Answer,
    Cause,
    Command,
    EventSink,
    Job,
    JobId,
    Launcher,
    Node,
    Placement,
    Resources,
    Started,
    State,
    Status,
    Step,
    Tag,
    Work,
)

NOWHERE = Path("/nowhere")


class Allocated(Launcher):
    """Two nodes of four cores; tells of ends when the test says so."""

    def __init__(self) -> None:
        self.sink: EventSink = lambda job, status: None
        self.started: list[Work] = []
        self.asked_for: list[str] = []
        self.broken = False

    def watch(self, sink: EventSink, /) -> None:
        self.sink = sink

    def nodes(self, allocation: str, /) -> Sequence[Node]:
        self.asked_for.append(allocation)
        if self.broken:
            raise LauncherError("no answer")
        return [] if allocation == "none" else [Node("a", 4), Node("b", 4)]

    def start(self, work: Sequence[Work], /) -> Sequence[Started]:
        self.started += work
        answers = []
        for item in work:
            members = (
                tuple(JobId(f"{item.name}.{step.name}") for step in item.steps)
                if isinstance(item, Job) and len(item.steps) > 1
                else ()
            )
            if item.name == "refused":
                answers.append(Started(error="no such queue"))
            else:
                answers.append(Started(JobId(item.name), members=members))
        return answers

    def status(self, ids: Collection[JobId], /) -> Mapping[JobId, Answer]:
        return dict.fromkeys(ids, ABSENT)

    def stop(self, ids: Collection[JobId], /) -> None:
        for job in ids:
            self.sink(job, Status(State.CANCELLED, -15, Cause.STOPPED))

    @property
    def names(self) -> list[str]:
        return [item.name for item in self.started]


@pytest.fixture
def launcher() -> Allocated:
    return Allocated()


@pytest.fixture
def engine(launcher: Allocated) -> Iterator[Engine]:
    made = Engine(launcher)
    yield made
    made.close()


def make_run(name: str, **needs: object) -> Run:
    resources = Resources(**needs)  # type: ignore[arg-type]
    step = Step(name, Tag(f"{name}-t"), Command(("x",)), NOWHERE, NOWHERE, NOWHERE, resources)
    run = Run(step, "Model")

    def place(where: Placement) -> Step:
        argv = ("at", ",".join(where.hosts), ",".join(map(str, where.cpus)))
        return Step(name, step.tag, Command(argv), NOWHERE, NOWHERE, NOWHERE, resources)

    run.place = place
    return run


def end(launcher: Allocated, engine: Engine, *runs: Run) -> None:
    for run in runs:
        assert run.job is not None
        launcher.sink(run.job, Status(State.COMPLETED, 0))
    engine.submit([])  # returns when all before it was handled


# -- steps in an allocation ---------------------------------------------------------------------


def test_a_step_is_made_for_the_place_that_it_gets(launcher: Allocated, engine: Engine) -> None:
    runs = [make_run("m", tasks=3), make_run("n", tasks=2, cpus_per_task=2)]
    engine.submit(runs)
    assert [run.step.command.argv for run in runs] == [("at", "a", "3"), ("at", "b", "4")]


def test_another_attempt_keeps_its_own_tag_at_its_place(
    launcher: Allocated, engine: Engine
) -> None:
    run = make_run("m")
    again = Run(replace(run.step, tag=Tag("m-again")), "Model", 1, place=run.place)
    engine.submit([again])
    assert again.step.tag == "m-again"
    assert again.step.command.argv[:2] == ("at", "a")


def test_what_the_limit_does_not_hold_back_goes_before_what_waits(
    launcher: Allocated, engine: Engine
) -> None:
    first, second = (make_run(name, tasks=8) for name in "ab")
    shard = make_run("shard", nodes=1)
    shard.limited = False
    engine.submit([first, second])
    engine.submit([shard])
    end(launcher, engine, first)
    assert launcher.names == ["a", "shard"]


def test_it_is_told_what_is_left_of_the_nodes(launcher: Allocated, engine: Engine) -> None:
    engine.submit([make_run("m", tasks=3)])
    assert [node.cpus for node in engine.nodes("")] == [4, 4]
    assert sorted(node.cpus for node in engine.nodes("", free=True)) == [1, 4]


def test_the_next_starts_the_moment_its_cores_are_free(launcher: Allocated, engine: Engine) -> None:
    runs = [make_run(name, tasks=4) for name in "abc"]
    engine.submit(runs)
    assert launcher.names == ["a", "b"]
    assert runs[2].status.state is State.QUEUED
    end(launcher, engine, runs[1])
    assert launcher.names == ["a", "b", "c"]
    assert runs[2].shares[0].node == "b"


def test_what_can_never_run_fails_before_it_is_started_and_the_others_go_on(
    launcher: Allocated, engine: Engine
) -> None:
    large, small = make_run("large", nodes=3), make_run("small")
    engine.submit([large, small])
    assert (large.status.state, large.status.cause) == (State.FAILED, Cause.START_FAILURE)
    assert "large cannot run in the allocation" in large.status.reason
    assert launcher.names == ["small"]


def test_what_has_no_room_beside_databases_fails_and_does_not_wait_for_their_end(
    launcher: Allocated, engine: Engine
) -> None:
    first = replace(make_run("a", tasks=4), kind=SHARD, limited=False)
    model = make_run("model", tasks=6)
    engine.submit([first, model])
    assert model.status.state is State.FAILED
    assert "no room for it beside a; ask for more cores" in model.status.reason
    fits, waits = make_run("fits", tasks=4), make_run("waits", tasks=4)
    engine.submit([fits, waits])
    assert [run.status.state for run in (fits, waits)] == [State.RUNNING, State.QUEUED]
    first.stopping = True  # its place is about to be free: it is restarted, for instance
    engine.submit([make_run("again", tasks=8)])
    assert "again" not in launcher.names
    end(launcher, engine, first)
    end(launcher, engine, fits, waits)
    assert launcher.names[-1] == "again"


def test_those_that_could_not_be_started_leave_their_place_to_the_next(
    launcher: Allocated, engine: Engine
) -> None:
    wanted, other = make_run("refused", tasks=8), make_run("other", tasks=8)
    refused = [replace(wanted, step=replace(wanted.step, tag=Tag(f"{i}"))) for i in range(4)]
    engine.submit([*refused, other])
    assert {run.status.reason for run in refused} == {"no such queue"}
    assert other.status.state is State.RUNNING


def test_one_that_waits_for_a_place_can_be_stopped(launcher: Allocated, engine: Engine) -> None:
    runs = [make_run(name, tasks=8) for name in "abc"]
    engine.submit(runs)
    engine.stop([runs[1]])
    end(launcher, engine, runs[0])
    assert launcher.names == ["a", "c"]
    assert runs[1].status.state is State.CANCELLED


def test_allocations_are_kept_apart_and_asked_about_once(
    launcher: Allocated, engine: Engine
) -> None:
    runs = [make_run(f"m{index}", tasks=8, allocation=str(index % 2)) for index in range(4)]
    engine.submit(runs)
    assert launcher.names == ["m0", "m1"]
    end(launcher, engine, *runs[:2])
    assert launcher.names == ["m0", "m1", "m2", "m3"]
    assert launcher.asked_for == ["0", "1"]


@pytest.mark.parametrize("broken", [True, False])
def test_without_known_nodes_the_limit_alone_holds_back(launcher: Allocated, broken: bool) -> None:
    launcher.broken = broken
    engine = Engine(launcher, max_running=2)
    runs = [make_run(name, tasks=99, allocation="none") for name in "abc"]
    engine.submit(runs)
    assert launcher.names == ["a", "b"]
    assert not runs[0].shares
    end(launcher, engine, runs[0])
    assert launcher.names == ["a", "b", "c"]
    engine.close()


def test_who_takes_up_an_experiment_knows_which_cores_are_taken(
    tmp_path: Path, launcher: Allocated, engine: Engine
) -> None:
    runs = [make_run("m", tasks=4), make_run("n", tasks=4)]
    engine.submit(runs)
    written = Journal(tmp_path)
    written.opened("exp", "x")
    written.launch(runs)
    written.started(runs)
    written.close()
    attached = journal.read(tmp_path).runs
    assert [run.shares for run in attached] == [run.shares for run in runs]
    again = Allocated()
    again.attach = lambda ids: {job: Status(State.RUNNING) for job in ids}  # type: ignore[attr-defined]
    other = Engine(again)
    other.attach(attached)
    waiting = make_run("late", tasks=4)
    other.submit([waiting])
    assert again.names == []
    again.sink(JobId("n"), Status(State.COMPLETED, 0))
    other.submit([])
    assert waiting.shares[0].node == "b"
    other.close()


# -- jobs of several steps ----------------------------------------------------------------------


def together(name: str, *members: str, **options: object) -> list[Run]:
    runs = [make_run(member) for member in members]
    steps = tuple(run.step for run in runs)
    job = Job(name, Tag(f"{name}-t"), steps, **options)  # type: ignore[arg-type]
    for run in runs:
        run.bundle = job
    return runs


def test_members_of_a_job_are_handed_over_as_one_and_known_one_by_one(
    launcher: Allocated, engine: Engine
) -> None:
    runs = together("job", "x", "y", array=True)
    engine.submit(runs)
    (job,) = launcher.started
    assert isinstance(job, Job)
    assert ([step.name for step in job.steps], job.array) == (["x", "y"], True)
    assert [run.job for run in runs] == ["job.x", "job.y"]
    end(launcher, engine, runs[0])
    assert [run.active for run in runs] == [False, True]


def test_a_job_is_the_schedulers_to_hold_back(launcher: Allocated) -> None:
    engine = Engine(launcher, max_running=1)
    engine.submit([*together("j1", "x", "y"), *together("j2", "z"), make_run("step", tasks=8)])
    assert launcher.names == ["j1", "j2", "step"]
    engine.close()


def test_a_job_that_is_refused_fails_all_its_members_with_the_words_of_the_scheduler(
    launcher: Allocated, engine: Engine
) -> None:
    runs = together("refused", "x", "y")
    engine.submit(runs)
    assert [run.status.reason for run in runs] == ["no such queue"] * 2
    assert {run.status.state for run in runs} == {State.FAILED}
