"""What cannot be started: an answer with a reason, and no harm to anything else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smartcore.spec import Job, State, Status, Step, Work

from ..contract import case
from ..running import Bench
from .base import LauncherCases


class RefusalsCases(LauncherCases):
    """Work that cannot run is told at the start, or, where only the job can find out, by its
    failure.
    """

    def refused(self, bench: Bench, work: Work) -> str:
        """Start this between two good steps; the words in which it was refused."""
        before, after = bench.sh("exit 0"), bench.sh("exit 4")
        answers = bench.launcher.start([before, work, after])
        assert len(answers) == 3
        ids = [answer.id for answer in answers]
        assert ids[0] is not None, answers[0].error
        assert ids[2] is not None, answers[2].error
        assert [status.returncode for status in bench.ends([ids[0], ids[2]])] == [0, 4]
        if ids[1] is None:
            assert answers[1].error, "neither an id nor an error"
            return answers[1].error
        (status,) = bench.ends([ids[1]])
        assert status.state is State.FAILED
        return _words(status, work)

    @case("F32", "F40")
    def test_a_program_that_is_not_there_is_an_error_that_names_it(self, bench: Bench) -> None:
        assert "/no/such/program" in self.refused(bench, bench.step("/no/such/program", "x"))

    @case("F32")
    def test_a_program_that_is_not_on_path_is_an_error_that_names_it(self, bench: Bench) -> None:
        assert "no-such-program-x" in self.refused(bench, bench.step("no-such-program-x"))

    @case("F32")
    def test_a_program_that_may_not_be_executed_is_an_error_that_names_it(
        self, bench: Bench
    ) -> None:
        step = bench.step("./plain")
        (step.cwd / "plain").write_text("no program")
        assert "plain" in self.refused(bench, step)

    @case("F35")
    def test_a_directory_that_is_not_there_is_an_error_that_names_it(self, bench: Bench) -> None:
        step = bench.sh("exit 0")
        gone = replace(step, cwd=step.cwd / "not-there")
        assert "not-there" in self.refused(bench, gone)

    @case("F35", "F21")
    def test_an_output_file_that_cannot_be_made_is_an_error_that_names_it(
        self, bench: Bench
    ) -> None:
        step = bench.sh("exit 0")
        assert "no-dir" in self.refused(bench, replace(step, stdout=step.cwd / "no-dir" / "out"))

    @case("F35")
    def test_an_input_file_that_is_not_there_is_an_error_that_names_it(self, bench: Bench) -> None:
        step = bench.sh("exit 0")
        command = replace(step.command, stdin=step.cwd / "no-input")
        assert "no-input" in self.refused(bench, replace(step, command=command))

    @case("F25", "F34")
    def test_a_command_that_is_too_long_for_the_system_is_an_error(self, bench: Bench) -> None:
        # execve(2): one argument may have 128 KiB
        assert self.refused(bench, bench.step("true", "x" * 2_000_000))

    @case("F25")
    def test_an_argument_with_a_nul_is_an_error(self, bench: Bench) -> None:
        assert self.refused(bench, bench.step("echo", "a\0b"))

    @case("F32", "F40")
    def test_a_batch_job_runs_or_is_refused_and_its_neighbours_run(self, bench: Bench) -> None:
        step = bench.sh("exit 5", name="inner")
        job = Job("outer", step.tag, (step,))
        before, after = bench.sh("exit 0"), bench.sh("exit 4")
        first, middle, last = bench.launcher.start([before, job, after])
        assert first.id is not None, first.error
        assert last.id is not None, last.error
        assert [status.returncode for status in bench.ends([first.id, last.id])] == [0, 4]
        if middle.id is None:
            assert middle.error
        else:
            (status,) = bench.ends([middle.id])
            assert status.state is State.FAILED

    @case("F10")
    def test_starting_nothing_is_no_error(self, bench: Bench) -> None:
        assert list(bench.launcher.start([])) == []

    @case("F32")
    @pytest.mark.parametrize("count", [1, 20])
    def test_if_nothing_can_start_there_is_an_answer_for_each(
        self, bench: Bench, count: int
    ) -> None:
        answers = bench.launcher.start([bench.step("/no/such/program") for _ in range(count)])
        assert len(answers) == count
        for answer in answers:
            if answer.id is None:
                assert answer.error
            else:
                (status,) = bench.ends([answer.id])
                assert status.state is State.FAILED


def _words(status: Status, work: Work) -> str:
    # A job that found out itself says so in the scheduler's words or in its own output.
    said = status.reason
    if isinstance(work, Step):
        said += "".join(file.read_text() for file in (work.stderr,) if file.exists())
        said += str(work.cwd) + str(work.stdout) if not work.stderr.exists() else ""
    return said or status.state.value
