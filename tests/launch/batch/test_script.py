from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcore.launch.batch.record import ExitRecord, Records
from smartcore.launch.batch.script import INLINE_LIMIT, SECOND, Member, array_script, script
from smartcore.spec import Command, Step, Tag
from smartcore.testing.fakewlm.scheduler import FakeScheduler

VARIABLES = FakeScheduler.variables
SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
# Writes what it got as JSON, surrogates and all.
TELL = """
import json, os, sys
environment = {k: v for k, v in os.environ.items() if not k.startswith("PY")}
json.dump({"argv": sys.argv[1:], "env": environment, "cwd": os.getcwd()}, sys.stdout)
"""

words = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30)
hostile = words | st.sampled_from(
    ["a,b", "'", '"', "`id`", "$HOME", "$(id)", "a\nb", "\n", "\\", "\\n", "*", "~", "!", "-n", ""]
)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True) | st.sampled_from(
    ["OPTIND", "PPID", "UID", "RANDOM", "a.b", "BASH_FUNC_x%%", "PS1", "IFS", "LINENO", "SECONDS"]
)


def shell_argv(shell: str) -> list[str]:
    return ["busybox", "sh"] if shell == "busybox" else [shell]


def make_step(path: Path, *argv: str, env: dict[str, str] | None = None, name: str = "m") -> Step:
    return Step(
        name, Tag(f"{name}-1"), Command(argv, env or {}), path, path / f"{name}.out", path / "err"
    )


def run(
    path: Path, text: str, *, shell: str = "sh", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    file = path / "job.sh"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    return subprocess.run(
        [*shell_argv(shell), str(file)],
        env={"PATH": os.environ["PATH"], "FAKE_JOB_ID": "12", **(env or {})},
        capture_output=True,
        timeout=30,
        check=False,
    )


def record_of(path: Path, index: int = 0) -> ExitRecord:
    records = Records(path)
    records.look()
    record = records.read(Tag("m-1"), index)
    assert record is not None
    return record


@settings(max_examples=40)
@given(st.lists(hostile, max_size=5), st.dictionaries(names, hostile, max_size=5))
def test_arguments_and_variables_arrive_unchanged(
    tmp_path_factory: pytest.TempPathFactory, arguments: list[str], env: dict[str, str]
) -> None:
    """F25."""
    path = tmp_path_factory.mktemp("a 'b' $c")
    env = {"PATH": os.environ["PATH"], **env}
    step = make_step(path, sys.executable, "-ISc", TELL, *arguments, env=env)
    run(path, script([], [], VARIABLES, [Member(step, path / "m-1.0")]))
    got = json.loads((path / "m.out").read_text())
    assert got["argv"] == arguments
    assert {name: got["env"].get(name) for name in env} == env
    assert got["cwd"] == str(path)


def test_bytes_that_are_no_utf8_arrive_unchanged(tmp_path: Path) -> None:
    """F25."""
    step = make_step(tmp_path, "printf", "%s", "\udcff")
    run(tmp_path, script([], [], VARIABLES, [Member(step, tmp_path / "m-1.0")]))
    assert (tmp_path / "m.out").read_bytes() == b"\xff"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("code", [0, 1, 2, 126, 127, 128, 129, 137, 143, 255])
def test_the_record_and_the_script_have_the_programs_code(
    tmp_path: Path, shell: str, code: int
) -> None:
    step = make_step(tmp_path, "sh", "-c", f"exit {code}")
    text = script([], [], VARIABLES, [Member(step, tmp_path / "m-1.0")])
    assert run(tmp_path, text, shell=shell).returncode == code
    assert record_of(tmp_path).returncode == code


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shell != "busybox"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_death_by_a_signal_is_told_from_a_code(
    tmp_path: Path, shell: str, number: signal.Signals
) -> None:
    step = make_step(tmp_path, "sh", "-c", f"ulimit -c 0; kill -{int(number)} $$")
    text = script([], [], VARIABLES, [Member(step, tmp_path / "m-1.0")])
    assert run(tmp_path, text, shell=shell).returncode == 128 + number
    assert record_of(tmp_path).returncode == -number


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGPIPE])
@pytest.mark.parametrize("steps", [1, 2])
def test_death_by_a_signal_that_shells_are_silent_about_is_a_code_with_a_doubt(
    tmp_path: Path, shell: str, number: signal.Signals, steps: int
) -> None:
    """F17: also where steps run side by side."""
    step = make_step(tmp_path, "sh", "-c", f"kill -{int(number)} $$")
    other = make_step(tmp_path, "sh", "-c", f"exit {128 + number}", name="n")
    members = [Member(step, tmp_path / "m-1.0"), Member(other, tmp_path / "m-1.1")][:steps]
    run(tmp_path, script([], [], VARIABLES, members), shell=shell)
    for index in range(steps):
        record = record_of(tmp_path, index)
        assert (record.returncode, record.unsure) == (128 + number, True)


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shell != "busybox"])
# Without the signals 32 and 33, which belong to the C library and are ignored below GNU make.
@pytest.mark.parametrize("code", [*range(129, 160), 162, 192, 200, 255])
def test_a_code_that_looks_like_a_signal_is_a_code_where_the_shell_tells(
    tmp_path: Path, shell: str, code: int
) -> None:
    step = make_step(tmp_path, "sh", "-c", f"exit {code}")
    run(tmp_path, script([], [], VARIABLES, [Member(step, tmp_path / "m-1.0")]), shell=shell)
    record = record_of(tmp_path)
    if code in {128 + signal.SIGINT, 128 + signal.SIGPIPE}:
        assert record.unsure
    else:
        assert (record.returncode, record.unsure) == (code, False)


def test_a_program_that_returns_143_after_a_term_was_not_killed_by_it(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    program = f"trap 'exit 143' TERM; sleep 60 & echo >{ready}; wait"
    step = make_step(tmp_path, "sh", "-c", program)
    (tmp_path / "job.sh").write_text(script([], [], VARIABLES, [Member(step, tmp_path / "m-1.0")]))
    with subprocess.Popen(["sh", str(tmp_path / "job.sh")], start_new_session=True) as process:
        ready.read_text()
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
    assert record_of(tmp_path).returncode == 143
    assert record_of(tmp_path).interrupted


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("preamble", [[], ["set -eu"], ["set -C"]])
def test_a_second_job_of_one_launch_does_nothing(
    tmp_path: Path, shell: str, preamble: list[str]
) -> None:
    """F11: whatever the scheduler made of one submit, the program runs once."""
    step = make_step(tmp_path, "sh", "-c", "echo ran >>ran; exit 3")
    text = script([], preamble, VARIABLES, [Member(step, tmp_path / "m-1.0")])
    assert run(tmp_path, text, shell=shell, env={"FAKE_JOB_ID": "12[3].a"}).returncode == 3
    second = run(tmp_path, text, shell=shell, env={"FAKE_JOB_ID": "12333a"})
    assert second.returncode == SECOND
    assert b"does nothing" in second.stderr
    assert (tmp_path / "ran").read_text() == "ran\n"
    assert record_of(tmp_path).job == "12[3].a"
    assert run(tmp_path, text, shell=shell, env={"FAKE_JOB_ID": "12[3].a"}).returncode == 3
    assert (tmp_path / "ran").read_text() == "ran\nran\n"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("steps", [1, 3])
def test_signals_are_at_their_defaults(tmp_path: Path, shell: str, steps: int) -> None:
    members = [
        Member(
            make_step(tmp_path, "grep", "Sig[IB]", "/proc/self/status", name=f"s{index}"),
            tmp_path / f"m-1.{index}",
        )
        for index in range(steps)
    ]
    run(tmp_path, script([], [], VARIABLES, members), shell=shell)
    for index in range(steps):
        lines = (tmp_path / f"s{index}.out").read_text().splitlines()
        # What this process ignores itself is inherited: Python ignores SIGPIPE and SIGXFSZ.
        assert [int(line.split()[1], 16) & 0b111 for line in lines] == [0, 0]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("program", "returncode"),
    [("exec sleep 60", -signal.SIGTERM), ("trap 'exit 7' TERM; sleep 60 & wait", 7)],
)
def test_the_record_is_true_when_the_whole_job_gets_term(
    tmp_path: Path, shell: str, program: str, returncode: int
) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    step = make_step(tmp_path, "sh", "-c", f"echo >{ready}; {program}")
    (tmp_path / "job.sh").write_text(script([], [], VARIABLES, [Member(step, tmp_path / "m-1.0")]))
    argv = [*shell_argv(shell), str(tmp_path / "job.sh")]
    with subprocess.Popen(argv, start_new_session=True) as process:
        ready.read_text()
        if returncode > 0:  # its trap is set when it has a child
            while not Path(f"/proc/{process.pid}").exists() or not _grandchildren(process.pid):
                pass
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
    record = record_of(tmp_path)
    assert record.interrupted
    assert record.returncode == returncode


def _grandchildren(pid: int) -> bool:
    def children(parent: int) -> list[int]:
        text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        return [int(word) for word in text.split()]

    return any(children(child) for child in children(pid))


def test_steps_of_one_job_run_side_by_side_and_have_a_record_each(tmp_path: Path) -> None:
    meet = tmp_path / "meet"
    os.mkfifo(meet)
    steps = [
        make_step(tmp_path, "sh", "-c", f"read x <{meet}; exit 3", name="a"),
        make_step(tmp_path, "sh", "-c", f"echo hello >{meet}", name="b"),
    ]
    members = [Member(step, tmp_path / f"m-1.{index}") for index, step in enumerate(steps)]
    assert run(tmp_path, script([], [], VARIABLES, members)).returncode == 1
    assert record_of(tmp_path, 0).returncode == 3
    assert record_of(tmp_path, 1).returncode == 0


@pytest.mark.parametrize("padding", [0, INLINE_LIMIT])
@pytest.mark.parametrize("base", [0, 1])
def test_a_member_of_an_array_is_chosen_by_its_index(
    tmp_path: Path, padding: int, base: int
) -> None:
    members = [
        Member(
            make_step(tmp_path, "echo", str(index), env={"PAD": "x" * (padding // 3)}),
            tmp_path / f"m-1.{index}",
        )
        for index in range(3)
    ]
    text, files = array_script(
        [], [], VARIABLES, members, base=base, directory=tmp_path / "members d"
    )
    assert bool(files) == bool(padding)
    for file, content in files.items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
    assert run(tmp_path, text, env={"FAKE_ARRAY_INDEX": str(base + 2)}).returncode == 0
    assert (tmp_path / "m.out").read_text() == "2\n"
    assert (tmp_path / "m-1.2").exists()
    assert run(tmp_path, text, env={"FAKE_ARRAY_INDEX": str(base + 3)}).returncode == 2


def test_directives_come_before_every_command(tmp_path: Path) -> None:
    """F25."""
    step = make_step(tmp_path, "true")
    text = script(
        ["#FAKE --a", "#FAKE --b"], ["module load x"], VARIABLES, [Member(step, tmp_path)]
    )
    assert text.splitlines()[:3] == ["#!/bin/sh", "#FAKE --a", "#FAKE --b"]
    assert "module load x" in text


def test_a_careful_preamble_does_not_cost_the_record(tmp_path: Path) -> None:
    step = make_step(tmp_path, "sh", "-c", "exit 4")
    members = [Member(step, tmp_path / "m-1.0")]
    assert run(tmp_path, script([], ["set -eu"], VARIABLES, members)).returncode == 4
    assert record_of(tmp_path).returncode == 4


@pytest.mark.parametrize("broken", ["cwd", "program"])
def test_what_cannot_be_run_is_a_failure_with_a_record(tmp_path: Path, broken: str) -> None:
    step = make_step(tmp_path, "no-such-program" if broken == "program" else "true")
    if broken == "cwd":
        step = Step("m", step.tag, step.command, tmp_path / "gone", step.stdout, step.stderr)
    run(tmp_path, script([], [], VARIABLES, [Member(step, tmp_path / "m-1.0")]))
    assert record_of(tmp_path).returncode == (127 if broken == "program" else 2)
    assert (tmp_path / "err").read_text()


def test_a_new_incarnation_takes_the_old_record_away(tmp_path: Path) -> None:
    """F18."""
    (tmp_path / "m-1.0").write_text("old")
    step = make_step(tmp_path, "test", "!", "-e", str(tmp_path / "m-1.0"))
    text = script([], [], VARIABLES, [Member(step, tmp_path / "m-1.0")])
    run(tmp_path, text, env={"FAKE_RESTART_COUNT": "1"})
    assert record_of(tmp_path).returncode == 0
    assert record_of(tmp_path).restarts == 1


def test_the_program_reads_nothing_and_its_outputs_are_apart(tmp_path: Path) -> None:
    step = make_step(tmp_path, "sh", "-c", "cat; echo out; echo err >&2")
    done = run(tmp_path, script([], [], VARIABLES, [Member(step, tmp_path / "m-1.0")]))
    assert (tmp_path / "m.out").read_text() == "out\n"
    assert (tmp_path / "err").read_text() == "err\n"
    assert done.stdout == done.stderr == b""


def test_a_record_knows_its_array_and_counts_restarts_from_0(tmp_path: Path) -> None:
    variables = replace(VARIABLES, array="FAKE_ARRAY", restarts="FAKE_RESTARTS")
    member = Member(make_step(tmp_path, "true"), tmp_path / "m-1.0")
    text = script([], [], variables, [member])
    for env, restarts in (({}, "0"), ({"FAKE_RESTARTS": "2"}, "2")):
        assert run(tmp_path, text, env={"FAKE_ARRAY": "7", **env}).returncode == 0
        facts = dict(line.split("=") for line in (tmp_path / "m-1.0").read_text().splitlines())
        assert (facts["array"], facts["restarts"]) == ("7", restarts)
