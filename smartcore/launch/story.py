"""What the lines of journals say about an experiment. Pure: reading files is :mod:`.journal`'s."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from smartcore.launch.plain import (
    node_from_json,
    resources_from_json,
    share_from_json,
    status_from_json,
    time_of,
)
from smartcore.launch.run import SHARD, Run
from smartcore.spec import Cause, Command, Job, JobId, Node, State, Status, Step, Tag

Line = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Driver:
    """A process that wrote, or writes, a journal.

    :param living: it holds the lock on it
    :param born: its start time in clock ticks after boot, 0 if it did not say
    :param opened: when it took the experiment up
    """

    host: str
    pid: int
    living: bool
    born: int
    opened: datetime


@dataclass
class Story:
    """What the journals of an experiment say, merged.

    :param name: the experiment's name
    :param launcher: the launcher of its newest driver
    :param runs: every launch, in order
    :param databases: checkpoint of each database that was started, by identifier
    :param uses: the same of databases of other experiments that were taken up
    :param drivers: who wrote, in the order in which they began to
    :param hosts: from where each run was launched
    :param nodes: what each allocation grants, where the core plans
    :param driven: tags of what a living driver launched or took up: it tells what becomes of them
    :param handed: tags of what launchers were given
    :param stopped: tags of what was ended by somebody who did not drive it
    """

    name: str = ""
    launcher: str = ""
    runs: list[Run] = field(default_factory=list)
    databases: dict[str, str] = field(default_factory=dict)
    uses: dict[str, str] = field(default_factory=dict)
    drivers: list[Driver] = field(default_factory=list)
    hosts: dict[Tag, str] = field(default_factory=dict)
    nodes: dict[str, list[Node]] = field(default_factory=dict)
    driven: set[Tag] = field(default_factory=set)
    handed: set[Tag] = field(default_factory=set)
    stopped: set[Tag] = field(default_factory=set)


def standing(runs: Iterable[Run]) -> list[Run]:
    """The newest run of each name, and whatever older one has not ended; in their order."""
    runs = list(runs)
    newest = {run.name: run for run in runs}
    return [run for run in runs if run.active or newest[run.name] is run]


def apply(line: Line, story: Story, runs: dict[Tag, Run]) -> None:
    """Let a story, and its runs by their tags, know what one line says."""
    tell = _TELLERS.get(str(line["what"]))
    if tell is not None:
        tell(line, story, runs)


def _open(line: Line, story: Story, runs: dict[Tag, Run]) -> None:
    story.name, story.launcher = str(line["experiment"]), str(line["launcher"])


def _launch(line: Line, story: Story, runs: dict[Tag, Run]) -> None:
    launched = [_run(item, _at(line)) for item in listed(line["runs"])]
    runs |= {run.step.tag: run for run in launched}
    # Those of one job were written down together.
    for run in launched:
        if run.bundle is not None:
            tag = run.bundle.tag
            own = [other.step for other in launched if other.bundle and other.bundle.tag == tag]
            run.bundle = replace(run.bundle, steps=tuple(own))


def _handed(line: Line, story: Story, runs: dict[Tag, Run]) -> None:
    story.handed |= tags_of(line)


def _started(line: Line, story: Story, runs: dict[Tag, Run]) -> None:
    for tag, job in _by_tag(line["jobs"]):
        if tag in runs and runs[tag].active:
            runs[tag].job = JobId(str(job))
            runs[tag].status = Status(State.RUNNING, seen=time_of(_at(line)))
            runs[tag].started = _monotonic(_at(line))
    for tag, shares in _by_tag(line.get("places")):
        if tag in runs:
            runs[tag].shares = tuple(map(share_from_json, listed(shares)))


def _ended(line: Line, story: Story, runs: dict[Tag, Run]) -> None:
    run = runs.get(Tag(str(line["tag"])))
    if run is not None:
        run.status = status_from_json(mapped(line["status"]))
        # When it was found that it had ended says nothing about one whose end nobody saw.
        known = run.status.state is not State.LOST and run.started is not None
        run.started, run.ended = (run.started, _monotonic(_at(line))) if known else (None, None)


def _nodes(line: Line, story: Story, runs: dict[Tag, Run]) -> None:
    nodes = [node_from_json(item) for item in listed(line["nodes"])]
    story.nodes[str(line["allocation"])] = nodes


def _database(line: Line, story: Story, runs: dict[Tag, Run]) -> None:
    story.databases[str(line["identifier"])] = str(line["checkpoint"])


def _replaced(line: Line, story: Story, runs: dict[Tag, Run]) -> None:
    for tag in tags_of(line) & runs.keys():
        runs[tag].replaced = True


def _uses(line: Line, story: Story, runs: dict[Tag, Run]) -> None:
    story.uses[str(line["identifier"])] = str(line["checkpoint"])


_TELLERS: Mapping[str, Callable[[Line, Story, dict[Tag, Run]], None]] = {
    "open": _open,
    "launch": _launch,
    "handed": _handed,
    "started": _started,
    "ended": _ended,
    "nodes": _nodes,
    "database": _database,
    "uses": _uses,
    "replaced": _replaced,
}


def tags_of(line: Line) -> set[Tag]:
    """The tags that a line names."""
    tags = line.get("tags")
    return {Tag(str(tag)) for tag in tags} if isinstance(tags, list) else set()


def _by_tag(value: object) -> Iterator[tuple[Tag, object]]:
    for tag, item in mapped(value).items():
        yield Tag(tag), item


def _at(line: Line) -> float:
    return float(str(line["at"]))


def _monotonic(at: float) -> float:
    # A clock that was set back does not make a time that is to come.
    return time.monotonic() - max(0.0, time.time() - at)


def _run(item: Line, at: float) -> Run:
    paths = {key: Path(str(item[key])) for key in ("cwd", "out", "err")}
    tag = Tag(str(item["tag"]))
    needs = resources_from_json(mapped(item.get("needs")))
    step = Step(
        str(item["name"]), tag, Command(()), paths["cwd"], paths["out"], paths["err"], needs
    )
    run = Run(step, str(item["kind"]), int(str(item["run_id"])))
    run.status = Status(State.QUEUED, seen=time_of(at))
    bundle = mapped(item.get("bundle"))
    if bundle:
        job_tag, array = Tag(str(bundle["tag"])), bool(bundle["array"])
        run.bundle = Job(str(bundle["name"]), job_tag, (step,), array=array)
    return run


def unheard(run: Run, handed: Collection[Tag]) -> Status:
    """The status of a run that was written down, and that no launcher is found to have started.

    :param handed: tags of what launchers were given: of those nobody knows whether they started
    """
    if run.step.tag not in handed:
        reason = "its driver ended before it was started"
        return replace(run.status, state=State.CANCELLED, cause=Cause.STOPPED, reason=reason)
    reason = "its driver ended while launching it"
    return replace(run.status, state=State.LOST, cause=Cause.UNSEEN, reason=reason)


def is_unexplained(run: Run) -> bool:
    """True if it may have been stopped though its status does not say so: nobody saw its end, or
    it is a server, which does not end with code 0 unless it is told to.
    """
    state = run.status.state
    return state is State.LOST or (run.kind == SHARD and state is State.COMPLETED)


def heed(run: Run, stopped: Collection[Tag]) -> None:
    """Let a run whose end is unexplained have been stopped, if somebody was about to end it.

    :param stopped: tags of what somebody was about to end
    """
    if is_unexplained(run) and run.step.tag in stopped:
        run.status = replace(run.status, state=State.CANCELLED, cause=Cause.STOPPED, reason="")


def listed(value: object) -> list[Line]:
    """A value that should be a list of objects; nothing if it is none."""
    return value if isinstance(value, list) else []


def mapped(value: object) -> Line:
    """A value that should be an object; an empty one if it is none."""
    return value if isinstance(value, dict) else {}
