from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcore.entity import Ensemble, Model
from smartcore.error import InputError, PreviewFormatError
from smartcore.preview import (
    ExperimentPreview,
    Format,
    Verbosity,
    document,
    preview_of,
    render,
    write,
)
from smartcore.preview.text import Redactor, is_secret, shell_line, shown
from smartcore.spec import Command, File, Step, Tag
from smartcore.spec.settings import BatchSettings, RunSettings

EXPERIMENT = Path("/exp")
BASH = shutil.which("bash")


@dataclass
class Database:
    db_identifier: str = "orchestrator"
    num_shards: int = 1
    ports: Sequence[int] = (6780,)
    interface: str | Sequence[str] | None = "lo"
    backend: str = "redis"
    batch_settings: BatchSettings | None = None

    @property
    def name(self) -> str:
        return self.db_identifier

    @property
    def path(self) -> str:
        return str(EXPERIMENT / self.db_identifier)


def model(name: str = "mod", *, prefix: bool = False, **params: int | str) -> Model:
    made = Model(name, params, RunSettings("echo", ["hello", "two words"]), EXPERIMENT / name)
    if prefix:
        made.enable_key_prefixing()
    return made


def ensemble(name: str, members: int) -> Ensemble:
    values = list(range(1, members + 1))
    path = EXPERIMENT / name
    return Ensemble(name, {"a": values}, path=path, run_settings=RunSettings("echo"))


def step(
    name: str,
    argv: Sequence[str] = ("/bin/echo",),
    env: dict[str, str] | None = None,
    files: Sequence[File] = (),
) -> Step:
    directory = EXPERIMENT / name
    return Step(
        name,
        Tag(f"{name}-1"),
        Command(tuple(argv), env or {}, None, tuple(files)),
        directory,
        directory / f"{name}.out",
        directory / f"{name}.err",
    )


def preview(
    *entities: Model | Ensemble | Database,
    steps: Sequence[Step] = (),
    running: Sequence[Database] = (),
) -> ExperimentPreview:
    by_name = {each.name: each for each in steps}
    return preview_of("hello", str(EXPERIMENT), "local", entities, by_name, running)


INFO = """
=== Experiment Overview ===

  Experiment Name: hello
    Experiment Path: /exp
    Launcher: local

=== Entity Preview ===

  == Active Infrastructure ==

    = Database Identifier: other =
        TCP/IP Port(s):
          7000
          7001
          7002
        Network Interface: eth0, eth1
        Type: redis

  == Orchestrators ==

    = Database Identifier: orchestrator =
        TCP/IP Port(s):
          chosen at the start
        Type: redis

  == Models ==

    = Model Name: mod =
        Model Parameters:
          a: 1
        Key Prefix: mod
        Client Configuration:
          Database Identifier: other
            Database Backend: redis
            TCP/IP Port(s):
              7000
              7001
              7002
            Type: Clustered
          Database Identifier: orchestrator
            Database Backend: redis
            TCP/IP Port(s):
              chosen at the start
            Type: Standalone
          Outgoing Key Collision Prevention (Key Prefixing):
            Tensors: On
            Datasets: On
            ML Models/Torch Scripts: Off
            Aggregation Lists: On"""


def test_the_text_at_info_is_laid_out_as_users_know_it() -> None:
    other = Database("other", 3, (7000, 7001, 7002), ("eth0", "eth1"))
    made = preview(Database(ports=(), interface=None), model(prefix=True, a=1), running=[other])
    assert render(made) == INFO


def test_an_experiment_with_nothing_to_start_is_an_overview_only() -> None:
    text = render(preview())
    assert "Launcher: local" in text
    assert "Entity Preview" not in text


def test_a_model_without_a_database_has_no_client_configuration() -> None:
    text = render(preview(model(prefix=True)))
    assert "Key Prefix: mod" in text
    assert "Client Configuration" not in text
    assert "Outgoing" not in text


def test_a_running_database_is_not_shown_twice() -> None:
    running = Database()
    text = render(preview(running, running=[running]))
    assert text.count("= Database Identifier: orchestrator =") == 1
    assert "Active Infrastructure" in text


@pytest.mark.parametrize("verbosity", Verbosity)
def test_several_ensembles_are_each_shown_once_with_their_names_on_lines_of_their_own(
    verbosity: Verbosity,
) -> None:
    lines = render(preview(*(ensemble(f"e{n}", 2) for n in range(3))), verbosity).splitlines()
    names = [line for line in lines if "Ensemble Name" in line]
    assert names == [f"    = Ensemble Name: e{n} =" for n in range(3)]
    assert sum("Model Name" in line for line in lines) == 6


def test_of_a_long_ensemble_info_shows_the_first_and_the_last_member_and_debug_all() -> None:
    made = preview(ensemble("ens", 5))
    lines = [line.strip() for line in render(made).splitlines()]
    marked = [line for line in lines if line.startswith(("- Model", "Members")) or line == "..."]
    assert marked == ["Members: 5", "- Model Name: ens_0 -", "...", "- Model Name: ens_4 -"]
    debug = render(made, "debug")
    assert debug.count("- Model Name") == 5
    assert "..." not in debug


def test_an_ensemble_of_two_is_not_abbreviated() -> None:
    assert "..." not in render(preview(ensemble("ens", 2)))


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1:6399", "6399"), ("", "chosen at the start")],
)
def test_a_colocated_database_shows_the_port_that_its_model_would_find(
    address: str, expected: str
) -> None:
    colocated = model()
    colocated.colocate_db_tcp(db_identifier="near", db_cpus=2)
    steps = [step("mod", env={"SSDB_near": address})] if address else []
    text = render(preview(colocated, steps=steps))
    assert "Connection Type: TCP" in text
    assert text.count(expected) == 2
    assert "Type: Colocated" in text
    assert "Database CPUs" not in text
    debug = render(preview(colocated), "debug")
    assert "Database CPUs: 2" in debug
    assert "Custom Pinning: 0,1" in debug


def test_a_colocated_database_on_a_socket_shows_the_socket() -> None:
    colocated = model()
    colocated.colocate_db_uds(unix_socket="/tmp/near.sock")
    text = render(preview(colocated))
    assert "Connection Type: UDS" in text
    assert text.count("Unix Socket: /tmp/near.sock") == 2
    assert "Port(s)" not in text


def test_debug_adds_what_is_run_and_where(tmp_path: Path) -> None:
    template = tmp_path / "in.toml"
    template.write_text("a = ;a;")
    made = model(a=1)
    made.attach_generator_files(to_configure=str(template), to_copy=str(tmp_path))
    made.register_incoming_entity(model("producer"))
    assert "Path: /exp/mod" not in render(preview(made))
    text = render(preview(made), "debug")
    assert "        Path: /exp/mod\n" in text
    assert f"        Executable: {shutil.which('echo')}\n" in text
    assert "        Executable Arguments:\n          hello\n          two words\n" in text
    assert f"Tagged Files for Model Configuration:\n          {template}\n" in text
    assert f"Copied Files:\n          {tmp_path}\n" in text
    assert "Incoming Entities:\n          producer\n" in text
    assert "Batch Launch: False" in text
    assert "Command:" not in text


def test_developer_shows_the_exact_command_its_variables_and_outputs() -> None:
    exact = step("mod", ["/bin/echo", "a b", "$HOME", ""], {"SSDB": "127.0.0.1:6780"})
    text = render(preview(model(), steps=[exact]), "developer")
    assert "Command: /bin/echo 'a b' '$HOME' ''\n" in text
    assert 'Command as JSON: ["/bin/echo", "a b", "$HOME", ""]\n' in text
    assert "Environment:\n          SSDB: 127.0.0.1:6780" in text
    assert "Standard Output: /exp/mod/mod.out\n" in text
    assert "Standard Error: /exp/mod/mod.err\n" in text


def test_developer_shows_scripts_but_of_private_files_only_path_and_mode() -> None:
    files = [
        File(EXPERIMENT / "mod/run.sh", "#!/bin/sh\n\techo \x1b[31mred\n", 0o755),
        File(EXPERIMENT / "mod/db.conf", "requirepass geheim\n", 0o600),
        File(EXPERIMENT / "mod/wrap.sh", "exec it\n", 0o700),
    ]
    made = preview(model(), steps=[step("mod", files=files)])
    text = render(made, "developer")
    assert "/exp/mod/run.sh (mode 0755):\n            | #!/bin/sh\n" in text
    assert "            | \techo \\x1b[31mred\n" in text
    assert "/exp/mod/db.conf (mode 0600, content not shown)\n" in text
    assert "| exec it" in text
    for output_format in Format:
        assert "geheim" not in render(made, "developer", output_format)


def test_the_steps_of_shards_are_shown_by_developer() -> None:
    steps = [step(f"orchestrator_{n}", ["redis-server", str(n)]) for n in range(3)]
    text = render(preview(Database(num_shards=3), steps=steps), "developer")
    assert [f"Command: redis-server {n}\n" in text for n in range(3)] == [True] * 3
    assert "Shards: 3" in text


@pytest.mark.parametrize("output_format", Format)
@pytest.mark.parametrize("verbosity", Verbosity)
def test_no_secret_is_ever_shown(verbosity: Verbosity, output_format: Format) -> None:
    secrets = {"MODEL_API_KEY": "abc'123-secret", "DB_PASSWORD": "pa", "HF_TOKEN": "hf_0123456"}
    env = {**secrets, "BROKER": "amqp://me:brokerpass@host:1/", "SSKEYIN": "left,right"}
    run = RunSettings("echo", [f"--key={secrets['HF_TOKEN']}"], env_vars=env)
    argv = ["mpirun", "-x", "DB_PASSWORD=pa", *(f"--x={value}" for value in secrets.values())]
    script = File(EXPERIMENT / "run.sh", "export MODEL_API_KEY='abc'\"'\"'123-secret'\n", 0o755)
    steps = [step("mod", [word for word in argv if word != "--x=pa"], env, [script])]
    entity = Model("mod", {}, run, EXPERIMENT / "mod")
    text = render(preview(entity, steps=steps), verbosity, output_format)
    for secret in ("123-secret", "DB_PASSWORD=pa", "hf_0123456", "brokerpass"):
        assert secret not in text
    if verbosity is Verbosity.DEVELOPER:
        assert "left,right" in text
        assert "DB_PASSWORD=<hidden>" in text
        assert "amqp://me:<hidden>@host:1/" in text


def test_names_of_secrets_are_told_from_others() -> None:
    secret = ["PASSWORD", "my_passwd", "AWS_SECRET_ACCESS_KEY", "GH_TOKEN", "TOKEN", "DB_PASS"]
    plain = ["SSKEYIN", "SSKEYOUT", "PWD", "OLDPWD", "SMARTCORE_DB_AUTH", "SSDB", "COMPASS"]
    plain += ["TOKENIZERS_PARALLELISM", "MAX_TOKENS", "PASSES", "MONKEY"]
    assert [name for name in secret if not is_secret(name)] == []
    assert [name for name in plain if is_secret(name)] == []


def test_both_formats_show_the_same_and_each_verbosity_more() -> None:
    made = preview(Database(), model(a=1), ensemble("ens", 3), steps=[step("mod")])
    before: set[str] = set()
    for verbosity in Verbosity:
        parsed = json.loads(render(made, verbosity, "json"))
        assert parsed == document(made, verbosity)
        assert parsed["schema_version"] == 1
        assert parsed["verbosity"] == verbosity.value
        keys = set(parsed["experiment"]["models"][0])
        assert before < keys
        before = keys


def test_json_tells_how_many_members_there_are_also_where_it_shows_two() -> None:
    ens = json.loads(render(preview(ensemble("ens", 5)), "info", "json"))["experiment"]["ensembles"]
    assert ens[0]["members"] == 5
    assert [member["name"] for member in ens[0]["models"]] == ["ens_0", "ens_4"]


def test_values_with_line_ends_and_escapes_stay_on_one_line() -> None:
    text = render(preview(model(a="x\n= Model Name: forged =", b="\x1b[2J")))
    assert 'a: "x\\n= Model Name: forged ="' in text
    assert 'b: "\\u001b[2J"' in text


def test_jinja_in_values_is_not_run() -> None:
    assert "a: {{ 7 * 7 }}" in render(preview(model(a="{{ 7 * 7 }}")))


def test_strings_and_enums_are_the_same() -> None:
    made = preview(model())
    assert render(made, "debug", "json") == render(made, Verbosity.DEBUG, Format.JSON)


def test_an_unknown_verbosity_is_an_error_that_lists_those_there_are() -> None:
    with pytest.raises(InputError, match=r"'chatty'.*info, debug, developer"):
        render(preview(), "chatty")


@pytest.mark.parametrize("output_format", ["html", "", "plain text"])
def test_an_unknown_format_is_an_error_that_lists_those_there_are(output_format: str) -> None:
    with pytest.raises(PreviewFormatError, match=r"plain_text, json"):
        render(preview(), "info", output_format)


words = st.lists(st.text(st.characters(exclude_characters="\0")), max_size=5)


@given(words)
@settings(max_examples=30)
def test_a_shell_splits_the_line_into_the_same_arguments(argv: list[str]) -> None:
    if BASH is None:
        pytest.skip("no bash here")
    line = shell_line(argv)
    assert "\n" not in line
    command = f"for word in {line}; do printf '%s\\0' \"$word\"; done"
    environment = {"LC_ALL": "C.UTF-8"}
    output = subprocess.run(
        [BASH, "-c", command], capture_output=True, env=environment, timeout=30, check=True
    ).stdout
    assert output.split(b"\0")[:-1] == [word.encode("utf-8", "surrogateescape") for word in argv]


def test_bytes_that_are_no_text_survive_the_quoting() -> None:
    assert shell_line(["\udcff1"]) == "$'\\3771'"


@given(st.text())
def test_what_is_shown_is_one_printable_line(text: str) -> None:
    line = shown(text)
    assert line.isprintable()
    assert line == line.strip()
    assert line == text or json.loads(line) == text


def test_a_secret_that_is_part_of_everything_is_hidden_only_beside_its_name() -> None:
    hide = Redactor.of({"PASSWORD": "1"})
    assert hide.text("n=1 PASSWORD=1") == "n=1 PASSWORD=<hidden>"


def test_a_written_preview_never_overwrites(tmp_path: Path) -> None:
    taken = tmp_path / "preview.txt"
    taken.write_text("mine")
    names = [write(f"text {n}", taken).name for n in range(3)]
    assert names == ["preview_01.txt", "preview_02.txt", "preview_03.txt"]
    assert taken.read_text() == "mine"
    assert (tmp_path / "preview_02.txt").read_text() == "text 1\n"


def test_a_name_without_a_suffix_gets_that_of_its_format(tmp_path: Path) -> None:
    assert write("a", tmp_path / "sub" / "preview").name == "preview.txt"
    assert write("a", tmp_path / "sub" / "preview", "json").name == "preview.json"
    assert write("a", tmp_path / "sub" / "preview", "json").name == "preview_01.json"


def test_writers_at_the_same_time_get_files_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda n: write(str(n), tmp_path / "p"), range(40)))
    assert sorted(int(path.read_text()) for path in paths) == list(range(40))


def test_a_preview_that_cannot_be_written_is_an_error_naming_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write the preview to .*file/preview"):
        write("a", tmp_path / "file" / "preview")
