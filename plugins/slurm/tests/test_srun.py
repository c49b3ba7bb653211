from __future__ import annotations

from pathlib import Path

import pytest

from smartcore.error import InputError, UnsupportedError
from smartcore.spec import Command, Facts, Launch, Placement
from smartcore_slurm.settings import SrunSettings
from smartcore_slurm.srun import Srun

CWD = Path("/run here")


def srun(*args: str, **arguments: object) -> SrunSettings:
    return SrunSettings("sh", list(args), **arguments)  # type: ignore[arg-type]


def build(settings: SrunSettings, placement: Placement | None = None) -> Command:
    argv = (settings.exe, *settings.exe_args)
    launch = Launch(argv, settings, CWD, settings.environment())
    return Srun().build(launch, placement or Placement(), Facts("/bin/srun"))


def options(settings: SrunSettings, placement: Placement | None = None) -> set[str]:
    argv = build(settings, placement).argv
    return set(argv[1 : argv.index(settings.exe)])


BARE = {"--export=ALL", "--overlap", "--nodes=1", "--ntasks=1"}


def test_a_step_that_says_nothing_is_one_task_that_waits_for_nobody() -> None:
    assert options(srun()) == BARE


def test_tasks_and_nodes_are_always_said() -> None:
    tasks, nodes, both, per_node, hosts = (srun() for _ in range(5))
    tasks.set_tasks(8)
    nodes.set_nodes(2)
    both.set_nodes(2)
    both.set_tasks_per_node(3)
    per_node.set_tasks_per_node(3)
    hosts.set_hostlist(["a", "b"])
    assert {"--nodes=1-8", "--ntasks=8"} < options(tasks)
    assert {"--nodes=2", "--ntasks=2"} < options(nodes)
    assert {"--nodes=2", "--ntasks=6", "--ntasks-per-node=3"} < options(both)
    assert {"--nodes=1", "--ntasks=3"} < options(per_node)
    assert {"--nodes=2", "--ntasks=2", "--nodelist=a,b"} < options(hosts)


@pytest.mark.parametrize("name", ["overlap", "exact", "exclusive", "oversubscribe", "whole"])
def test_who_says_how_cpus_are_shared_is_obeyed(name: str) -> None:
    found = options(srun(run_args={name: None}))
    assert f"--{name}" in found
    assert ("--overlap" in found) == (name == "overlap")


def test_the_allocation_is_named_by_the_settings_before_the_placement() -> None:
    placement = Placement(allocation="8")
    assert "--jobid=7" in options(srun(alloc="7"), placement)
    assert "--jobid=8" in options(srun(), placement)
    assert "--jobid=9" in options(srun(run_args={"jobid": 9}))


def test_a_plan_is_enforced_and_takes_neither_memory_nor_gpus_from_others() -> None:
    settings = srun()
    settings.set_tasks(4)
    settings.set_cpus_per_task(2)
    plan = Placement(("b", "a"), "7", cpus=(4, 4), tasks=(2, 2))
    assert options(settings, plan) == {
        *("--jobid=7", "--export=ALL", "--exact", "--nodes=2", "--ntasks=4", "--cpus-per-task=2"),
        *("--ntasks-per-node=2", "--nodelist=b,a", "--mem=0", "--gres=none"),
    }


def test_a_plan_with_uneven_shares_names_the_node_of_each_task() -> None:
    found = options(srun(), Placement(("a", "b"), cpus=(3, 1), tasks=(3, 1)))
    assert {"--distribution=arbitrary", "--nodelist=a,a,a,b", "--ntasks=4"} < found


def test_a_plan_leaves_memory_and_gpus_that_were_asked_for() -> None:
    settings = srun()
    settings.set_memory_per_node(100)
    settings.set_gpus_per_node(1)
    found = options(settings, Placement(("a",), cpus=(1,), tasks=(1,)))
    assert {"--mem=100M", "--gpus-per-node=1"} < found
    assert "--gres=none" not in found


def test_one_letter_options_are_one_word_and_known_by_their_long_name() -> None:
    found = options(srun(run_args={"n": 4, "p": "debug", "l": None}))
    assert {"--ntasks=4", "-pdebug", "-l"} < found


def test_an_option_given_twice_with_two_values_is_refused() -> None:
    with pytest.raises(InputError, match="ntasks=4 and n=5"):
        build(srun(run_args={"ntasks": 4, "n": 5}))


def test_names_of_variables_are_added_to_an_export_that_is_not_all() -> None:
    variables = {"A": "1,2", "B": "x"}
    for given, expected in (
        ("ALL", "ALL"),
        ("ALL,X=1", "ALL,X=1"),
        ("NONE", "A,B"),
        ("HOME,A", "HOME,A,B"),
    ):
        settings = srun(run_args={"export": given}, env_vars=variables)
        assert f"--export={expected}" in options(settings)
        assert build(settings).env == variables
    assert "--export=NONE" in options(srun(run_args={"export": "NONE"}))


def test_a_variable_without_a_value_is_passed_on_as_it_is() -> None:
    assert build(srun(env_vars={"A": None, "B": "1"})).env == {"B": "1"}


def test_several_programs_are_one_step() -> None:
    settings, other = srun("a"), srun("b", env_vars={"ONLY": "1"})
    settings.set_tasks(2)
    settings.make_mpmd(other)
    command = build(settings)
    at = command.argv.index(":")
    assert command.argv[at - 2 : at] == (settings.exe, "a")
    assert command.argv[-2:] == (other.exe, "b")
    assert "--ntasks=2" in command.argv[:at]
    assert "--ntasks=1" in command.argv[at:]
    assert command.env == {"ONLY": "1"}
    assert not command.files


def test_a_variable_with_two_values_comes_from_a_file_and_is_on_no_command_line() -> None:
    settings, other = srun(env_vars={"KEY": "one"}), srun(env_vars={"KEY": "it's, two"})
    settings.make_mpmd(other)
    command = build(settings)
    (file,) = command.files
    assert command.env == {"KEY": "one"}
    assert file.text == "export KEY='it'\"'\"'s, two'\n"
    assert (file.path.parent, file.mode) == (CWD, 0o600)
    assert str(file.path) in command.argv
    assert "two" not in " ".join(command.argv)


def test_an_argument_that_would_begin_another_program_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="script"):
        build(srun("a", ":", "b"))


def test_a_heterogeneous_group_says_itself_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_HET_SIZE", "2")
    settings = srun()
    settings.set_het_group([1])
    assert options(settings) == {"--export=ALL", "--overlap", "--het-group=1"}
