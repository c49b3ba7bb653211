from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from smartcore.database import Orchestrator, Runner, reconnect, start_database
from smartcore.database.checkpoint import read_checkpoint
from smartcore.error import DatabaseError, DatabaseFileError, InputTypeError, PathNotFoundError
from smartcore.registry import Registry
from smartcore.spec import DatabaseBackend

Spoil = Callable[[dict[str, object]], object]


def test_another_driver_takes_up_a_running_database(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, environment: Mapping[str, str]
) -> None:
    database = Orchestrator(tmp_path / "db", db_identifier="mine")
    live = start_database(database, runner, backend, environment=environment)
    assert live.jobs == dict(runner.jobs())
    found, jobs = reconnect(database.checkpoint_file, Registry())
    assert found.is_active()
    assert found.get_address() == database.get_address()
    assert found.db_identifier == "mine"
    assert jobs == live.jobs
    assert found.live is not None
    assert found.live.credentials == live.credentials
    assert [step.command.argv for step in found.live.steps] == [live.steps[0].command.argv]
    found.set_max_memory("1gb")
    runner.stop()
    assert not found.is_active()
    with pytest.raises(DatabaseError, match="does not answer"):
        reconnect(database.checkpoint_file, Registry())


def test_a_checkpoint_holds_no_secret(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, bundled: Mapping[str, str]
) -> None:
    database = Orchestrator(tmp_path)
    live = start_database(database, runner, backend, environment=bundled)
    text = Path(database.checkpoint_file).read_text()
    assert live.credentials.password not in text
    assert live.credentials.admin_password not in text


def test_a_server_that_took_the_port_since_is_not_taken_for_ours(
    tmp_path: Path,
    runner: Runner,
    make_runner: Callable[[], Runner],
    backend: DatabaseBackend,
    bundled: Mapping[str, str],
) -> None:
    mine = Orchestrator(tmp_path / "mine")
    start_database(mine, runner, backend, environment=bundled)
    (port,) = mine.ports
    runner.stop()
    theirs = Orchestrator(tmp_path / "theirs", port=port)
    start_database(theirs, make_runner(), backend, environment=bundled)
    with pytest.raises(DatabaseError, match="refuses our password"):
        reconnect(mine.checkpoint_file, Registry())
    assert not mine.is_active()
    assert theirs.is_active()


def test_a_missing_checkpoint_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match=r"there is no .*; give the checkpoint_file"):
        read_checkpoint(tmp_path / "smartcore_db.json")


@pytest.mark.parametrize("text", ["", '{"version": 1, "ident', "[]", "null", '{"version": 1}'])
def test_a_torn_checkpoint_is_an_error_with_its_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "smartcore_db.json"
    path.write_text(text)
    with pytest.raises(DatabaseFileError, match=str(path)):
        read_checkpoint(path)


def test_a_checkpoint_of_a_newer_version_is_refused_politely(tmp_path: Path) -> None:
    path = tmp_path / "smartcore_db.json"
    path.write_text(json.dumps({"version": 2}))
    with pytest.raises(DatabaseFileError, match="newer smartcore"):
        read_checkpoint(path)


def test_a_checkpoint_without_its_secrets_is_an_error(
    tmp_path: Path, runner: Runner, backend: DatabaseBackend, bundled: Mapping[str, str]
) -> None:
    database = Orchestrator(tmp_path)
    live = start_database(database, runner, backend, environment=bundled)
    live.admin_file.unlink()
    with pytest.raises(DatabaseFileError, match="cannot read"):
        read_checkpoint(Path(database.checkpoint_file))


def test_what_is_no_path_is_no_checkpoint() -> None:
    with pytest.raises(InputTypeError, match="checkpoint is a int"):
        reconnect(3, Registry())  # type: ignore[arg-type]
