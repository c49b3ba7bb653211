"""Runs the MPI that is installed. Without one these tests are skipped; where ``CI=true`` promises
one, they fail."""

from __future__ import annotations

import copy
import os
import shutil
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcore import Experiment
from smartcore.spec import Completed, Facts, Launch, Placement, run_command
from smartcore.testing.running import lacks
from smartcore_mpi.command import MpiCommand
from smartcore_mpi.settings import MpirunSettings

LIMIT = timedelta(seconds=60)
# Open MPI refuses root and more ranks than cores unless the environment says otherwise; the
# variables are those of versions 4 and 5. It is kept to the loopback interface.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_oob_tcp_if_include": "lo",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
SHOW = """
import os, sys
print(ascii((os.environ.get("V_ONE"), os.environ.get("V_TWO"), sys.argv[1:])))
"""
# Each rank leaves a file: on standard output the ranks' lines may be mixed.
LEAVE = """
import os
with open(f"rank-{os.getpid()}", "x") as file:
    file.write(ascii((os.environ.get("V_ONE"), os.environ.get("V_TWO"))))
"""
NASTY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@pytest.fixture(scope="module")
def facts() -> Facts:
    found = shutil.which("mpirun")
    if found is None:
        lacks("mpirun is not installed")
    command = MpiCommand()
    probed = run_command([found, *command.probe], timeout=LIMIT)
    return command.facts(found, probed.stdout + probed.stderr)


def run(made: MpirunSettings, facts: Facts, cwd: Path) -> Completed:
    launch = Launch((made.exe, *made.exe_args), made, cwd, made.environment())
    command = MpiCommand().build(launch, Placement(), facts)
    return run_command(
        command.argv, timeout=LIMIT, env={**os.environ, **ENVIRONMENT, **command.env}
    )


def test_the_installed_mpi_is_recognised(facts: Facts) -> None:
    assert facts.flavour in ("openmpi-4", "openmpi-5", "hydra")
    assert facts.version


def test_as_many_ranks_run_as_tasks_were_set_in_the_directory_that_was_given(
    facts: Facts, tmp_path: Path
) -> None:
    directory = tmp_path / "a b"
    directory.mkdir()
    made = MpirunSettings(sys.executable, ["-c", LEAVE])
    made.set_tasks(3)
    done = run(made, facts, directory)
    assert done.returncode == 0, done.stderr
    assert len(list(directory.glob("rank-*"))) == 3


def test_the_settings_that_a_flavour_knows_are_accepted(facts: Facts, tmp_path: Path) -> None:
    made = MpirunSettings("true")
    made.set_tasks(2)
    made.set_tasks_per_node(2)
    made.set_cpus_per_task(1)
    made.set_hostlist(["localhost"])
    made.set_walltime("00:01:00")
    done = run(made, facts, tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_exit_code_is_the_programs(facts: Facts, tmp_path: Path) -> None:
    made = MpirunSettings("sh", ["-c", "exit 7"])
    made.set_tasks(1)
    assert run(made, facts, tmp_path).returncode == 7


@settings(max_examples=6)
@given(one=NASTY, two=NASTY, argument=NASTY.filter(lambda text: text != ":"))
def test_values_and_arguments_reach_the_ranks_unharmed(
    one: str, two: str, argument: str, facts: Facts, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check_round_trip(one, two, argument, facts, tmp_path_factory.getbasetemp())


def test_commas_quotes_and_newlines_reach_the_ranks_unharmed(facts: Facts, tmp_path: Path) -> None:
    check_round_trip("a,b=c;d 'e' \"f\"\n$HOME\\", " :", "--n -x\n'\"", facts, tmp_path)


def check_round_trip(one: str, two: str, argument: str, facts: Facts, cwd: Path) -> None:
    made = MpirunSettings(
        sys.executable, ["-c", SHOW, argument], env_vars={"V_ONE": one, "V_TWO": two}
    )
    made.set_tasks(1)
    done = run(made, facts, cwd)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ascii((one, two, [argument]))


def test_programs_of_one_job_have_their_own_variables(facts: Facts, tmp_path: Path) -> None:
    code = ["-c", LEAVE]
    made = MpirunSettings(sys.executable, code, env_vars={"V_ONE": "1", "V_TWO": "same"})
    made.set_tasks(1)
    other = MpirunSettings(sys.executable, code, env_vars={"V_ONE": "a,b\n'"})
    other.set_tasks(2)
    made.make_mpmd(other)
    done = run(made, facts, tmp_path)
    assert done.returncode == 0, done.stderr
    expected = [ascii((value, "same")) for value in ("1", "a,b\n'", "a,b\n'")]
    assert sorted(path.read_text() for path in tmp_path.glob("rank-*")) == sorted(expected)


def test_a_limit_of_time_ends_the_job(facts: Facts, tmp_path: Path) -> None:
    made = MpirunSettings("sleep", ["60"])
    made.set_tasks(1)
    made.set_time(seconds=1)
    assert run(made, facts, tmp_path).returncode not in (0, -9)


SHARE = """
import json, os, redis, sys, time
with open(os.environ["SMARTCORE_DB_AUTH"]) as file:
    auth = json.load(file)
client = redis.Redis(port=int(os.environ["SSDB"].split(":")[1]), **auth)
client.incr("tasks")
end = time.monotonic() + 60
while int(client.get("tasks")) < 4 and time.monotonic() < end:
    time.sleep(0.01)
sys.stdout.write(client.get("tasks").decode() + " " + os.environ["SSDB"] + "\\n")
sys.exit(int(sys.argv[1]) if os.environ["OMPI_COMM_WORLD_RANK"] == "0" else 0)
"""


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize(("code", "programs"), [(0, 1), (0, 2), (3, 1)])
def test_all_ranks_of_a_node_share_one_colocated_database(
    facts: Facts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    programs: int,
    elsewhere: bool,
) -> None:
    if not facts.flavour.startswith("openmpi") or shutil.which("redis-server") is None:
        lacks("runs with Open MPI and redis-server")
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    remote = tmp_path / "remote"
    remote.write_text('#!/bin/sh\nshift\nexec /bin/sh -c "$*"\n')
    remote.chmod(0o755)
    monkeypatch.setenv("OMPI_MCA_plm_rsh_agent", str(remote))
    monkeypatch.setenv("SMARTCORE_RUNTIME_DIR", str(tmp_path / "rt"))
    with Experiment("exp", str(tmp_path), "local") as exp:
        run = exp.create_run_settings(
            sys.executable, ["-c", SHARE, str(code)], run_command="mpirun"
        )
        run.set_tasks(4 // programs)
        if elsewhere:  # a name that is not known as this host's
            run.set_hostlist(["node-b"])
        if programs == 2:
            run.make_mpmd(copy.deepcopy(run))
        model = exp.create_model("model", run)
        model.colocate_db_tcp()
        exp.start(model)
        path = Path(model.path)
        lines = (path / "model.out").read_text().splitlines()
        assert len(lines) == 4, (path / "model.err").read_text()
        assert len(set(lines)) == 1
        assert lines[0].startswith("4 127.0.0.1:")
        assert exp.statuses()["model"].returncode == code
        assert len(list(path.glob("model-db*.log"))) == 1
        scripts = list((tmp_path / ".smartcore" / "scripts").glob("*.tasks.sh"))
        assert len(scripts) == elsewhere
    assert not list((tmp_path / "rt").glob("*-*.[gec]*"))
