from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from smartcore.spec import BatchSettings, Launcher, RunCommand, RunSettings
from smartcore_slurm import plugin


class Launchers:
    def __init__(self) -> None:
        self.added: dict[str, tuple[str, ...]] = {}
        self.run_commands: tuple[str, ...] = ()

    def add(
        self,
        name: str,
        factory: str,
        /,
        *,
        detect: str = "",
        run_commands: Sequence[str] = (),
        batch_settings: str = "",
        auto: bool = True,
        summary: str = "",
    ) -> None:
        self.added[name] = (factory, detect, batch_settings)
        self.run_commands = tuple(run_commands)

    def compose(self, name: str, /, *, scheduler: str, run_command: str, summary: str = "") -> None:
        raise AssertionError(name)


class RunCommands:
    def __init__(self) -> None:
        self.added: dict[str, tuple[str, str]] = {}

    def add(self, name: str, target: str, /, *, settings: str, summary: str = "") -> None:
        self.added[name] = (target, settings)


def resolve(target: str) -> object:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def of_kind(target: str, kind: type) -> bool:
    found = resolve(target)
    return isinstance(found, type) and issubclass(found, kind)


def test_every_registered_target_is_there_and_of_its_kind() -> None:
    launchers, commands = Launchers(), RunCommands()
    plugin.smartcore_register_launchers(launchers)
    plugin.smartcore_register_run_commands(commands)
    ((factory, detect, batch),) = launchers.added.values()
    assert list(launchers.added) == ["slurm"]
    assert launchers.run_commands == ("srun", "mpirun", "mpiexec")
    assert of_kind(factory, Launcher)
    assert callable(resolve(detect))
    assert of_kind(batch, BatchSettings)
    ((target, settings),) = commands.added.values()
    assert of_kind(target, RunCommand)
    assert of_kind(settings, RunSettings)
