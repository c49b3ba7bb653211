from __future__ import annotations

import os
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import smartcore.settings
from smartcore.error import PathNotFoundError, PluginMissingError, UnsupportedError
from smartcore.registry import Registry
from smartcore.settings import BatchSettings, RunSettings, Singularity
from smartcore.settings.settings import create_batch_settings, create_run_settings

PLUGIN = """
from smartcore.spec import BatchSettings, hookimpl
from smartcore.spec.mpi import MpiSettings

class Placer(MpiSettings):
    def __init__(self, exe, exe_args=None, run_args=None, env_vars=None, **kwargs):
        options = {"run_command": "placer", **kwargs}
        super().__init__(exe, exe_args, run_args=run_args, env_vars=env_vars, **options)

class Batch(BatchSettings):
    def __init__(self, nodes=None, time="", account=None, batch_args=None, **kwargs):
        super().__init__("submit", batch_args, nodes=nodes, time=time, account=account, **kwargs)
    def set_nodes(self, num_nodes): self.batch_args["nodes"] = str(num_nodes)
    def set_hostlist(self, host_list): pass
    def set_queue(self, queue): self.batch_args["queue"] = queue
    def set_walltime(self, walltime): self.batch_args["time"] = walltime
    def set_account(self, account): self.batch_args["account"] = account
    def format_batch_args(self): return []

@hookimpl
def smartcore_register_launchers(registry):
    registry.add("cluster", "made_up_plugin:x", run_commands=["srun", "placer"],
                 batch_settings="made_up_plugin:Batch")
    registry.add("plain", "made_up_plugin:x")

@hookimpl
def smartcore_register_run_commands(registry):
    registry.add("placer", "made_up_plugin:x", settings="made_up_plugin:Placer")
"""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    (tmp_path / "made_up_plugin.py").write_text(textwrap.dedent(PLUGIN))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "made_up_plugin", raising=False)
    return Registry([EntryPoint("made-up", "made_up_plugin", "smartcore")], disabled=())


def on_path(directory: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = directory / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    return path


def kind(settings: RunSettings | BatchSettings) -> str:
    return type(settings).__name__


def test_auto_is_plain_without_run_commands_on_path(registry: Registry) -> None:
    for launcher in ("cluster", "plain"):
        made = create_run_settings(launcher, "sh", registry=registry)
        assert (kind(made), made.run_command) == ("RunSettings", None)


def test_auto_takes_the_first_run_command_on_path(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placer = on_path(tmp_path, "placer", monkeypatch)
    made = create_run_settings("cluster", "sh", "-c true", env_vars={"A": "1"}, registry=registry)
    assert (kind(made), made.run_command) == ("Placer", str(placer))
    assert (made.exe_args, made.env_vars) == (["-c", "true"], {"A": "1"})
    assert create_run_settings("plain", "sh", registry=registry).run_command is None


def test_auto_passes_over_a_run_command_whose_plugin_is_missing(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path(tmp_path, "srun", monkeypatch)
    on_path(tmp_path, "placer", monkeypatch)
    assert kind(create_run_settings("cluster", "sh", registry=registry)) == "Placer"
    with pytest.raises(PluginMissingError, match="smartcore-slurm"):
        create_run_settings("cluster", "sh", run_command="srun", registry=registry)


def test_a_path_keeps_to_that_program(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "placer"
    on_path(tmp_path, "placer", monkeypatch).rename(other)
    made = create_run_settings("plain", "sh", run_command=str(other), registry=registry)
    assert (kind(made), made.run_command) == ("Placer", str(other))


def test_an_unknown_command_is_taken_literally(registry: Registry) -> None:
    made = create_run_settings(
        "cluster", "sh", run_command="env", run_args={"-u": "X"}, registry=registry
    )
    assert kind(made) == "RunSettings"
    assert made.format_run_args() == ["-u", "X"]


def test_no_run_command_at_all(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    for nothing in ("", None):
        made = create_run_settings("plain", "sh", run_command=nothing, registry=registry)
        assert made.run_command is None
    create_run_settings("plain", "sh", run_args={"np": 2}, registry=registry)
    assert "run_args ['np'] have no effect" in caplog.text


def test_a_run_command_that_is_not_there_is_named(registry: Registry) -> None:
    with pytest.raises(PathNotFoundError, match="run command 'no-such-mpi' was not found"):
        create_run_settings("plain", "sh", run_command="no-such-mpi", registry=registry)


def test_a_container_is_passed_on(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path(tmp_path, "placer", monkeypatch)
    for launcher in ("plain", "cluster"):
        made = create_run_settings(
            launcher, "solver", container=Singularity("i.sif"), registry=registry
        )
        assert made.container is not None
        assert (made.exe, made.container.image) == ("solver", "i.sif")


def test_an_unknown_launcher_is_an_error(registry: Registry) -> None:
    with pytest.raises(UnsupportedError, match="no-such-launcher"):
        create_run_settings("no-such-launcher", "sh", registry=registry)


def test_batch_settings_are_those_of_the_launcher(registry: Registry) -> None:
    made = create_batch_settings(
        *("cluster", 2, "01:00:00", "q", "acc", {"x": None}), registry=registry
    )
    assert kind(made) == "Batch"
    expected = {"x": None, "nodes": "2", "time": "01:00:00", "queue": "q", "account": "acc"}
    assert made.batch_args == expected
    assert create_batch_settings("cluster", registry=registry).batch_args == {}


def test_a_launcher_without_batch_jobs_says_so(registry: Registry) -> None:
    with pytest.raises(UnsupportedError, match="'plain' has no batch jobs"):
        create_batch_settings("plain", registry=registry)


def test_a_class_of_a_plugin_is_found_or_says_what_to_install() -> None:
    with pytest.raises(ImportError, match="smartcore-lsf"):
        from smartcore.settings import JsrunSettings  # noqa: F401
    with pytest.raises(AttributeError, match="NoSuchSettings"):
        smartcore.settings.NoSuchSettings  # noqa: B018
    assert not hasattr(smartcore.settings, "__wrapped__")
