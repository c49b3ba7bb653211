from __future__ import annotations

from pathlib import Path

import pytest

import smartcore.entity
from smartcore.entity import DBNode, Entity, EntityList, SmartSimEntity, TelemetryConfiguration
from smartcore.error import DatabaseError, EntityExistsError, InputError, InputTypeError
from smartcore.spec import ShardAddress
from smartcore.spec.settings import RunSettings

RUN = RunSettings("true")


@pytest.mark.parametrize(
    "name",
    ["", "  ", ".", "..", "-n", "a/b", "a\nb", "a\0b", "a\x7f", "x" * 241, ".smartcore",
     "smartcore_params.txt"],
)  # fmt: skip
def test_a_name_that_no_directory_or_job_can_have_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot be the name of an entity"):
        Entity(name, "/tmp", RUN)


@pytest.mark.parametrize("name", ["a", "größe", "a b", "a.b", "v1.0-beta", "x" * 240])
def test_other_names_are_accepted(name: str) -> None:
    assert Entity(name, "/tmp", RUN).name == name


def test_things_of_the_wrong_type_are_refused() -> None:
    with pytest.raises(InputTypeError, match="a name must be a str"):
        Entity(3, "/tmp", RUN)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="a path must be a str"):
        Entity("a", 3, RUN)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="run settings of 'a' are of type str"):
        Entity("a", None, "true")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not a path"):
        Entity("a", "", RUN)


def test_paths_are_absolute_and_default_to_where_the_program_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    entity = Entity("a", None, RUN)
    assert entity.path == str(tmp_path)
    entity.set_path("x/../y")
    assert entity.path == f"{tmp_path}/y"
    entity.set_path(Path("z"))
    assert entity.path == f"{tmp_path}/z"
    with pytest.raises(InputTypeError):
        entity.set_path(None)  # type: ignore[arg-type]


def test_an_entity_shows_its_name_and_type() -> None:
    entity = SmartSimEntity("a", "/tmp", RUN)
    assert (repr(entity), entity.type) == ("a", "Entity")


def test_a_list_is_indexed_by_name_and_by_number() -> None:
    entities = EntityList("both", "/tmp", [Entity("a", "/", RUN), Entity("b", "/", RUN)])
    assert entities["b"] is entities[1] is entities[-1]
    assert entities["c"] is None
    assert [entity.name for entity in entities] == ["a", "b"]
    assert len(entities) == 2
    assert not entities.batch
    with pytest.raises(IndexError):
        entities[2]
    with pytest.raises(InputTypeError, match="indexed by a name or an integer"):
        entities[1.0]  # type: ignore[call-overload]


def test_a_list_takes_each_name_once() -> None:
    entities = EntityList[Entity]("both", "/tmp")
    entities.append(Entity("a", "/", RUN))
    with pytest.raises(EntityExistsError, match="'both' has an entity named 'a' already"):
        entities.append(Entity("a", "/", RUN))


def test_a_list_moves_with_all_that_is_in_it() -> None:
    entities = EntityList("both", "/tmp", [Entity("a", "/", RUN)])
    entities.set_path("/var")
    assert entities.path == entities[0].path == "/var"


def test_telemetry_is_off_until_switched_on() -> None:
    class Noted(TelemetryConfiguration):
        changes = ""

        def _on_enable(self) -> None:
            self.changes += "+"

        def _on_disable(self) -> None:
            self.changes += "-"

    telemetry = Noted()
    assert not telemetry.is_enabled
    telemetry.enable()
    assert telemetry.is_enabled
    telemetry.disable()
    assert not telemetry.is_enabled
    assert telemetry.changes == "+-"


def test_a_database_node_knows_where_it_listens_once_it_was_started() -> None:
    node = DBNode("db_0", "/tmp", RUN, [6379, 6380], ["db_0.out"], "db")
    assert (node.num_shards, node.is_mpmd, node.db_identifier) == (1, False, "db")
    with pytest.raises(DatabaseError, match="start it first"):
        _ = node.host
    node.set_hosts("n1")
    assert node.host == "n1"
    assert node.get_launched_shard_info() == [ShardAddress("n1", 6379), ShardAddress("n1", 6380)]
    node.set_hosts(["n1", "n2"])
    with pytest.raises(InputError, match="several hosts: n1, n2"):
        _ = node.host
    node.clear_hosts()
    with pytest.raises(DatabaseError):
        _ = node.hosts


def test_a_database_node_removes_what_an_earlier_launch_left(tmp_path: Path) -> None:
    for name in ("db_0.out", "settings", "extra.log", "data"):
        (tmp_path / name).touch()
    node = DBNode("db_0", tmp_path, RUN, [6379], ["extra.log"])
    node.set_files([tmp_path / "settings", tmp_path / "gone"])
    node.remove_stale_dbnode_files()
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]


def test_everything_public_can_be_imported() -> None:
    for name in smartcore.entity.__all__:
        assert getattr(smartcore.entity, name).__name__
