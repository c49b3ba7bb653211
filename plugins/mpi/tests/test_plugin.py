from __future__ import annotations

from importlib import import_module

from smartcore.spec import RunCommand
from smartcore.spec.mpi import MpiSettings
from smartcore_mpi import plugin


class Recorder:
    def __init__(self) -> None:
        self.added: dict[str, tuple[str, str]] = {}

    def add(self, name: str, target: str, /, *, settings: str, summary: str = "") -> None:
        self.added[name] = (target, settings)


def resolve(target: str) -> object:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def test_every_registered_target_is_there_and_of_its_kind() -> None:
    recorder = Recorder()
    plugin.smartcore_register_run_commands(recorder)
    assert sorted(recorder.added) == ["mpiexec", "mpirun", "orterun"]
    for name, (target, settings) in recorder.added.items():
        command, cls = resolve(target), resolve(settings)
        assert isinstance(command, type)
        assert issubclass(command, RunCommand)
        assert isinstance(cls, type)
        assert issubclass(cls, MpiSettings)
        assert cls.__name__ == f"{name.capitalize()}Settings"
