"""Names that people give, and the ids that launchers give back."""

from __future__ import annotations

import json

import pytest

from ..contract import case
from ..running import Bench
from .base import LauncherCases, read

NAMES = {
    "blanks": "two words",
    "quotes": 'it\'s "so"',
    "unicode": "modèle 数",
    "leading dash": "-rf",
    "newline": "one\n#two",
    "shell": "$(touch pwned);`touch pwned`&",
    "percents": "%j%A%a",
    "colons": "a:b.c@d",
    "digits": "123.456",
    "long": "n" * 200,
}


class NamesCases(LauncherCases):
    @case("F25", "F12")
    @pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
    def test_a_step_may_have_any_name(self, bench: Bench, name: str) -> None:
        step = bench.sh("echo fine; exit 7", name=name)
        (status,) = bench.run(step)
        assert status.returncode == 7
        assert read(step) == "fine\n"
        assert sorted(file.name for file in step.cwd.iterdir()) == ["err", "out"]

    @case("F13")
    def test_ids_are_texts_that_survive_being_written_down(self, bench: Bench) -> None:
        ids = bench.start(*(bench.sh("exit 3", name=name) for name in NAMES.values()))
        assert all(type(job) is str and job for job in ids)
        again = json.loads(json.dumps(ids))
        assert [status.returncode for status in bench.ends(again)] == [3] * len(ids)

    @case("F13", "F18")
    def test_no_two_jobs_have_one_id(self, bench: Bench) -> None:
        steps = [bench.sh("exit 0", name="same") for _ in range(30)]
        ids = [*bench.start(*steps[:15]), *bench.start(*steps[15:])]
        assert len(set(ids)) == 30
