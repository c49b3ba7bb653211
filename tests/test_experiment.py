"""The whole way on this host: real processes, real servers."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from drivers import out, shell
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartcore import Experiment
from smartcore.error import (
    EntityExistsError,
    InputError,
    InputTypeError,
    PathNotFoundError,
    PluginMissingError,
    StepFailedError,
    UnsupportedError,
    WaitTimeoutError,
)
from smartcore.spec import Cause, State, Status
from smartcore.status import SmartcoreStatus


@pytest.fixture
def exp(tmp_path: Path) -> Iterator[Experiment]:
    with Experiment("exp", str(tmp_path), launcher="local") as made:
        yield made


def rows(table: str) -> dict[tuple[str, str], list[str]]:
    """Cells of a summary by name and run id."""
    lines = [[cell.strip() for cell in line.split("|")] for line in table.splitlines()[2:]]
    return {(cells[2], cells[5]): cells for cells in lines}


# -- start, wait, status ------------------------------------------------------------------------


def test_a_blocking_start_returns_with_the_truth_about_each(exp: Experiment) -> None:
    good, bad = shell(exp, "good", "echo hello"), shell(exp, "bad", "echo oops >&2; exit 7")
    assert exp.get_status(good) == [SmartcoreStatus.STATUS_NEVER_STARTED]
    exp.start(bad, good)
    assert out(good) == "hello\n"
    assert exp.get_status(good, bad) == [
        SmartcoreStatus.STATUS_COMPLETED,
        SmartcoreStatus.STATUS_FAILED,
    ]
    assert (exp.status(bad).returncode, exp.status(bad).cause) == (7, Cause.EXIT_CODE)
    assert exp.finished(good)


def test_a_failed_model_is_told_of_once_with_the_end_of_its_errors(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    script = "for i in $(seq 100); do echo line $i >&2; done; kill -9 $$"
    with caplog.at_level(logging.ERROR, "smartcore"):
        exp.start(shell(exp, "m", script))
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    message = record.getMessage()
    assert "m failed" in message
    assert "SIGKILL" in message
    assert "m.err ends with" in message
    assert "line 100" in message
    assert "line 50" not in message


def test_a_models_escape_sequences_do_not_reach_the_log(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    exp.start(shell(exp, "m", r"printf '\033[31mred\007\n' >&2; exit 1"))
    assert "red" in caplog.text
    assert "\x1b" not in caplog.text
    assert "\x07" not in caplog.text


def test_an_error_is_raised_for_a_failed_model_only_if_asked_for(exp: Experiment) -> None:
    good, bad = shell(exp, "good", "sleep 0.2; echo done"), shell(exp, "bad", "exit 3")
    with pytest.raises(StepFailedError, match=r"bad failed.*exit code 3"):
        exp.start(bad, good, raise_on_failure=True)
    assert out(good) == "done\n"


def test_a_finished_entity_runs_again_with_the_next_run_id(exp: Experiment) -> None:
    model = shell(exp, "m", "date +%s%N")
    exp.start(model)
    first = out(model)
    exp.start(model)
    assert out(model) != first
    assert {("m", "0"), ("m", "1")} == set(rows(exp.summary()))


def test_what_runs_cannot_be_started_or_generated_again(exp: Experiment) -> None:
    model = shell(exp, "m", "sleep 1000")
    exp.start(model, block=False)
    with pytest.raises(EntityExistsError, match=r"'m' is (queued|running); stop it"):
        exp.start(model)
    with pytest.raises(EntityExistsError, match="'m' is"):
        exp.generate(model, overwrite=True)


def test_the_summary_shows_what_runs_failed_and_was_stopped(exp: Experiment) -> None:
    long, bad = shell(exp, "long", "sleep 1000"), shell(exp, "bad", "exit 2")
    exp.start(long, block=False)
    exp.start(bad)
    exp.stop(long)
    cells = rows(exp.summary())
    assert cells["bad", "0"][3] == "Model"
    assert cells["bad", "0"][7:9] == ["Failed", "2"]
    assert cells["long", "0"][7:9] == ["Cancelled", "-15"]
    assert re.fullmatch(r"\d+\.\d{4}", cells["long", "0"][6])


def test_waiting_has_a_limit_that_names_who_goes_on(exp: Experiment) -> None:
    quick, slow = shell(exp, "quick", "true"), shell(exp, "slow", "sleep 1000")
    exp.start(quick, slow, block=False)
    exp.wait(quick, timeout=20)
    with pytest.raises(WaitTimeoutError, match=r"after 0.05 s not ended: slow \(Running\)"):
        exp.wait(quick, slow, timeout=0.05)
    assert not exp.finished(slow)


def test_a_blocking_start_does_not_wait_for_earlier_models(exp: Experiment) -> None:
    exp.start(shell(exp, "slow", "sleep 1000"), block=False)
    exp.start(shell(exp, "quick", "true"))
    assert exp.statuses()["slow"].state is State.RUNNING


def test_poll_ends_with_the_last_model(exp: Experiment, caplog: pytest.LogCaptureFixture) -> None:
    exp.start(shell(exp, "m", "sleep 0.5"), block=False)
    with caplog.at_level(logging.INFO, "smartcore"):
        exp.poll(interval=10)
    assert exp.get_status(shell(exp, "m", "true")) == [SmartcoreStatus.STATUS_COMPLETED]
    assert "m: Completed" in caplog.text


def test_callbacks_hear_of_each_end_and_may_start_more(exp: Experiment) -> None:
    heard: list[tuple[str, State]] = []
    second = shell(exp, "second", "true")
    done = threading.Event()

    def listen(name: str, status: Status) -> None:
        heard.append((name, status.state))
        if name == "first":
            exp.start(second)
        else:
            done.set()

    exp.on_end(listen)
    exp.start(shell(exp, "first", "exit 1"))
    assert done.wait(20)
    assert heard == [("first", State.FAILED), ("second", State.COMPLETED)]


def test_no_more_members_run_at_once_than_the_limit(tmp_path: Path) -> None:
    script = "date +%s%N; sleep 0.1; date +%s%N"
    with Experiment("exp", str(tmp_path), max_running=3) as exp:
        run = exp.create_run_settings("sh", ["-c", script])
        ensemble = exp.create_ensemble("e", run_settings=run, replicas=10)
        exp.start(ensemble)
        spans = [tuple(map(int, out(model).split())) for model in ensemble.models]
    begins = [begin for begin, _ in spans]
    most = max(sum(b <= begin < e for b, e in spans) for begin in begins)
    assert 1 < most <= 3


def test_a_start_off_the_main_thread_works(exp: Experiment) -> None:
    model = shell(exp, "m", "echo thread")
    thread = threading.Thread(target=exp.start, args=(model,))
    thread.start()
    thread.join(20)
    assert out(model) == "thread\n"


# -- what models see ----------------------------------------------------------------------------

NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True).map("SC_".__add__)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
NASTY = st.sampled_from(
    ["a b", 'q"', "'", "x,y", "k=v", "$HOME", "`id`", "new\nline", "ü", "\\", ""]
)


@given(
    args=st.lists(TEXTS | NASTY, max_size=5), env=st.dictionaries(NAMES, TEXTS | NASTY, max_size=4)
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arguments_and_variables_arrive_as_they_were_given(
    exp: Experiment, args: list[str], env: dict[str, str]
) -> None:
    code = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
    model = exp.create_model(
        "m", exp.create_run_settings(sys.executable, ["-c", code, *args], env_vars=env)
    )
    exp.start(model)
    seen_args, seen_env = json.loads(out(model))
    assert seen_args == args
    assert {name: seen_env[name] for name in env} == env


# -- refused before anything is launched --------------------------------------------------------


def test_two_entities_of_one_name_are_refused_before_anything_starts(
    exp: Experiment, tmp_path: Path
) -> None:
    with pytest.raises(EntityExistsError, match="given more than once in one start: same"):
        exp.start(shell(exp, "same", "touch ran"), shell(exp, "same", "touch ran"))
    assert list(tmp_path.iterdir()) == []


def test_a_batch_job_is_refused_where_there_is_no_batch_system(exp: Experiment) -> None:
    with pytest.raises(UnsupportedError, match="'local' has no batch jobs"):
        exp.create_batch_settings()
    with pytest.raises(UnsupportedError, match="'orchestrator' wants a batch job"):
        exp.start(exp.create_database(batch=True))


def test_a_path_that_cannot_be_created_names_what_is_in_the_way(
    exp: Experiment, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    run = exp.create_run_settings("true")
    model = exp.create_model("m", run, path=str(tmp_path / "file" / "m"))
    with pytest.raises(InputError, match=r"cannot create .*file/m: .*file is not a directory"):
        exp.start(model)


def test_an_executable_that_vanished_is_named(exp: Experiment, tmp_path: Path) -> None:
    program = tmp_path / "solver"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    model = exp.create_model("m", exp.create_run_settings(str(program)))
    program.unlink()
    with pytest.raises(PathNotFoundError, match=f"executable of 'm' is gone.*{program}"):
        exp.start(model)
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        exp.create_run_settings("no-such-program")


def test_a_program_that_cannot_be_executed_fails_its_model_only(
    exp: Experiment, tmp_path: Path
) -> None:
    program = tmp_path / "solver"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    bad = exp.create_model("bad", exp.create_run_settings(str(program)))
    good = shell(exp, "good", "echo fine")
    exp.start(bad, good)
    assert exp.status(bad).cause is Cause.START_FAILURE
    assert "No such file" in exp.status(bad).reason
    assert out(good) == "fine\n"


@pytest.mark.parametrize(
    ("launcher", "error", "message"),
    [
        ("lsf", PluginMissingError, "pip install 'smartcore-lsf'; installed: .*local"),
        ("condor", UnsupportedError, "no launcher named 'condor'; installed: .*local"),
    ],
)
def test_an_unknown_launcher_is_answered_with_what_there_is(
    launcher: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Experiment("exp", launcher=launcher)


@pytest.mark.parametrize("limit", [-1, 1.5, True, "4"])
def test_a_limit_must_be_a_count(limit: object) -> None:
    with pytest.raises((InputError, InputTypeError), match="max_running"):
        Experiment("exp", max_running=limit)  # type: ignore[arg-type]


def test_an_experiment_path_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match="nowhere is not a directory"):
        Experiment("exp", str(tmp_path / "nowhere"))
    with pytest.raises(InputTypeError):
        Experiment("exp", 5)  # type: ignore[arg-type]


def test_what_was_never_started_cannot_be_stopped_or_waited_for(exp: Experiment) -> None:
    model = shell(exp, "m", "true")
    for ask in (exp.stop, exp.wait, exp.finished, exp.status):
        with pytest.raises(InputError, match="'m' was never started"):
            ask(model)
    with pytest.raises(InputTypeError, match="give models, ensembles and databases"):
        exp.start("m")  # type: ignore[arg-type]


@pytest.mark.parametrize("interval", [0, -1])
def test_a_poll_needs_a_pause(exp: Experiment, interval: int) -> None:
    with pytest.raises(InputError, match="interval is"):
        exp.poll(interval=interval)


def test_wrong_arguments_are_named(exp: Experiment) -> None:
    model = shell(exp, "m", "true")
    exp.start(model)
    with pytest.raises(InputTypeError, match="timeout is 'x'"):
        exp.wait(model, timeout="x")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="timeout is -1"):
        exp.wait(model, timeout=-1)
    with pytest.raises(InputTypeError, match="on_end takes a function"):
        exp.on_end(3)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="params is"):
        exp.create_ensemble("e", params=[1])  # type: ignore[arg-type]
    with pytest.raises(PluginMissingError, match="smartcore-lsf"):
        exp.create_run_settings("true", run_command="jsrun")


# -- ensembles, files, preview ------------------------------------------------------------------


def test_an_ensemble_is_generated_run_and_summed_up(exp: Experiment, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("k = ;k;\n")
    run = exp.create_run_settings("cat", "in.txt")
    ensemble = exp.create_ensemble("sweep", params={"k": [1, 2, 3]}, run_settings=run)
    ensemble.attach_generator_files(to_configure=[str(tmp_path / "in.txt")])
    exp.generate(ensemble)
    exp.start(ensemble)
    assert [out(model) for model in ensemble.models] == ["k = 1\n", "k = 2\n", "k = 3\n"]
    assert exp.get_status(ensemble) == [SmartcoreStatus.STATUS_COMPLETED] * 3
    assert (tmp_path / "sweep" / "sweep_1" / "in.txt").read_text() == "k = 2\n"


def test_a_preview_shows_the_exact_command_and_launches_nothing(
    exp: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    db = exp.create_database()
    model = shell(exp, "m", "echo $SSDB", GREETING="hi there")
    exp.preview(db, model, verbosity_level="developer", output_format="json")
    shown = json.loads(capsys.readouterr().out)
    (described,) = shown["experiment"]["models"]
    assert described["command"]["argv"] == [model.run_settings.exe, "-c", "echo $SSDB"]
    environment = described["command"]["environment"]
    assert environment["GREETING"] == "hi there"
    assert environment["SSDB"] == "127.0.0.1:<chosen at the start>"
    assert environment["SMARTCORE_DB_AUTH"] == str(Path(db.path) / "orchestrator.auth.json")
    exp.preview(
        exp.create_database(port=17395), model, verbosity_level="developer", output_format="json"
    )
    shown = json.loads(capsys.readouterr().out)["experiment"]["models"][0]
    assert shown["command"]["environment"]["SSDB"] == "127.0.0.1:17395"
    assert list(tmp_path.iterdir()) == []
    exp.preview(db, model, output_filename=str(tmp_path / "shown"))
    exp.preview(db, model, output_filename=str(tmp_path / "shown"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shown.txt", "shown_01.txt"]


def test_telemetry_is_written_only_when_switched_on(exp: Experiment, tmp_path: Path) -> None:
    exp.start(shell(exp, "silent", "true"))
    assert not (tmp_path / ".smartcore" / "telemetry").exists()
    exp.telemetry.enable()
    exp.start(shell(exp, "told", "exit 4"))
    lines = (tmp_path / ".smartcore" / "telemetry" / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert [(event["name"], event["event"]) for event in events] == [
        ("told", "start"),
        ("told", "end"),
    ]
    assert events[-1]["returncode"] == 4
