from __future__ import annotations

from pathlib import Path

import pytest

from smartcore.error import LauncherError
from smartcore.launch import link
from smartcore.launch.keeping import KeeperProcesses
from smartcore.spec import Command, Step, Tag
from smartcore.testing.context import _runtime, clean_up, launcher_context


def sleeping(path: Path) -> Step:
    path.mkdir(parents=True)
    return Step("m", Tag("m-1"), Command(("sleep", "1000")), path, path / "out", path / "err")


def test_the_directory_of_sockets_is_short_private_and_gone_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 40) / "experiment"
    step = sleeping(path)
    context = launcher_context(path)
    (started,) = context.processes.start([step])
    assert started.id is not None, started.error
    runtime = _runtime(path)
    assert runtime.stat().st_mode & 0o777 == 0o700
    assert [file for file in runtime.iterdir() if file.is_socket()]
    facts = link.read_facts(link.Place(path, runtime))
    assert facts is not None
    context.processes.stop([started.id])
    context.processes.close()
    clean_up(path)
    assert not runtime.exists()
    link.wait_gone(facts.identity)  # it has nothing left to do but to leave


def test_all_processes_with_one_experiment_have_one_keeper(tmp_path: Path) -> None:
    first, second = launcher_context(tmp_path), launcher_context(tmp_path)
    (started,) = first.processes.start([sleeping(tmp_path / "m")])
    assert started.id is not None
    assert isinstance(second.processes, KeeperProcesses)
    second.processes.stop([started.id])
    answer = first.processes.status([started.id])[started.id]
    for context in (first, second):
        context.processes.close()
    clean_up(tmp_path)
    assert "CANCELLED" in str(answer)


def test_a_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    runtime = _runtime(tmp_path)
    runtime.mkdir(mode=0o755)
    try:
        with pytest.raises(LauncherError, match="is open to others; remove it"):
            launcher_context(tmp_path)
    finally:
        runtime.rmdir()
