"""What a step is given: arguments, variables, directory, input, and nothing else."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from smartcore.spec import File, State, Step

from ..contract import case
from ..running import Bench
from .base import LauncherCases, read

# As ids of the cases: what is hostile about each.
TEXTS = {
    "empty": "",
    "blanks": "  a  b  ",
    "quotes": 'it\'s "so"',
    "newlines": "one\ntwo\n",
    "tab": "a\tb",
    "shell": "$HOME $(echo no) `echo no` ; & | > < * ? [a] {b,c} ~ # !",
    "backslashes": "C:\\new\\table \\",
    "commas and equals": "a=1,b='2',c==3,",
    "percents": "%j %d %% %s",
    "unicode": "ünïcödé 数 🙂",
    "no UTF-8": "\udcff\udcfe",
    "shellshock": "() { :; }; echo no",
    "dashes": "--export=ALL,-n",
    "control": "\x01\x1b[31m\x7f",
    "long": "x" * 100_000,
}
DIRECTORIES = {
    "blanks": "two words",
    "single quote": "it's",
    "double quotes": 'so "said"',
    "unicode": "ü🙂",
    "leading dash": "-n",
    "shell": "$HOME;",
    "newline": "one\ntwo",
    "percents": "%j",
}
PRINT_ARGUMENTS = "import os, sys; print([os.fsencode(each) for each in sys.argv[1:]])"
PRINT_VARIABLE = "import os; print([os.environb.get(b'CONTRACT_VALUE')])"

hostile = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)


def _shown(text: str) -> str:
    return f"{[os.fsencode(text)]}\n"


class PassingCases(LauncherCases):
    @case("F25")
    @hostile
    def test_an_argument_arrives_unchanged(self, bench: Bench, text: str) -> None:
        step = bench.python(PRINT_ARGUMENTS, text)
        bench.run(step)
        assert read(step) == _shown(text)

    @case("F25")
    @hostile
    def test_a_variable_arrives_unchanged(self, bench: Bench, text: str) -> None:
        step = bench.python(PRINT_VARIABLE, env={"CONTRACT_VALUE": text})
        bench.run(step)
        assert read(step) == _shown(text)

    @case("F25")
    def test_a_thousand_arguments_arrive_in_order(self, bench: Bench) -> None:
        given = [f"a {number}" for number in range(1000)]
        step = bench.python("import sys; print('|'.join(sys.argv[1:]))", *given)
        bench.run(step)
        assert read(step) == "|".join(given) + "\n"

    @case("F25")
    def test_an_environment_of_200_kilobytes_arrives(self, bench: Bench) -> None:
        given = {f"CONTRACT_{number}": "v" * 1000 for number in range(200)}
        code = "import os; print(sum(len(v) for k, v in os.environ.items() if 'CONTRACT_' in k))"
        step = bench.python(code, env=given)
        bench.run(step)
        assert read(step) == "200000\n"

    @case("F25", "F26")
    def test_variables_of_one_step_are_no_others(self, bench: Bench) -> None:
        mine, other = (
            bench.python(PRINT_VARIABLE, env={"CONTRACT_VALUE": "mine"}),
            bench.python(PRINT_VARIABLE),
        )
        bench.run(mine, other)
        assert (read(mine), read(other)) == ("[b'mine']\n", "[None]\n")

    @case("F26")
    def test_the_drivers_own_environment_stays_as_it_is(self, bench: Bench) -> None:
        before = dict(os.environ)
        bench.run(bench.python(PRINT_VARIABLE, env={"CONTRACT_VALUE": "mine"}))
        assert dict(os.environ) == before

    @case("F26")
    def test_variables_of_the_driver_are_inherited_as_they_are_at_the_start(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ends = []
        for value in ("first, 'of' two", "second"):
            monkeypatch.setenv("CONTRACT_VALUE", value)
            step = bench.python(PRINT_VARIABLE)
            bench.run(step)
            ends.append(read(step))
        assert ends == [_shown("first, 'of' two"), _shown("second")]

    @case("F26")
    def test_a_step_overrides_variables_of_the_driver(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CONTRACT_VALUE", "driver")
        step = bench.python(PRINT_VARIABLE, env={"CONTRACT_VALUE": "step"})
        bench.run(step)
        assert read(step) == "[b'step']\n"

    @case("F35")
    def test_a_step_runs_in_its_directory(self, bench: Bench) -> None:
        step = bench.python("import os; print(os.getcwd())")
        bench.run(step)
        assert read(step) == f"{step.cwd.resolve()}\n"

    @case("F35", "F25")
    @pytest.mark.parametrize("name", DIRECTORIES.values(), ids=DIRECTORIES)
    def test_a_directory_may_have_any_name(self, bench: Bench, name: str) -> None:
        cwd = bench.path / name
        cwd.mkdir(parents=True)
        step = bench.python("import os; print([os.getcwd()])", cwd=cwd)
        bench.run(step)
        assert read(step) == f"{[str(cwd.resolve())]}\n"

    @case("F35")
    def test_a_program_may_be_named_from_the_directory_of_the_step(self, bench: Bench) -> None:
        step = bench.step("./program", "x")
        program = step.cwd / "program"
        program.write_text('#!/bin/sh\necho "ran $1"\n')
        program.chmod(0o755)
        bench.run(step)
        assert read(step) == "ran x\n"

    @case("F35")
    def test_a_driver_that_changes_its_directory_changes_nothing(
        self, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (status,) = bench.run(bench.sh("exit 0"))
        assert status.state is State.COMPLETED

    @case("F30", "F34")
    def test_input_is_empty(self, bench: Bench) -> None:
        step = bench.python("import sys; print([sys.stdin.read()])")
        bench.run(step)
        assert read(step) == "['']\n"

    @case("F30")
    def test_a_file_asked_for_is_the_input(self, bench: Bench, tmp_path: Path) -> None:
        given = tmp_path / "given"
        given.write_text("line\n")
        step = bench.python("import sys; print([sys.stdin.read()])", stdin=given)
        bench.run(step)
        assert read(step) == "['line\\n']\n"

    @case("F23", "F24")
    def test_a_step_has_a_session_of_its_own(self, bench: Bench) -> None:
        step = bench.python("import os; print(os.getsid(0))")
        bench.run(step)
        assert int(read(step)) != os.getsid(0)

    @case("F38")
    def test_a_step_inherits_no_descriptor_of_the_driver(self, bench: Bench) -> None:
        secret = bench.path / "secret"
        bench.path.mkdir(parents=True, exist_ok=True)
        with secret.open("w") as file:
            os.set_inheritable(file.fileno(), True)
            step = bench.python(_PRINT_FILES)
            bench.run(step)
        assert str(secret) not in read(step)

    @case("F38")
    def test_a_pipe_of_the_driver_is_not_held_open_by_a_step(self, bench: Bench) -> None:
        reading, writing = os.pipe()
        os.set_inheritable(writing, True)
        step = bench.waiting()
        bench.start_up(step)
        os.close(writing)
        os.set_blocking(reading, False)
        try:
            assert os.read(reading, 1) == b""  # BlockingIOError: somebody else can write
        finally:
            os.close(reading)
            bench.release(step)

    @case("F24")
    def test_signals_are_at_their_defaults(self, bench: Bench) -> None:
        # Python ignores SIGPIPE; a child that inherits that never ends in a broken pipeline.
        step = bench.step("sh", "-c", "cat /proc/self/status")
        bench.run(step)
        masks = dict(line.split(":\t") for line in read(step).splitlines() if ":\t" in line)
        assert int(masks["SigBlk"], 16) == 0
        assert int(masks["SigIgn"], 16) & _bits(1, 2, 3, 13, 15) == 0

    @case("F25", "F35")
    def test_files_of_a_command_are_there_before_it_runs_and_only_ours(self, bench: Bench) -> None:
        step = bench.step("sh", "-c", "cat made/conf; stat -c %a made/conf made/open")
        files = (
            File(step.cwd / "made" / "conf", "secret ü\n"),
            File(step.cwd / "made" / "open", "", 0o644),
        )
        bench.run(_with_files(step, files))
        assert read(step) == "secret ü\n600\n644\n"


_PRINT_FILES = """
import os
for name in os.listdir("/proc/self/fd"):
    try:
        print(os.readlink(f"/proc/self/fd/{name}"))
    except OSError:
        pass
"""


def _bits(*signals: int) -> int:
    return sum(1 << (number - 1) for number in signals)


def _with_files(step: Step, files: tuple[File, ...]) -> Step:
    return replace(step, command=replace(step.command, files=files))
