from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.error import InputError, UnsupportedError
from smartcore.spec import Command, Facts, Launch, Placement, RunSettings
from smartcore.spec.mpi import MpiSettings
from smartcore_mpi.command import MpiCommand
from smartcore_mpi.flavours import DIALECTS
from smartcore_mpi.settings import MpiexecSettings, MpirunSettings, OrterunSettings

FLAVOURS = sorted(DIALECTS)
Change = Callable[[MpirunSettings], None]


SESSION = "OMPI_MCA_orte_top_session_dir"


def mpirun(exe: str = "sh", *args: str, **arguments: object) -> MpirunSettings:
    return MpirunSettings(exe, list(args), fail_if_missing_exec=False, **arguments)  # type: ignore[arg-type]


def build(
    settings: RunSettings, flavour: str = "openmpi-4", placement: Placement | None = None
) -> Command:
    argv = (settings.exe, *settings.exe_args)
    launch = Launch(argv, settings, Path("/run"), settings.environment())
    facts = Facts("/bin/mpirun", flavour, "1")
    return MpiCommand().build(launch, placement or Placement(), facts)


def env_of(made: Command) -> dict[str, str]:
    """The variables that the user gave."""
    return {name: value for name, value in made.env.items() if name != SESSION}


def options(change: Change, flavour: str, placement: Placement | None = None) -> tuple[str, ...]:
    """What stands between directory and program."""
    settings = mpirun()
    change(settings)
    argv = build(settings, flavour, placement).argv
    assert argv[0] == "/bin/mpirun"
    assert argv[1].lstrip("-") == "wdir"
    assert argv[2] == "/run"
    assert argv[-1] == settings.exe
    return argv[3:-1]


def both(*changes: Change) -> Change:
    def change(settings: MpirunSettings) -> None:
        for one in changes:
            one(settings)

    return change


TASKS: Change = lambda s: s.set_tasks(8)  # noqa: E731
PER_NODE: Change = lambda s: s.set_tasks_per_node(4)  # noqa: E731
CPUS: Change = lambda s: s.set_cpus_per_task(3)  # noqa: E731
HOSTS: Change = lambda s: s.set_hostlist(["a", "b"])  # noqa: E731
MAP: Change = lambda s: s.set_task_map("node")  # noqa: E731
QUIET: Change = lambda s: s.set_quiet_launch(True)  # noqa: E731
VERBOSE: Change = lambda s: s.set_verbose_launch(True)  # noqa: E731
LIMIT: Change = lambda s: s.set_walltime("00:01:30")  # noqa: E731
BROADCAST: Change = lambda s: s.set_broadcast()  # noqa: E731


def binding(kind: str) -> Change:
    return lambda s: s.set_cpu_binding_type(kind)


SPELLINGS: list[tuple[Change, dict[str, str]]] = [
    (TASKS, {"openmpi": "--n 8", "hydra": "-n 8", "pals": "-n 8"}),
    (PER_NODE, {"openmpi": "--npernode 4", "hydra": "-ppn 4", "pals": "--ppn 4"}),
    (CPUS, {"openmpi": "--map-by slot:PE=3", "hydra": "-bind-to core:3", "pals": "--depth 3"}),
    (both(MAP, CPUS), {"openmpi": "--map-by node:PE=3"}),
    (both(PER_NODE, CPUS), {"openmpi": "--map-by ppr:4:node:PE=3"}),
    (both(PER_NODE, CPUS), {"hydra": "-ppn 4 -bind-to core:3", "pals": "--ppn 4 --depth 3"}),
    (both(CPUS, binding("hwthread")), {"hydra": "-bind-to hwthread:3"}),
    (both(CPUS, binding("none")), {"hydra": "-bind-to none"}),
    (HOSTS, {"openmpi": "--host a,b", "hydra": "-hosts a,b", "pals": "--hosts a,b"}),
    (both(HOSTS, PER_NODE), {"openmpi": "--npernode 4 --host a:4,b:4"}),
    (both(HOSTS, TASKS), {"openmpi": "--n 8 --host a:4,b:4", "hydra": "-n 8 -hosts a,b"}),
    (lambda s: s.set_hostlist("a:2,b"), {"openmpi": "--host a:2,b", "hydra": "-hosts a:2,b"}),
    (both(lambda s: s.set_hostlist("a:2,b"), TASKS), {"openmpi": "--n 8 --host a:2,b:4"}),
    (lambda s: s.set_hostlist_from_file("hf"), {"openmpi": "--hostfile hf", "hydra": "-f hf"}),
    (binding("core"), {"openmpi": "--bind-to core", "hydra": "-bind-to core"}),
    (binding("core"), {"pals": "--cpu-bind core"}),
    (MAP, {"openmpi": "--map-by node", "hydra": "-map-by node"}),
    (VERBOSE, {"openmpi": "--verbose", "hydra": "-verbose", "pals": "-v"}),
    (QUIET, {"openmpi-4": "--quiet"}),
    (BROADCAST, {"openmpi-4": "--preload-binary", "pals": "--transfer"}),
    (LIMIT, {"openmpi": "--timeout 90", "hydra": ""}),
    (lambda s: s.set("mca", "btl self"), {"openmpi": "--mca|btl self", "hydra": "--mca|btl self"}),
    (lambda s: s.set("oversubscribe"), {"openmpi": "--oversubscribe"}),
    (lambda s: s.set_walltime("0"), {"openmpi": "", "hydra": "", "pals": ""}),
]  # fmt: skip


CASES = [
    (flavour, change, spelt[name])
    for change, spelt in SPELLINGS
    for flavour in FLAVOURS
    for name in (flavour, flavour.partition("-")[0])
    if name in spelt
]


@pytest.mark.parametrize(("flavour", "change", "expected"), dict.fromkeys(CASES))
def test_each_flavour_has_its_spelling(flavour: str, change: Change, expected: str) -> None:
    separator = "|" if "|" in expected else " "
    assert options(change, flavour) == tuple(expected.split(separator) if expected else ())


REFUSED: list[tuple[Change, str, str]] = [
    (QUIET, "openmpi-5", r"Open MPI 5 \(/bin/mpirun 1\) has no way to say quiet \(set_q"),
    (QUIET, "hydra", "set_quiet_launch"),
    (BROADCAST, "openmpi-5", "set_broadcast"),
    (BROADCAST, "hydra", "set_broadcast"),
    (LIMIT, "pals", "set_walltime"),
    (MAP, "pals", "set_task_map"),
    (both(CPUS, binding("socket")), "hydra", "bound to socket"),
    (both(MAP, PER_NODE), "openmpi-5", "takes one mapping"),
    (PER_NODE, "", r"this MPI .* npernode \(set_tasks_per_node\)"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "flavour", "message"), REFUSED)
def test_what_a_flavour_cannot_say_is_an_error_with_a_way_out(
    change: Change, flavour: str, message: str
) -> None:
    with pytest.raises(UnsupportedError, match=message) as caught:
        options(change, flavour)
    assert "leave" in str(caught.value)


def test_an_unknown_implementation_gets_what_the_standard_asks_for() -> None:
    assert options(both(TASKS, HOSTS), "") == ("-n", "8", "-host", "a,b")


def test_a_limit_of_time_goes_through_the_environment_where_there_is_no_option() -> None:
    settings = mpirun()
    settings.set_time(minutes=2)
    assert build(settings, "hydra").env == {"MPIEXEC_TIMEOUT": "120"}
    assert build(settings, "openmpi-5").env == {}


def test_a_mapping_with_modifiers_gets_one_more() -> None:
    def change(settings: MpirunSettings) -> None:
        settings.set_task_map("slot:OVERSUBSCRIBE")
        settings.set_cpus_per_task(2)

    assert options(change, "openmpi-4") == ("--map-by", "slot:OVERSUBSCRIBE,PE=2")
    with pytest.raises(InputError, match="says itself how many cores"):
        options(both(lambda s: s.set_task_map("slot:PE=2"), CPUS), "openmpi-4")


def test_tasks_given_in_two_spellings_are_refused() -> None:
    with pytest.raises(InputError, match=r"both n=8 .* and np=4; keep one"):
        options(both(TASKS, lambda s: s.set("np", "4")), "openmpi-5")


def test_a_placement_decides_the_hosts_that_the_user_left_open() -> None:
    placement = Placement(("a", "b"))
    assert options(TASKS, "openmpi-4", placement) == ("--n", "8", "--host", "a:4,b:4")
    assert "c" in options(lambda s: s.set_hostlist("c"), "hydra", placement)


def test_a_node_of_a_job_that_waits_is_named_by_its_number() -> None:
    placement = Placement(first=2)
    assert options(lambda s: s.set_tasks(1), "openmpi-4", placement) == (
        *("--n", "1"),
        *("--host", "+n2:1"),
    )
    assert "--host" not in options(TASKS, "openmpi-5", placement)
    assert "+n2" not in options(HOSTS, "openmpi-4", placement)


def test_where_cores_of_nodes_are_shared_out_tasks_are_bound_only_if_the_user_says_so() -> None:
    placement = Placement(("a", "b"), cpus=(4, 4), tasks=(4, 4))
    assert options(TASKS, "openmpi-4", placement)[-2:] == ("--bind-to", "none")
    assert options(TASKS, "hydra", placement)[-2:] == ("-bind-to", "none")
    assert options(TASKS, "pals", placement)[-2:] == ("--cpu-bind", "none")
    assert "bind" not in "".join(options(TASKS, "", placement))
    assert "core" in options(binding("core"), "openmpi-4", placement)
    assert "none" not in options(CPUS, "openmpi-4", placement)


@pytest.mark.parametrize(
    ("text", "flavour", "expected"),
    [
        ("n1 slots=4\nn2 slots=2\n", "openmpi-4", ("--hostfile", "{path}")),
        ("n1 slots=4\nn2 slots=2\n", "hydra", ("-hosts", "n1:4,n2:2")),
        ("n1:4\nn2\n", "openmpi-5", ("--host", "n1:4,n2")),
        ("n1:4\nn2\n", "hydra", ("-f", "{path}")),
        ("n1\nn2\n", "hydra", ("-f", "{path}")),
    ],
)
def test_a_file_of_hosts_in_another_form_is_translated(
    text: str,
    flavour: str,
    expected: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "hosts"
    path.write_text(text)
    monkeypatch.chdir(tmp_path)
    made = options(lambda s: s.set_hostlist_from_file("hosts"), flavour)
    assert made == tuple(part.format(path=path) for part in expected)


def test_values_of_variables_stay_off_the_command_line() -> None:
    settings = mpirun(env_vars={"A": "secret,\n'\"", "B": None})
    made = build(settings)
    assert made.argv[3:-1] == ("-x", "A", "-x", "B")
    assert env_of(made) == {
        "A": "secret,\n'\""
    }  # B is whatever it is in the launcher's environment
    assert build(settings, "hydra").argv[3:-1] == ()
    assert build(settings, "hydra").env == {"A": "secret,\n'\""}


def test_programs_of_one_job_have_their_own_options() -> None:
    settings = mpirun(env_vars={"A": "1", "B": "1"})
    settings.set_tasks(2)
    other = mpirun("env", "x y", env_vars={"A": "1", "B": "2", "C": "a b"})
    other.set_tasks(3)
    settings.make_mpmd(other)
    wdir = ("--wdir", "/run")
    assert build(settings).argv == (
        *("/bin/mpirun", *wdir, "-x", "A", "-x", "B", "--n", "2", settings.exe, ":"),
        *(*wdir, "-x", "A", "-x", "B=2", "-x", "C=a b", "--n", "3", other.exe, "x y"),
    )
    assert env_of(build(settings)) == {"A": "1", "B": "1"}
    assert build(settings, "hydra").argv == (
        *("/bin/mpirun", "-wdir", "/run", "-n", "2", settings.exe, ":"),
        *("-wdir", "/run", "-env", "B", "2", "-env", "C", "a b", "-n", "3", other.exe, "x y"),
    )
    with pytest.raises(UnsupportedError, match=r"\(B, C\)"):
        build(settings, "")


def test_a_program_with_plain_settings_joins_with_literal_arguments() -> None:
    settings = mpirun()
    settings.make_mpmd(RunSettings("env", run_args={"-np": 2}))
    argv = build(settings).argv
    assert argv[argv.index(":") :] == (":", "--wdir", "/run", "-np", "2", settings.mpmd[0].exe)


def test_options_for_all_programs_are_given_once_where_twice_is_an_error() -> None:
    settings, other = mpirun(), mpirun()
    for one in (settings, other):
        one.set_cpu_binding_type("core")
        one.set_tasks(1)
    settings.make_mpmd(other)
    assert build(settings, "hydra").argv.count("-bind-to") == 1
    assert build(settings, "openmpi-4").argv.count("--bind-to") == 2
    settings.set_cpu_binding_type("socket")
    with pytest.raises(UnsupportedError, match=r"one bind-to for all .*'socket' and 'core'"):
        build(settings, "hydra")


def test_the_least_limit_of_time_holds_for_the_job() -> None:
    settings, other = mpirun(), mpirun()
    settings.set_walltime("100")
    other.set_walltime("50")
    settings.make_mpmd(other)
    argv = build(settings).argv
    assert argv.count("--timeout") == 1
    assert argv[argv.index("--timeout") + 1] == "50"
    assert argv.index("--timeout") < argv.index(":")
    assert build(settings, "hydra").env == {"MPIEXEC_TIMEOUT": "50"}


def test_slots_are_enough_for_all_programs_together() -> None:
    settings, other = mpirun(), mpirun()
    for one in (settings, other):
        one.set_hostlist(["a", "b"])
        one.set_tasks(3)
    settings.make_mpmd(other)
    assert build(settings).argv.count("a:3,b:3") == 2


@pytest.mark.parametrize("flavour", [*FLAVOURS, ""])
def test_a_colon_as_an_argument_is_refused(flavour: str) -> None:
    with pytest.raises(UnsupportedError, match="put the command into a script"):
        build(mpirun("sh", "a", ":", "b"), flavour)
    settings = mpirun()
    settings.make_mpmd(mpirun("sh", ":"))
    with pytest.raises(UnsupportedError, match="put the command into a script"):
        build(settings, flavour)
    assert build(mpirun("sh", "a:b", "::"), flavour).argv[-2:] == ("a:b", "::")


def test_jobs_of_open_mpi_4_share_no_directory_for_temporary_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    one, other = build(mpirun("true", "1")), build(mpirun("true", "2"))
    assert one.env[SESSION].startswith("/tmp/ompi-")
    assert one.env[SESSION] != other.env[SESSION]
    assert one == build(mpirun("true", "1"))
    assert SESSION not in build(mpirun(), "openmpi-5").env
    own = mpirun(env_vars={SESSION: "/mine"})
    assert build(own).env[SESSION] == "/mine"
    monkeypatch.setenv("TMPDIR", "/scratch")  # which may not be there on other hosts
    assert SESSION not in build(mpirun()).env


def test_plain_settings_are_taken_literally() -> None:
    settings = RunSettings("sh", "-c :", "mpirun", {"-np": 2}, {"A": "1"})
    made = build(settings)
    assert made.argv == ("/bin/mpirun", "-np", "2", settings.exe, "-c", ":")
    assert made.env == {"A": "1"}


@pytest.mark.parametrize(
    ("cls", "name"),
    [(MpirunSettings, "mpirun"), (MpiexecSettings, "mpiexec"), (OrterunSettings, "orterun")],
)
def test_each_class_has_its_run_command_unless_another_is_given(
    cls: type[MpirunSettings], name: str
) -> None:
    command = cls("sh", fail_if_missing_exec=False).run_command
    assert command is not None
    assert Path(command).name == name
    assert cls("sh", run_command="/bin/env").run_command == "/bin/env"


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(
    arguments=st.lists(TEXT.filter(lambda text: text != ":")),
    variables=st.dictionaries(st.from_regex(r"[A-Z]{2,6}", fullmatch=True), TEXT),
    flavour=st.sampled_from([*FLAVOURS, ""]),
)
def test_arguments_and_variables_pass_unchanged(
    arguments: list[str], variables: dict[str, str], flavour: str
) -> None:
    settings: MpiSettings = mpirun("sh", *arguments, env_vars=variables)
    made = build(settings, flavour)
    assert made.argv[len(made.argv) - len(arguments) :] == tuple(arguments)
    assert env_of(made) == variables
