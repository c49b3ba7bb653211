"""Many at once: each has its own answer, output and end."""

from __future__ import annotations

from smartcore.spec import State

from ..contract import case
from ..running import Bench
from .base import LauncherCases, read

MANY = 200


class ManyCases(LauncherCases):
    @case("F10", "F07")
    def test_200_at_once_all_end_each_with_its_own_code_and_output(self, bench: Bench) -> None:
        steps = [bench.sh(f"echo {number}; exit {number}") for number in range(MANY)]
        ends = bench.run(*steps)
        assert [status.returncode for status in ends] == list(range(MANY))
        assert [read(step) for step in steps] == [f"{number}\n" for number in range(MANY)]

    @case("F10", "F11")
    def test_answers_are_in_the_order_of_the_work(self, bench: Bench) -> None:
        good, bad = [bench.sh(f"exit {code}") for code in (1, 2, 3)], bench.step("/no/such/program")
        answers = bench.launcher.start([good[0], bad, good[1], bad, good[2]])
        assert len(answers) == 5
        ids = [answers[place].id for place in (0, 2, 4)]
        found = bench.ends([job for job in ids if job is not None])
        assert [status.returncode for status in found] == [1, 2, 3]

    @case("F09")
    def test_100_are_stopped_by_one_call(self, bench: Bench) -> None:
        steps = [bench.sh("sleep 1000; exit 0") for _ in range(100)]
        ids = bench.start(*steps)
        bench.launcher.stop(ids)
        assert {status.state for status in bench.ends(ids)} == {State.CANCELLED}

    @case("F22")
    def test_starts_while_others_end_lose_nothing(self, bench: Bench) -> None:
        ids = []
        for number in range(30):
            ids += bench.start(*(bench.sh(f"exit {number}") for _ in range(3)))
        found = [status.returncode for status in bench.ends(ids)]
        assert found == [number for number in range(30) for _ in range(3)]
