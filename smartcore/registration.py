"""What plugins register: the entries, and the typed registrars that collect them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered thing: who registered it, and the target that makes it."""

    name: str
    plugin: str
    target: str
    summary: str = ""


@dataclass(frozen=True, slots=True)
class LauncherEntry(Entry):
    """A launcher; a composed one names the scheduler and the run command it consists of."""

    detect: str = ""
    run_commands: tuple[str, ...] = ()
    batch_settings: str = ""
    auto: bool = True
    scheduler: str = ""


@dataclass(frozen=True, slots=True)
class RunCommandEntry(Entry):
    """A run command with the settings class that users fill in for it."""

    settings: str = ""


@dataclass
class Registrar:
    """What hooks receive: collects the entries of one plugin and kind."""

    plugin: str
    entries: list[Entry] = field(default_factory=list)

    def _append(self, entry: Entry) -> None:
        if not isinstance(entry.name, str) or not entry.name or not entry.target:
            raise ValueError("a registration needs a name and a target")
        if any(other.name == entry.name for other in self.entries):
            raise ValueError(f"{entry.name!r} is registered twice")
        self.entries.append(entry)


class Targets(Registrar):
    def add(self, name: str, target: str, /, *, summary: str = "") -> None:
        self._append(Entry(name, self.plugin, _checked(target), summary))


class RunCommands(Registrar):
    def add(self, name: str, target: str, /, *, settings: str, summary: str = "") -> None:
        target, settings = _checked(target), _checked(settings)
        self._append(RunCommandEntry(name, self.plugin, target, summary, settings))


class Launchers(Registrar):
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
        for target in (factory, detect, batch_settings):
            if target:
                _checked(target)
        self._append(
            LauncherEntry(
                name,
                self.plugin,
                factory,
                summary,
                detect,
                tuple(run_commands),
                batch_settings,
                auto,
            )
        )

    def compose(self, name: str, /, *, scheduler: str, run_command: str, summary: str = "") -> None:
        self._append(
            LauncherEntry(
                name,
                self.plugin,
                "composed",
                summary,
                run_commands=(run_command,),
                scheduler=scheduler,
            )
        )


def _checked(target: str) -> str:
    module, _, attribute = target.partition(":")
    if not module or not attribute:
        raise ValueError(f"target {target!r} is not of the form 'module:attribute'")
    return target


# One registration hook each: smartcore_register_<kind>.
KINDS: Mapping[str, type[Registrar]] = {
    "launchers": Launchers,
    "run_commands": RunCommands,
    "databases": Targets,
    "colocations": Targets,
    "sites": Targets,
    "checks": Targets,
    "commands": Targets,
}
