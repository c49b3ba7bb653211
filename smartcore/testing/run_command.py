"""The contract of run commands: pure, complete, and never silent about what it cannot say."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from smartcore.error import UnsupportedError
from smartcore.spec import Command, Facts, Launch, Placement, RunCommand, RunSettings

from .context import load
from .contract import Contract, case
from .launcher.passing import TEXTS

Change = Callable[[RunSettings], None]
# What every run command can be asked for; it obeys or refuses.
CHANGES: Mapping[str, Change] = {
    "tasks": lambda settings: settings.set_tasks(3),
    "tasks per node": lambda settings: settings.set_tasks_per_node(2),
    "cpus per task": lambda settings: settings.set_cpus_per_task(5),
    "hosts": lambda settings: settings.set_hostlist(["node-a", "node-b"]),
    "walltime": lambda settings: settings.set_walltime("00:10:00"),
    "mapping": lambda settings: settings.set_task_map("node"),
}
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
EXECUTABLE = "/opt/some/bin/runner"
PROGRAM = "/bin/sh"


class RunCommandContract(Contract):
    """What a run command promises. A plugin's tests subclass this.

    :cvar command: target of the run command, as it is registered
    :cvar settings: target of its settings class, as it is registered
    :cvar outputs: what known versions print when probed, ``flavour -> text``
    """

    command: ClassVar[str]
    settings: ClassVar[str]
    outputs: ClassVar[Mapping[str, str]]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "flavour" in metafunc.fixturenames and metafunc.cls is not None:
            metafunc.parametrize("flavour", list(metafunc.cls.outputs))

    @pytest.fixture
    def placing(self) -> RunCommand:
        found: object = load(self.command)
        made = found() if isinstance(found, type) else found
        assert isinstance(made, RunCommand)
        return made

    @pytest.fixture
    def facts(self, placing: RunCommand, flavour: str) -> Facts:
        return placing.facts(EXECUTABLE, self.outputs[flavour])

    def make(self, *arguments: str, env: Mapping[str, str] | None = None) -> RunSettings:
        made = load(self.settings)(
            PROGRAM, list(arguments), env_vars=dict(env or {}), fail_if_missing_exec=False
        )
        assert isinstance(made, RunSettings)
        return made

    def build(
        self,
        placing: RunCommand,
        facts: Facts,
        settings: RunSettings,
        placement: Placement | None = None,
    ) -> Command:
        argv = (settings.exe, *settings.exe_args)
        launch = Launch(argv, settings, Path("/run directory"), settings.environment())
        return placing.build(launch, placement or Placement(), facts)

    @case("F27", "F29")
    def test_a_known_version_is_recognised(self, facts: Facts) -> None:
        assert facts.executable == EXECUTABLE
        assert facts.flavour
        assert facts.version

    @case("F27", "F28")
    @pytest.mark.parametrize("output", ["", "\n", "no such thing 1.2", "\ufffd\x00", "x" * 100_000])
    def test_an_unknown_version_is_no_error(self, placing: RunCommand, output: str) -> None:
        facts = placing.facts(EXECUTABLE, output)
        assert facts.executable == EXECUTABLE
        assert self.build(placing, facts, self.make("a")).argv[-2:] == (PROGRAM, "a")

    @case("F25")
    def test_the_probe_is_a_list_of_arguments(self, placing: RunCommand) -> None:
        assert isinstance(placing.probe, tuple)

    @case("F25")
    def test_variables_that_tell_a_task_its_place_are_named_completely(
        self, placing: RunCommand
    ) -> None:
        for place in placing.local_ranks:
            # A shell reads them.
            assert VARIABLE.fullmatch(place.rank), place
            assert bool(place.count) != bool(place.listed), "one of the two says how many there are"
            assert VARIABLE.fullmatch(place.count or place.listed), place
        assert not placing.node_variable or VARIABLE.fullmatch(placing.node_variable)
        assert isinstance(placing.rank_variables, tuple), "one name, too, is a tuple of names"
        assert all(map(VARIABLE.fullmatch, placing.rank_variables)), placing.rank_variables

    @case("F25")
    def test_arguments_that_end_all_tasks_together_are_taken(
        self, placing: RunCommand, facts: Facts
    ) -> None:
        settings = self.make()
        for name, value in placing.ends_together.items():
            settings.set(name, value)
        plain = self.build(placing, facts, self.make()).argv
        words = set(self.build(placing, facts, settings).argv) - set(plain)
        assert all(any(name in word for word in words) for name in placing.ends_together), words

    @case("F25")
    def test_the_program_comes_last_and_the_run_command_first(
        self, placing: RunCommand, facts: Facts
    ) -> None:
        command = self.build(placing, facts, self.make("-n", "x y"))
        assert command.argv[0] == EXECUTABLE
        assert command.argv[-3:] == (PROGRAM, "-n", "x y")

    @case("F25")
    @pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
    def test_an_argument_is_passed_on_unchanged(
        self, placing: RunCommand, facts: Facts, text: str
    ) -> None:
        assert self.build(placing, facts, self.make(text)).argv[-1] == text

    @case("F25")
    @pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
    def test_a_variable_is_passed_on_unchanged(
        self, placing: RunCommand, facts: Facts, text: str
    ) -> None:
        command = self.build(placing, facts, self.make(env={"CONTRACT": text}))
        assert command.env.get("CONTRACT") == text or f"CONTRACT={text}" in command.argv

    @case("F25")
    def test_values_of_variables_are_not_on_the_command_line(
        self, placing: RunCommand, facts: Facts
    ) -> None:
        # Every user of a host can read command lines; files that name passwords are in variables.
        command = self.build(placing, facts, self.make(env={"CONTRACT": "secret-value"}))
        assert not any("secret-value" in word for word in command.argv)

    @case("F30", "F27")
    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    def test_what_is_asked_for_is_said_or_refused_never_dropped(
        self, placing: RunCommand, facts: Facts, change: Change
    ) -> None:
        plain, settings = self.make(), self.make()
        change(settings)
        try:
            command = self.build(placing, facts, settings)
        except UnsupportedError as error:
            assert str(error)
        else:
            assert command != self.build(placing, facts, plain)

    @case("F14")
    def test_hosts_of_the_placement_are_said_or_refused(
        self, placing: RunCommand, facts: Facts
    ) -> None:
        placement = Placement(("node-a", "node-b"))
        try:
            command = self.build(placing, facts, self.make(), placement)
        except UnsupportedError:
            return
        said = [*command.argv, *command.env.values(), *(file.text for file in command.files)]
        assert all(any(host in word for word in said) for host in placement.hosts)

    @case("F26")
    def test_the_environment_and_directory_of_the_driver_do_not_matter(
        self, placing: RunCommand, facts: Facts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = self.build(placing, facts, self.make("a", env={"A": "1"}))
        monkeypatch.chdir(tmp_path)
        for name in ("SLURM_JOB_ID", "PBS_JOBID", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "LSB_HOSTS"):
            monkeypatch.setenv(name, "7")
        assert self.build(placing, facts, self.make("a", env={"A": "1"})) == before

    @case("F26")
    def test_building_changes_nothing(self, placing: RunCommand, facts: Facts) -> None:
        settings = self.make("a", env={"A": "1"})
        settings.set_tasks(2)
        environment, said = dict(os.environ), str(settings)
        first = self.build(placing, facts, settings)
        assert self.build(placing, facts, settings) == first
        assert dict(os.environ) == environment
        assert str(settings) == said
