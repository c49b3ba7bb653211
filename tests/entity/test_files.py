from __future__ import annotations

from pathlib import Path

import pytest

from smartcore.entity import TaggedFilesHierarchy
from smartcore.error import InputError


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    for name in ("t/a.txt", "t/deep/b.txt", "t/deep/deeper/c.txt", "single"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def found(hierarchy: TaggedFilesHierarchy) -> dict[str, list[str]]:
    return {
        directory.base: [Path(file).name for file in directory.files]
        for directory in hierarchy.walk()
    }


def test_contents_of_a_directory_go_to_the_base_with_their_hierarchy(templates: Path) -> None:
    paths = [str(templates / "t"), str(templates / "single")]
    hierarchy = TaggedFilesHierarchy.from_list_paths(paths, dir_contents_to_base=True)
    assert found(hierarchy) == {
        "": ["a.txt", "single"],
        "deep": ["b.txt"],
        "deep/deeper": ["c.txt"],
    }


def test_a_directory_can_keep_its_own_name(templates: Path) -> None:
    hierarchy = TaggedFilesHierarchy.from_list_paths([str(templates / "t")])
    assert list(found(hierarchy)) == ["", "t", "t/deep", "t/deep/deeper"]
    assert hierarchy.dirs["t"].parent is hierarchy


def test_two_directories_are_merged(templates: Path) -> None:
    other = templates / "other" / "deep"
    other.mkdir(parents=True)
    (other / "d.txt").touch()
    paths = [str(templates / "t"), str(templates / "other")]
    hierarchy = TaggedFilesHierarchy.from_list_paths(paths, dir_contents_to_base=True)
    assert found(hierarchy)["deep"] == ["b.txt", "d.txt"]


def test_a_part_of_a_hierarchy_has_a_parent_and_a_plain_name() -> None:
    root = TaggedFilesHierarchy()
    assert TaggedFilesHierarchy(TaggedFilesHierarchy(root, "a"), "b").base == "a/b"
    with pytest.raises(InputError, match="both a parent and a name"):
        TaggedFilesHierarchy(root)
    with pytest.raises(InputError, match="both a parent and a name"):
        TaggedFilesHierarchy(None, "a")
    with pytest.raises(InputError, match="not the name of a directory"):
        TaggedFilesHierarchy(root, "a/b")
