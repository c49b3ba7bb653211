"""What cannot be submitted is refused before, by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smartcore.launch.batch.holding import has_break
from smartcore.spec import Command, Job, Step, Submission, Tag
from smartcore.testing.fakewlm.scheduler import FakeScheduler

if TYPE_CHECKING:
    from tests.launch.batch.conftest import Real, Simulated


def refusal(simulated: Simulated, step: Step, **job: object) -> str:
    work = Job("outer", Tag("outer-1"), (step,), **job) if job else step  # type: ignore[arg-type]
    (started,) = simulated.launcher.start([work])
    assert started.id is None
    assert simulated.sim.called("fsub") == []
    return started.error


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (Command(("echo", "x", "a\0b")), "argument 2 has a NUL"),
        (Command(("ec\0ho",)), "the program has a NUL"),
        (Command(("echo",), {"V": "a\0b"}), "the variable 'V' has a NUL"),
        (Command(("echo",), {"V=": "x"}), "'V=' cannot be the name of a variable"),
        (Command(("echo",), {"": "x"}), "'' cannot be the name of a variable"),
        (Command(("echo",), stdin=Path("/no/such/input")), "/no/such/input cannot be read"),
        (Command(("echo",), stdin=Path("/")), "the input file / cannot be read"),
        (Command(("echo",), stdin=Path("/" + "x" * 5000)), "cannot be read"),
    ],
)
def test_what_no_script_can_pass_on_is_an_error_that_names_the_step(
    simulated: Simulated, command: Command, what: str
) -> None:
    """F25."""
    error = refusal(simulated, replace(simulated.step("mine"), command=command))
    assert error.startswith("mine was not submitted: ")
    assert what in error


def test_a_directory_and_a_preamble_with_a_nul_are_errors(simulated: Simulated) -> None:
    step = simulated.step("mine")
    assert "the directory has a NUL" in refusal(simulated, replace(step, cwd=Path("/a\0b")))
    assert "an output file has a NUL" in refusal(simulated, replace(step, stdout=Path("/a\0b")))
    assert "outer: a line of the preamble" in refusal(simulated, step, preamble=("true \0",))


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b"])
def test_an_argument_of_the_submit_with_a_line_break_is_an_error(
    simulated: Simulated, text: str
) -> None:
    """F25."""
    error = refusal(simulated, simulated.step("mine"), arguments={"queue": text})
    assert "outer: the argument 'queue' has a line break or a NUL" in error
    assert "the argument 'q\\nx'" in refusal(
        simulated, simulated.step("mine"), arguments={"q\nx": None}
    )


def test_an_experiment_in_a_directory_with_a_line_break_is_an_error(simulated: Simulated) -> None:
    simulated.path /= "one\ntwo"
    simulated.launcher = simulated.make()
    error = refusal(simulated, simulated.step("mine"))
    assert "mine: the directory of the experiment has a line break" in error


class Careless(FakeScheduler):
    def clean_name(self, name: str, /) -> str:
        return name

    def directives(self, submission: Submission, /) -> list[str]:
        return [*super().directives(submission), "#FAKE --account=\ninjected"]


def test_what_a_careless_plugin_makes_of_a_name_is_seen(simulated: Simulated) -> None:
    simulated.scheduler = Careless()
    simulated.launcher = simulated.make()
    assert "a directive has a line break" in refusal(simulated, simulated.step("mine"))
    assert "the name has a line break" in refusal(
        simulated, replace(simulated.step("mine"), name="a\nb")
    )


def test_a_directory_that_no_directive_can_hold_is_the_preambles_too(real: Real) -> None:
    """F35."""
    step = real.step("one\n#FAKE --time=0\ntwo", "sh", "-c", "cat here; pwd")
    job = Job("m", Tag("m-1"), (replace(step, tag=Tag("m-1")),), preamble=("echo hi >here",))
    (started,) = real.launcher.start([job])
    assert started.id is not None, started.error
    assert real.ended(started.id)[0].returncode == 0
    assert step.stdout.read_text() == f"hi\n{step.cwd}\n"


@pytest.mark.parametrize("text", ["a b", "\x85", "\u2028", "\x0b", "\udcff"])
def test_other_characters_are_no_line_breaks(text: str) -> None:
    assert not has_break(text)
