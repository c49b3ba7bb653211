"""``smartcore plan`` and ``explain``: who runs where, and why something does not run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smartcore.amounts import span
from smartcore.error import InputError

from .experiments import PATH, named, observer_of
from .output import Json, json_option, print_facts, print_json, print_table
from .shell import Shell, pass_shell

if TYPE_CHECKING:
    from smartcore.launch.plan import Planned
    from smartcore.launch.run import Run
    from smartcore.observe import Observer


@click.command()
@PATH
@json_option
@pass_shell
def plan(shell: Shell, path: Path, as_json: bool) -> None:
    """Show who runs where in the allocation of the experiment in PATH, and who is next.

    Those of TURN 1 run, or could at once. Each of the others starts the moment that its place is
    free; TURN is the order if all take equally long.

    \b
    Examples:
      smartcore plan ./my-experiment
    """
    from smartcore.launch.plan import places

    with observer_of(shell, path) as observer:
        runs = observer.refresh()
        rows: list[dict[str, Json]] = []
        for allocation, planned in _plans(observer, runs):
            states = {run.name: run.status.state.value for run in runs}
            rows += [
                {
                    "name": one.name,
                    "state": states[one.name],
                    "turn": one.turn or None,
                    "allocation": allocation or None,
                    "places": places(one),
                }
                for one in planned
            ]
    if as_json:
        print_json({"experiment": observer.story.name, "plan": rows})
        return
    if not observer.story.nodes:
        raise InputError(
            f"{path} ran nothing in an allocation whose nodes are known; there is no plan"
        )
    if not rows:
        click.echo("nothing runs or waits")
    else:
        print_table(rows)


def _plans(observer: Observer, runs: list[Run]) -> list[tuple[str, list[Planned]]]:
    from smartcore.launch.plan import plan as share_out
    from smartcore.launch.run import SHARD

    found = []
    for allocation, nodes in observer.story.nodes.items():
        own = [run for run in runs if run.step.resources.allocation == allocation and run.active]
        running = [(run.name, run.shares) for run in own if run.shares]
        waiting = [(run.name, run.step.resources) for run in own if run.job is None]
        lasting = {run.name for run in own if run.kind == SHARD}
        found.append((allocation, share_out(nodes, waiting, running, lasting=lasting)))
    return found


@click.command()
@PATH
@click.argument("name")
@json_option
@pass_shell
def explain(shell: Shell, path: Path, name: str, as_json: bool) -> None:
    """Tell all that is known about NAME, a model or shard of the experiment in PATH: how it stands,
    who says so, why it waits or how it ended, where it runs, and what it wrote last.

    \b
    Examples:
      smartcore explain ./my-experiment flow_0
    """
    from smartcore.launch.report import tail

    with observer_of(shell, path) as observer:
        run = named(observer.refresh(), name)
        facts = _facts(observer, run)
        attempts = [
            f"run {other.run_id}: {other.status.state.value}"
            + (f", {other.status.reason}" if other.status.reason else "")
            for other in observer.story.runs
            if other.name == name and other.run_id != run.run_id
        ]
        facts["earlier"] = attempts or None
    last = tail(run.step.stderr)
    if as_json:
        print_json({**facts, "last_errors": last.splitlines()})
        return
    print_facts(facts)
    if last:
        click.echo(f"\n{run.step.stderr} ends with:")
        for line in last.splitlines():
            click.echo(f"    {line}")


def _facts(observer: Observer, run: Run) -> dict[str, Json]:
    from smartcore.launch.plan import Planned, places

    status = run.status
    age = max(0.0, (datetime.now(UTC) - status.seen).total_seconds())
    stale = ", and nobody confirms it now" if observer.is_stale(run) else ""
    driver = observer.driver
    known = run.active or run.ended is not None or status.elapsed is not None
    seconds = run.seconds() if known else None
    return {
        "name": run.name,
        "type": run.kind,
        "run": run.run_id,
        "state": status.state.value,
        "why": _why(run),
        "cause": status.cause.value if status.cause else None,
        "exit code": status.returncode,
        "seen": f"{span(age)} ago by {status.source.value}{stale}",
        "job": observer.native_ids([run]).get(run.job) if run.job is not None else None,
        "host": status.host or observer.story.hosts.get(run.step.tag) or None,
        "place": places(Planned(run.name, run.shares, 1)) or None,
        "elapsed": span(seconds) if seconds is not None else None,
        "driver": f"process {driver.pid} on {driver.host}" if driver else "none",
        "directory": str(run.step.cwd),
        "output": str(run.step.stdout),
        "errors": str(run.step.stderr),
    }


def _why(run: Run) -> str | None:
    if run.status.reason:
        return run.status.reason
    if run.active and run.job is None:
        return "waits for a place: others of its experiment run first"
    return None
