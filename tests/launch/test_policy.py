"""What a failure leads to: for a model itself, and for those that were started with it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartcore import Experiment
from smartcore.entity import Ensemble, Model
from smartcore.error import InputError, InputTypeError, StepFailedError
from smartcore.launch.policy import OnFailure, Policy, make_policy
from smartcore.spec import Cause, State


@pytest.fixture
def exp(tmp_path: Path) -> Iterator[Experiment]:
    with Experiment("exp", str(tmp_path), launcher="local") as made:
        yield made


def shell(exp: Experiment, name: str, script: str) -> Model:
    return exp.create_model(name, exp.create_run_settings("sh", ["-c", script]))


# Fails as often as said, then succeeds: each attempt leaves a line.
FLAKY = "echo try >> tries; n=$(wc -l < tries); echo attempt $n; echo no $n >&2; [ $n -gt {} ]"


def attempts(exp: Experiment) -> list[tuple[str, int, State]]:
    return [(run.name, run.run_id, run.status.state) for run in exp._session.history]


# -- retries ------------------------------------------------------------------------------------


def test_a_model_that_failed_is_run_again_until_it_succeeds(exp: Experiment) -> None:
    model = shell(exp, "m", FLAKY.format(2))
    exp.start(model, retries=3)
    assert exp.status(model).state is State.COMPLETED
    assert attempts(exp) == [
        ("m", 0, State.FAILED),
        ("m", 1, State.FAILED),
        ("m", 2, State.COMPLETED),
    ]


def test_each_attempt_keeps_its_output_and_all_are_in_the_summary(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    model = shell(exp, "m", FLAKY.format(2))
    exp.start(model, retries=2)
    path = Path(model.path)
    kept = [(path / name).read_text() for name in ("m.out.0", "m.out.1", "m.out", "m.err.1")]
    assert kept == ["attempt 1\n", "attempt 2\n", "attempt 3\n", "no 2\n"]
    assert "m.err.0 ends with:\n    no 1" in caplog.text
    assert "m.err.1 ends with:\n    no 2" in caplog.text
    assert exp.summary("tsv").count("\tm ") == 3


def test_retries_end(exp: Experiment) -> None:
    model = shell(exp, "m", FLAKY.format(9))
    with pytest.raises(StepFailedError, match="m failed"):
        exp.start(model, retries=2, raise_on_failure=True)
    assert [run_id for _, run_id, _ in attempts(exp)] == [0, 1, 2]


def test_what_was_stopped_is_not_run_again(exp: Experiment) -> None:
    model = shell(exp, "m", "sleep 1000")
    exp.start(model, retries=5, block=False)
    exp.stop(model)
    assert attempts(exp) == [("m", 0, State.CANCELLED)]


def test_what_could_not_even_be_started_is_not_run_again(exp: Experiment) -> None:
    model = shell(exp, "m", "true")
    Path(model.path).mkdir()
    (Path(model.path) / "m.out").mkdir()
    exp.start(model, retries=5)
    assert exp.status(model).cause is Cause.START_FAILURE
    assert len(attempts(exp)) == 1


def test_a_wait_that_began_before_a_failure_waits_for_the_retry(exp: Experiment) -> None:
    model = shell(exp, "m", "sleep 0.2; " + FLAKY.format(1))
    exp.start(model, retries=1, block=False)
    exp.wait(model, timeout=60)
    assert exp.status(model).state is State.COMPLETED
    assert exp.finished(model)


def test_a_retry_is_in_the_journal_for_who_comes_after(exp: Experiment, tmp_path: Path) -> None:
    exp.start(shell(exp, "m", FLAKY.format(1)), retries=1)
    exp._session.close()
    again = Experiment.attach(str(tmp_path))
    assert attempts(again) == [("m", 0, State.FAILED), ("m", 1, State.COMPLETED)]


# -- the others of one start --------------------------------------------------------------------


def members(exp: Experiment, first: str, rest: str) -> Ensemble:
    script = f'case "$(basename "$PWD")" in e_0) {first} ;; *) {rest} ;; esac'
    run = exp.create_run_settings("sh", ["-c", script])
    made: Ensemble = exp.create_ensemble("e", run_settings=run, replicas=4)
    return made


def states(exp: Experiment) -> list[State]:
    return [status.state for status in exp.statuses().values()]


def test_the_others_go_on_unless_told_otherwise(exp: Experiment) -> None:
    exp.start(members(exp, "exit 1", "true"))
    assert states(exp) == [State.FAILED, *[State.COMPLETED] * 3]


def test_stop_ends_the_others(exp: Experiment, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "smartcore"):
        exp.start(members(exp, "exit 1", "sleep 1000"), on_failure="stop")
    assert states(exp) == [State.FAILED, *[State.CANCELLED] * 3]
    assert "e_0 failed, and on_failure is stop: stopping e_1, e_2, e_3" in caplog.text
    reasons = {status.reason for status in exp.statuses().values()}
    assert reasons == {"exit code 1", "e_0 failed, and on_failure is stop"}


def test_drain_lets_run_what_runs_and_starts_no_more(tmp_path: Path) -> None:
    with Experiment("exp", str(tmp_path), launcher="local", max_running=2) as exp:
        wait = f"until [ -e {tmp_path}/go ]; do sleep 0.01; done"
        ensemble = members(exp, "exit 1", wait)
        exp.on_end(lambda name, status: (tmp_path / "go").touch())
        exp.start(ensemble, on_failure="drain")
        # Those that never started were cancelled before anything was told of.
        assert states(exp) == [State.FAILED, State.COMPLETED, *[State.CANCELLED] * 2]
        assert [run.job is None for run in exp._session.history] == [False, False, True, True]


def test_a_failure_counts_only_when_its_retries_did_not_help(exp: Experiment) -> None:
    exp.start(members(exp, FLAKY.format(1), "sleep 0.3"), retries=1, on_failure="stop")
    assert set(states(exp)) == {State.COMPLETED}


def test_other_starts_are_not_concerned(exp: Experiment) -> None:
    other = shell(exp, "other", "sleep 1000")
    exp.start(other, block=False)
    exp.start(members(exp, "exit 1", "true"), on_failure="stop")
    assert exp.status(other).state is State.RUNNING


# -- what is left to do -------------------------------------------------------------------------


def test_only_what_has_not_completed_is_run_again(exp: Experiment, tmp_path: Path) -> None:
    fixed = tmp_path / "fixed"
    ensemble = members(exp, f"[ -e {fixed} ]", "true")
    exp.start(ensemble)
    fixed.touch()
    exp.start(ensemble, skip_completed=True)
    assert set(states(exp)) == {State.COMPLETED}
    assert [name for name, _, _ in attempts(exp)] == ["e_0", "e_1", "e_2", "e_3", "e_0"]


def test_what_runs_already_is_waited_for_and_not_run_twice(exp: Experiment) -> None:
    ensemble = members(exp, "sleep 0.3", "exit 1")
    exp.start(ensemble, block=False)
    exp.wait("e_1", "e_2", "e_3")
    exp.start(ensemble, skip_completed=True)
    assert [name for name, _, _ in attempts(exp)].count("e_0") == 1
    assert exp.status("e_0").state is State.COMPLETED


def test_an_attached_experiment_finishes_what_an_earlier_driver_began(
    exp: Experiment, tmp_path: Path
) -> None:
    fixed = tmp_path / "fixed"
    exp.start(members(exp, f"[ -e {fixed} ]", "true"))
    exp._session.close()
    fixed.touch()
    with Experiment.attach(str(tmp_path)) as again:
        again.start(members(again, f"[ -e {fixed} ]", "true"), skip_completed=True)
        assert set(states(again)) == {State.COMPLETED}
        assert len(attempts(again)) == 5


def test_when_all_has_completed_there_is_nothing_to_do(exp: Experiment) -> None:
    model = shell(exp, "m", "true")
    exp.start(model)
    exp.start(model, skip_completed=True)
    assert len(attempts(exp)) == 1


# -- wrong arguments ----------------------------------------------------------------------------


def test_a_policy_is_checked_before_anything_is_launched(exp: Experiment) -> None:
    model = shell(exp, "m", "true")
    with pytest.raises(InputError, match="on_failure is 'explode'; give one of: continue, drain"):
        exp.start(model, on_failure="explode")
    with pytest.raises(InputError, match="retries is -1"):
        exp.start(model, retries=-1)
    with pytest.raises(InputTypeError, match="retries is True"):
        exp.start(model, retries=True)
    assert not attempts(exp)


def test_a_policy_says_what_was_given() -> None:
    assert make_policy(2, "drain") == Policy(2, OnFailure.DRAIN)
