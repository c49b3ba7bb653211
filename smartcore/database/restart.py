"""Bringing back shards that have ended: at the same addresses, with the same passwords and the same
place in their cluster, and with the data that they have on disk.

Their configurations, and what clustered servers wrote down of their cluster, stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from smartcore.error import DatabaseError
from smartcore.launch.step import make_tag
from smartcore.log import get_logger
from smartcore.spec import (
    DatabaseBackend,
    Placement,
    Resources,
    Saved,
    ShardPlan,
    Step,
)

from .checkpoint import write_checkpoint
from .kept import loss
from .live import LiveDatabase
from .meeting import Meeting, await_shards
from .nodes import Ground, spec_again
from .ports import check_ports, port_offsets
from .start import TIMEOUT, Deadline, Runner, await_serving, explained

log = get_logger(__name__)

_ASK_TIMEOUT = timedelta(seconds=5)


def restart_shards(
    live: LiveDatabase,
    names: Sequence[str],
    runner: Runner,
    backend: DatabaseBackend,
    checkpoint: Path,
    *,
    needs: Mapping[str, Resources],
    ground: Ground | None = None,
    timeout: timedelta = TIMEOUT,
    clock: Callable[[], float] = time.monotonic,
) -> LiveDatabase:
    """Start these shards again, and return when the whole database serves.

    On any error nothing is left running of what was started here.

    :param names: of shards that have ended
    :param checkpoint: the file by which other drivers find the database
    :param needs: what each shard needs on this host, by its name
    :param ground: where they run, if not on this host
    :param timeout: how long it may take; on other hosts, when all of them run
    :raises DatabaseError: an address is taken, data cannot be read, or no answer in time; with the
        end of the server's output
    """
    again = [shard for shard in live.shards if shard.name in names]
    tag = make_tag(live.identifier)
    steps = [
        _step_again(live, shard, needs.get(shard.name, Resources()), backend, ground, tag, timeout)
        for shard in again
    ]
    try:
        runner.start(steps)
        if ground is None:
            await_serving(runner, backend, live.shards, steps, Deadline(timeout, clock))
        else:
            _meet(ground.meeting(tag), tag, runner, backend, again, steps, timeout, clock)
        by_name = {step.name: step for step in steps}
        steps = [by_name.get(shard.name) or live.step_of(shard.index) for shard in live.shards]
        jobs = {**live.jobs, **runner.jobs()}
        made = replace(
            live,
            steps=tuple(steps),
            jobs={step.name: jobs[step.name] for step in steps if step.name in jobs},
        )
        write_checkpoint(made, checkpoint)
    except BaseException:
        runner.stop()
        raise
    return made


def _step_again(
    live: LiveDatabase,
    shard: ShardPlan,
    needs: Resources,
    backend: DatabaseBackend,
    ground: Ground | None,
    tag: str,
    timeout: timedelta,
) -> Step:
    if not shard.directory.is_dir():
        raise DatabaseError(f"{shard.directory} of {shard.name} was removed; start it anew")
    old = live.step_of(shard.index)
    step = replace(
        old,
        name=shard.name,
        tag=make_tag(shard.name),
        stdout=shard.directory / f"{shard.name}.out",
        stderr=shard.directory / f"{shard.name}.err",
        resources=needs,
    )
    if ground is None:
        check_ports(shard, port_offsets(backend, len(shard.peers)))
        return replace(step, command=replace(old.command, files=()))
    node = live.nodes[shard.index]
    server = backend.command(live.server, shard)
    ready = backend.readiness(shard)
    offsets = port_offsets(backend, len(shard.peers))
    spec = spec_again(
        shard,
        server,
        ready,
        offsets=offsets,
        tag=tag,
        step=step.tag,
        ground=ground,
        timeout=timeout,
    )
    file = ground.script(step.tag, spec)
    command = ground.command([file], shard.directory, Placement((node,)))
    needs = replace(ground.resources[shard.index], hosts=(node,))
    return replace(step, command=command, resources=needs)


def _meet(
    directory: Path,
    tag: str,
    runner: Runner,
    backend: DatabaseBackend,
    shards: Sequence[ShardPlan],
    steps: Sequence[Step],
    timeout: timedelta,
    clock: Callable[[], float],
) -> None:
    meeting = Meeting(directory, tag, [step.name for step in steps])
    try:
        await_shards(meeting, runner.failure, runner.waits, timeout, clock=clock)
    except DatabaseError as error:
        raise DatabaseError(explained(str(error), backend, shards, steps)) from None
    finally:
        meeting.remove()


# -- what came back, and what did not --------------------------------------------------------------


def tell_restarted(
    live: LiveDatabase,
    backend: DatabaseBackend,
    ended: Mapping[str, datetime | None],
    kept: Mapping[str, Saved | None],
) -> None:
    """Log what each restarted shard holds, and what is lost.

    :param ended: when each of them ended; None if it wrote all its data before
    :param kept: what each had on disk
    """
    shards = [shard for shard in live.shards if shard.name in ended]
    for shard, found in zip(shards, backend.statistics(shards, _ASK_TIMEOUT), strict=True):
        when, saved = ended[shard.name], kept[shard.name]
        where = f"{shard.name} serves again at {shard.address}"
        if found.answered and (when is None or saved is not None):
            where += f" with {found.keys} keys"
        if when is None:
            log.info("%s, all that it had", where)
        elif saved is None and found.data is not None and found.data.is_dir():
            log.warning("%s; its data are kept in %s", where, found.data)
        else:
            log.warning("%s; %s", where, loss(saved, when))
