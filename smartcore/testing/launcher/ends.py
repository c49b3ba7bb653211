"""How a step ended: its exit code or signal, exactly."""

from __future__ import annotations

import pytest

from smartcore.spec import Cause, State

from ..contract import case
from ..running import Bench
from .base import LauncherCases

CODES = (1, 2, 3, 42, 77, 125, 126, 127, 128, 129, 130, 137, 139, 143, 200, 254, 255)
# The last two are real-time signals, which have no names of their own.
SIGNALS = (1, 2, 3, 6, 9, 11, 13, 14, 15, 34, 64)


class EndsCases(LauncherCases):
    @case("F01", "F20")
    def test_a_program_that_returns_0_is_completed(self, bench: Bench) -> None:
        (status,) = bench.run(bench.sh("exit 0"))
        assert (status.state, status.returncode, status.cause) == (State.COMPLETED, 0, None)

    @case("F19", "F20")
    @pytest.mark.parametrize("code", CODES)
    def test_any_other_exit_code_is_a_failure_and_told_exactly(
        self, bench: Bench, code: int
    ) -> None:
        (status,) = bench.run(bench.sh(f"exit {code}"))
        assert status.state is State.FAILED
        assert self.is_end(status, code), f"{code} was told as {status.returncode}"
        assert status.cause is not None

    @case("F19", "F20")
    def test_no_exit_code_from_1_to_255_is_lost_among_the_others(self, bench: Bench) -> None:
        codes = range(1, 256)
        ends = bench.run(*(bench.sh(f"exit {code}") for code in codes))
        wrong = [
            (code, status.state, status.returncode)
            for code, status in zip(codes, ends, strict=True)
            if status.state is not State.FAILED or not self.is_end(status, code)
        ]
        assert not wrong

    @case("F17", "F20")
    @pytest.mark.parametrize("number", SIGNALS)
    def test_death_by_a_signal_is_a_failure_and_the_signal_told(
        self, bench: Bench, number: int
    ) -> None:
        program = f"import os, signal; signal.signal({number}, signal.SIG_DFL)"
        if number == 9:
            program = "import os"
        (status,) = bench.run(bench.python(f"{program}; os.kill(os.getpid(), {number})"))
        assert status.state is State.FAILED
        assert self.is_end(status, -number), f"-{number} was told as {status.returncode}"

    @case("F20")
    def test_a_failure_has_a_cause_and_words_for_people(self, bench: Bench) -> None:
        (status,) = bench.run(bench.sh("exit 3"))
        assert status.cause is Cause.EXIT_CODE
        assert "3" in status.reason

    @case("F20")
    def test_a_status_tells_when_it_was_seen_and_in_which_zone(self, bench: Bench) -> None:
        (status,) = bench.run(bench.sh("exit 0"))
        assert status.seen.tzinfo is not None

    @case("F40")
    def test_a_failure_takes_no_other_along(self, bench: Bench) -> None:
        steps = [bench.waiting(f"sys.exit({code})") for code in (0, 5, 0)]
        ids = bench.start_up(*steps)
        bench.release(steps[1])
        bench.ends([ids[1]])
        bench.release(*steps)
        assert [status.returncode for status in bench.ends(ids)] == [0, 5, 0]

    @case("F18")
    def test_one_name_launched_twice_is_two_jobs_with_their_own_ends(self, bench: Bench) -> None:
        ends = bench.run(bench.sh("exit 4", name="same"), bench.sh("exit 0", name="same"))
        assert [status.returncode for status in ends] == [4, 0]

    @case("F20", "F21")
    def test_a_child_that_goes_on_does_not_hide_how_the_program_ended(self, bench: Bench) -> None:
        # The child holds the output files open, as helpers that daemonize do.
        step = bench.python(
            "import os, time\n"
            "if os.fork() == 0:\n"
            "    while not os.path.exists('go'): time.sleep(0.005)\n"
            "    os._exit(0)\n"
            "os._exit(9)"
        )
        try:
            (status,) = bench.run(step)
        finally:
            bench.release(step)
        assert status.returncode == 9
