"""What a step prints: two files, complete, byte by byte."""

from __future__ import annotations

import shutil
from pathlib import Path

from smartcore.spec import State

from ..contract import case
from ..running import WAIT, Bench
from .base import LauncherCases

MEGABYTES = 50
PRINT = """
import sys
for _ in range({megabytes}):
    sys.stdout.buffer.write(b"o" * 1_000_000)
    sys.stderr.buffer.write(b"e" * 1_000_000)
"""


class OutputCases(LauncherCases):
    @case("F37")
    def test_output_and_errors_go_to_their_own_files(self, bench: Bench) -> None:
        step = bench.sh("echo one; echo two >&2; echo three")
        bench.run(step)
        assert (step.stdout.read_text(), step.stderr.read_text()) == ("one\nthree\n", "two\n")

    @case("F37", "F21")
    def test_50_megabytes_on_both_arrive_whole(self, bench: Bench) -> None:
        step = bench.python(PRINT.format(megabytes=MEGABYTES))
        (status,) = bench.run(step)
        assert status.state is State.COMPLETED
        assert _consists_of(step.stdout, b"o", MEGABYTES)
        assert _consists_of(step.stderr, b"e", MEGABYTES)

    @case("F37")
    def test_errors_alone_do_not_block(self, bench: Bench) -> None:
        step = bench.python("import sys; sys.stderr.write('e' * 1_000_000)")
        (status,) = bench.run(step)
        assert status.state is State.COMPLETED
        assert step.stderr.stat().st_size == 1_000_000

    @case("F21")
    def test_output_is_whole_when_the_end_is_told(self, bench: Bench) -> None:
        steps = [bench.sh("seq 2000; exit 1") for _ in range(20)]
        for step, job in zip(steps, bench.start(*steps), strict=True):
            bench.ends([job])
            assert step.stdout.read_text().splitlines()[-1:] == ["2000"]

    @case("F16", "F28")
    def test_output_that_is_no_text_arrives_unchanged(self, bench: Bench) -> None:
        step = bench.python("import sys; sys.stdout.buffer.write(bytes(range(256)) * 3)")
        bench.run(step)
        assert step.stdout.read_bytes() == bytes(range(256)) * 3

    @case("F21")
    def test_output_can_be_read_while_the_step_runs(self, bench: Bench) -> None:
        step = bench.python("print('early', flush=True)\n" + WAIT.format(then=""))
        bench.start_up(step)
        bench.wait_until(lambda: step.stdout.read_text() == "early\n", "output of a running step")
        bench.release(step)

    @case("F21")
    def test_output_of_an_earlier_run_is_replaced(self, bench: Bench) -> None:
        step = bench.sh("echo new")
        step.stdout.write_text("old and longer\n")
        step.stderr.write_text("old\n")
        bench.run(step)
        assert (step.stdout.read_text(), step.stderr.read_text()) == ("new\n", "")

    @case("F21")
    def test_a_step_that_prints_nothing_leaves_empty_files(self, bench: Bench) -> None:
        step = bench.sh("exit 0")
        bench.run(step)
        assert (step.stdout.read_bytes(), step.stderr.read_bytes()) == (b"", b"")

    @case("F21")
    def test_removing_the_output_file_does_not_change_how_the_step_ends(self, bench: Bench) -> None:
        step = bench.waiting("print('late'); sys.exit(6)")
        ids = bench.start_up(step)
        step.stdout.unlink()
        bench.release(step)
        (status,) = bench.ends(ids)
        assert status.returncode == 6

    @case("F21", "F35")
    def test_removing_the_run_directory_does_not_change_how_the_step_ends(
        self, bench: Bench
    ) -> None:
        watched = bench.path / "go"
        code = "import os, sys, time\nopen('up', 'w').close()\n"
        code += "while not os.path.exists(sys.argv[1]): time.sleep(0.005)\nsys.exit(8)"
        step = bench.python(code, str(watched))
        ids = bench.start_up(step)
        shutil.rmtree(step.cwd)
        watched.touch()
        (status,) = bench.ends(ids)
        assert status.returncode == 8


def _consists_of(path: Path, byte: bytes, megabytes: int) -> bool:
    million = byte * 1_000_000
    with path.open("rb") as file:
        return all(file.read(1_000_000) == million for _ in range(megabytes)) and not file.read()
