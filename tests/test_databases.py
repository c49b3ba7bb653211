from __future__ import annotations

from pathlib import Path

from smartcore.database import Orchestrator
from smartcore.registry import default_registry
from smartcore.session import Session


def test_databases_may_come_and_go_while_somebody_goes_through_them(tmp_path: Path) -> None:
    # The engine tells of an end while the driver starts another database.
    registry = default_registry()
    session = Session("exp", tmp_path, "local", registry, registry.load_config(), None)
    session.databases.take(Orchestrator("/nowhere", run_command="", db_identifier="one"))
    for _ in session.databases:
        session.databases.take(Orchestrator("/nowhere", run_command="", db_identifier="two"))
    assert session.databases.identifiers == ["one", "two"]
    session.close()
