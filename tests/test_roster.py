from __future__ import annotations

from pathlib import Path

from smartcore.database import Orchestrator
from smartcore.launch.run import MODEL, SHARD, Run
from smartcore.registry import default_registry
from smartcore.session import Session
from smartcore.spec import Command, State, Status, Step, Tag


def run(name: str, state: State, kind: str = SHARD) -> Run:
    here = Path("/nowhere")
    made = Run(Step(name, Tag(name), Command(()), here, here, here), kind)
    made.status = Status(state)
    return made


def test_shards_of_an_earlier_life_are_replaced_and_nothing_else(tmp_path: Path) -> None:
    registry = default_registry()
    session = Session("exp", tmp_path, "local", registry, registry.load_config(), None)
    roster, failed = session.roster, State.FAILED
    # A database that was one step, or had more shards, is now of three.
    roster.add([run("db", failed), run("db_7", State.CANCELLED), run("db_1", failed)])
    roster.add([run("db_8", State.RUNNING), run("db_9", failed, MODEL), run("db_x", failed)])
    # Another one has a name that looks like that of a shard.
    roster.add([run("db_3", failed)])
    session.databases.started["db_3"] = Orchestrator("/nowhere", db_identifier="db_3")
    database = Orchestrator("/nowhere", run_command="", db_nodes=3, db_identifier="db")
    assert [one.name for one in roster.replaced(database)] == ["db", "db_7"]
    for one in roster.replaced(database):
        one.replaced = True
    assert roster.replaced(database) == []
