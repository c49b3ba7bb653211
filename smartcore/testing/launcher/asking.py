"""What ``status`` answers: something for every id, and never more than is known."""

from __future__ import annotations

import pytest

from smartcore.spec import ABSENT, JobId, State, Status

from ..contract import case
from ..running import Bench
from .base import LauncherCases

UNKNOWN = {
    "word": "nonsense",
    "empty": "",
    "number": "999999999",
    "number with a part": "999999999.5",
    "number with a name": "999999999:model-1",
    "array member": "999999999_3",
    "option": "--help",
    "blanks": "a b",
    "quotes": 'it\'s "so"',
    "shell": "$(touch pwned);touch pwned",
    "newline": "one\ntwo",
    "unicode": "ü数",
    "path": "../../etc/passwd",
    "long": "9" * 3000,
}


class AskingCases(LauncherCases):
    @case("F03")
    @pytest.mark.parametrize("text", UNKNOWN.values(), ids=UNKNOWN)
    def test_an_unknown_id_is_absent_and_never_done(self, bench: Bench, text: str) -> None:
        job = JobId(text)
        assert bench.launcher.status([job]) == {job: ABSENT}

    @case("F03", "F07")
    def test_a_question_about_nothing_has_an_empty_answer(self, bench: Bench) -> None:
        assert dict(bench.launcher.status([])) == {}

    @case("F04")
    def test_an_unknown_id_does_not_spoil_the_answers_for_others(self, bench: Bench) -> None:
        running = bench.waiting()
        ids = bench.start_up(running)
        ids += bench.start(bench.sh("exit 2"))
        bench.ends(ids[1:])
        unknown = [JobId(text) for text in UNKNOWN.values()]
        answers = bench.launcher.status([unknown[0], ids[0], *unknown[1:], ids[1]])
        bench.release(running)
        assert set(answers) == {*ids, *unknown}
        assert all(answers[job] is ABSENT for job in unknown)
        running_answer, ended_answer = answers[ids[0]], answers[ids[1]]
        assert isinstance(running_answer, Status)
        assert not running_answer.is_terminal
        assert isinstance(ended_answer, Status)
        assert ended_answer.returncode == 2

    @case("F07")
    def test_3000_ids_in_one_question_all_get_an_answer(self, bench: Bench) -> None:
        ids = bench.start(*(bench.sh("exit 0") for _ in range(20)))
        bench.ends(ids)
        unknown = [JobId(f"99999{number}.7") for number in range(3000)]
        answers = bench.launcher.status([*unknown, *ids])
        assert len(answers) == 3020
        assert {answers[job] for job in unknown} == {ABSENT}
        assert all(isinstance(answers[job], Status) for job in ids)

    @case("F07")
    def test_an_id_asked_for_twice_is_answered_once(self, bench: Bench) -> None:
        ids = bench.start(bench.sh("exit 0"))
        bench.ends(ids)
        answers = bench.launcher.status([ids[0], ids[0]])
        assert list(answers) == ids

    @case("F03", "F22")
    def test_a_job_that_runs_is_running_until_it_ends(self, bench: Bench) -> None:
        step = bench.waiting("sys.exit(5)")
        (job,) = bench.start_up(step)
        for _ in range(50):
            answer = bench.launcher.status([job])[job]
            assert isinstance(answer, Status)
            assert answer.state in {State.QUEUED, State.RUNNING, State.UNKNOWN}
            assert answer.returncode is None
        bench.release(step)
        assert [status.returncode for status in bench.ends([job])] == [5]

    @case("F22", "F01")
    def test_an_end_stays_as_it_is(self, bench: Bench) -> None:
        (job,) = bench.start(bench.sh("exit 6"))
        (first,) = bench.ends([job])
        for _ in range(20):
            again = bench.launcher.status([job])[job]
            assert isinstance(again, Status)
            assert (again.state, again.returncode) == (first.state, first.returncode)

    @case("F21", "F22")
    def test_nothing_reads_completed_before_its_program_has_ended(self, bench: Bench) -> None:
        # Asked as fast as can be while it ends: the file is the last thing that the program does.
        steps = [
            bench.python("import time; time.sleep(0.02); open('done', 'w')") for _ in range(20)
        ]
        for step, job in zip(steps, bench.start(*steps), strict=True):

            def ended(job: JobId = job) -> bool:
                answer = bench.launcher.status([job])[job]
                return isinstance(answer, Status) and answer.is_terminal

            bench.wait_until(ended, "the end of a short step")
            assert (step.cwd / "done").exists()

    @case("F15")
    def test_the_users_locale_and_formats_change_no_answer(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in HABITS.items():
            monkeypatch.setenv(name, value)
        step = bench.waiting("sys.exit(3)")
        ids = [*bench.start_up(step), *bench.start(bench.sh("exit 0"))]
        bench.release(step)
        assert [status.returncode for status in bench.ends(ids)] == [3, 0]


# What people have in their profiles; none of it may reach a parser.
HABITS = {
    "LC_ALL": "C.UTF-8",
    "LANG": "de_DE.UTF-8",
    "LANGUAGE": "de",
    "TZ": "Asia/Kathmandu",
    "COLUMNS": "20",
    "TERM": "dumb",
    "SQUEUE_FORMAT": "%i %t",
    "SQUEUE_FORMAT2": "jobid:3",
    "SACCT_FORMAT": "jobid%3,state%4",
    "SINFO_FORMAT": "%n",
    "SLURM_TIME_FORMAT": "relative",
    "LSB_BJOBS_FORMAT": "jobid",
    "LSB_DISPLAY_YEAR": "N",
    "PBS_DPREFIX": "#XXX",
    "SGE_LONG_QNAMES": "-1",
}
