from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore import config, progress
from smartcore.config import Config, load
from smartcore.config.setting import GREATEST, Kind
from smartcore.config.table import OTHER_VARIABLES, SETTINGS
from smartcore.error import ConfigError, InternalError
from smartcore.spec import Site

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
NOWHERE = Path("/nonexistent")


def read(text: str = "", site: str = "", *, home: Path, **environment: str) -> Config:
    """Load with this text as the user's file, and that as the site's."""
    user_file, site_file = home / ".config/smartcore/smartcore.toml", home / "site.toml"
    for path, content in [(user_file, text), (site_file, site)]:
        if content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    return load({"HOME": str(home), **environment}, site_file=site_file)


def test_without_any_source_all_settings_have_their_defaults(tmp_path: Path) -> None:
    settings = read(home=tmp_path)
    for setting in SETTINGS:
        assert settings.value(setting.key) == setting.default
        assert settings.origin(setting.key) == "default"
    assert settings.files == ()


def test_the_environment_wins_over_the_user_the_site_and_its_plugin(tmp_path: Path) -> None:
    key, variable = "database.interface", "SMARTCORE_DB_INTERFACE"
    user, site = '[database]\ninterface = "user"', '[database]\ninterface = "site"'
    plugin: dict[str, object] = {key: "plugin", "progress": "never"}
    user_file, site_file = tmp_path / "smartcore/smartcore.toml", tmp_path / "site.toml"
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}

    def found() -> tuple[str, str]:
        settings = load(environment, site=plugin, site_file=site_file)
        assert settings.text("progress") == "never"
        return settings.text(key), settings.origin(key)

    assert found() == ("plugin", "site")
    site_file.write_text(site)
    assert found() == ("site", str(site_file))
    user_file.parent.mkdir()
    user_file.write_text(user)
    assert found() == ("user", str(user_file))
    environment[variable] = "environment"
    assert found() == ("environment", variable)


@pytest.mark.parametrize(
    ("site", "user", "environment", "held"),
    [
        (10, 30, None, 10),
        (30, 10, None, 10),
        (30, 20, 10, 10),
        (10, 20, 30, 10),
        (10, 0, None, 10),
        (0, 10, None, 10),
        (0, None, 10, 10),
    ],
)
def test_of_a_limit_the_strictest_holds(
    site: int, user: int | None, environment: int | None, held: int, tmp_path: Path
) -> None:
    def text(value: int | None, least: str = "") -> str:
        lines = f"queries_per_minute = {value}\nquery_interval_min = {least}"
        return "" if value is None else f"[scheduler]\n{lines}"

    variables = {"SMARTCORE_SCHEDULER_QUERIES_PER_MINUTE": str(environment)} if environment else {}
    settings = read(text(user, "2"), text(site, "5"), home=tmp_path, **variables)
    assert settings.number("scheduler.queries_per_minute") == held
    assert settings.number("scheduler.query_interval_min") == 5
    if held == site:
        assert settings.origin("scheduler.queries_per_minute") == str(tmp_path / "site.toml")


def test_smartcore_config_names_the_one_file_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("max_running = 3")
    settings = read(
        'launcher = "x"',
        'progress = "never"',
        home=tmp_path,
        SMARTCORE_CONFIG=f"{tmp_path}/own.toml",
    )
    assert settings.integer("max_running") == 3
    assert (settings.text("launcher"), settings.text("progress")) == ("", "auto")


def test_smartcore_config_that_names_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"SMARTCORE_CONFIG names .*gone"):
        load({"SMARTCORE_CONFIG": str(tmp_path / "gone")})


def test_a_relative_xdg_config_home_is_ignored(tmp_path: Path) -> None:
    assert read("max_running = 3", home=tmp_path, XDG_CONFIG_HOME="x").integer("max_running") == 3


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ('launcher = "x"', "launcher", "x"),
        ("max_running = 7", "max_running", 7),
        ("stop_grace = 2", "stop_grace", 2.0),
        ("stop_grace = 0.5", "stop_grace", 0.5),
        ('log_level = "DEBUG"', "log_level", "debug"),
        ('disable_plugins = ["a", "b"]', "disable_plugins", ("a", "b")),
        ('disable_plugins = "a, b"', "disable_plugins", ("a", "b")),
        ("[database]\nallow_unauthenticated = true", "database.allow_unauthenticated", True),
        ("database.start_timeout = 5", "database.start_timeout", 5.0),
    ],
)
def test_a_file_gives_values_of_every_type(
    text: str, key: str, value: object, tmp_path: Path
) -> None:
    found = read(text, home=tmp_path).value(key)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_running = -1", ["max_running is -1", "a whole number, at least 0"]),
        ("max_running = 1.5", ["max_running", "a whole number"]),
        ("max_running = true", ["max_running is True", "a whole number"]),
        ('max_running = "3"', ["max_running is '3'", "a whole number"]),
        (f"stop_grace = {10**400}", ["stop_grace", "a number from 0 to 1000000000"]),
        ("stop_grace = 1e10", ["stop_grace", "a number from 0 to 1000000000"]),
        ("stop_grace = nan", ["stop_grace", "a number"]),
        ("launcher = 3", ["launcher is 3", "text"]),
        ('log_level = "loud"', ["log_level is 'loud'", "quiet, info, debug, developer"]),
        ("disable_plugins = [1]", ["disable_plugins", "names, separated by commas"]),
        ("database.allow_unauthenticated = 1", ["true or false"]),
        ('laucher = "x"', ["no setting 'laucher'", "is launcher meant?"]),
        ('[database]\ninterfce = "x"', ["database.interfce", "is database.interface meant?"]),
        ("zzzzz = 1", ["no setting 'zzzzz'", "database.backend"]),
        ("launcher = ", ["no TOML file", "Invalid value"]),
    ],
)
def test_nonsense_in_a_file_is_an_error_that_names_file_and_key_and_what_is_allowed(
    text: str, words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text, home=tmp_path)
    for word in [str(tmp_path / ".config/smartcore/smartcore.toml"), *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("SMARTCORE_MAX_RUNNING", "many"),
        ("SMARTCORE_MAX_RUNNING", "-1"),
        ("SMARTCORE_STOP_GRACE", "inf"),
        ("SMARTCORE_PROGRESS", "perhaps"),
        ("SMARTCORE_DB_ALLOW_UNAUTHENTICATED", "maybe"),
    ],
)
def test_nonsense_in_the_environment_is_an_error_that_names_the_variable(
    variable: str, text: str
) -> None:
    with pytest.raises(ConfigError, match=f"{variable} is '{text}'; give "):
        load({variable: text}, site_file=NOWHERE)


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("off", False)])
def test_a_flag_in_the_environment_has_several_spellings(text: str, value: bool) -> None:
    settings = load({"SMARTCORE_DB_ALLOW_UNAUTHENTICATED": text}, site_file=NOWHERE)
    assert settings.flag("database.allow_unauthenticated") is value


def test_an_empty_variable_is_one_that_is_not_set(tmp_path: Path) -> None:
    settings = read("max_running = 3", home=tmp_path, SMARTCORE_MAX_RUNNING="")
    assert settings.integer("max_running") == 3


@given(st.floats(0, GREATEST))
def test_a_number_in_the_environment_is_read_exactly(number: float) -> None:
    settings = load({"SMARTCORE_STOP_GRACE": repr(number)}, site_file=NOWHERE)
    assert settings.number("stop_grace") == number


@given(st.text())
def test_whatever_a_variable_holds_it_is_read_or_refused(text: str) -> None:
    for setting in SETTINGS:
        try:
            value = load({setting.variable: text}, site_file=NOWHERE).value(setting.key)
        except ConfigError:
            assert setting.kind is not Kind.NAMES
        else:
            assert type(value) is type(setting.default)


def test_a_setting_asked_for_by_the_wrong_name_or_type_is_our_own_mistake() -> None:
    settings = load({}, site_file=NOWHERE)
    with pytest.raises(InternalError, match="is launcher meant"):
        settings.text("lancher")
    with pytest.raises(InternalError, match="max_running is a int"):
        settings.text("max_running")


def test_a_sites_plugin_cannot_disable_plugins() -> None:
    with pytest.raises(ConfigError, match="disable_plugins"):
        load({}, site={"disable_plugins": "x"}, site_file=NOWHERE)


def test_the_sites_that_a_host_belongs_to_give_their_defaults() -> None:
    sites = [
        Site(("login*", "nid*"), {"launcher": "a", "max_running": 1}),
        Site(("nid0001",), {"max_running": 2}),
        Site(("other",), {"launcher": "b"}),
    ]
    assert config.site_defaults(sites, "nid0001") == {"launcher": "a", "max_running": 2}
    assert config.site_defaults(sites, "laptop") == {}


def test_a_misspelt_variable_is_found() -> None:
    environment = {
        "SMARTCORE_MAX_RUNING": "3",
        "SMARTCORE_MAX_RUNNING": "3",
        "SMARTCORE_DB_AUTH_second": "x",
        "SMARTCORE_DB_CA_second": "x",
        "SMARTCORE_FLUX_URI": "of a plugin",
        "HOME": "/",
    }
    assert config.misspelt_variables(environment) == {
        "SMARTCORE_MAX_RUNING": "SMARTCORE_MAX_RUNNING"
    }


def test_keys_and_variables_are_unique_and_spelt_alike() -> None:
    variables = [setting.variable for setting in SETTINGS] + list(OTHER_VARIABLES)
    assert len(set(variables)) == len(variables)
    for setting in SETTINGS:
        assert setting.variable.startswith("SMARTCORE_")
        name = setting.key.replace("database.", "db_").replace(".", "_").upper()
        assert setting.variable == f"SMARTCORE_{name}"
        assert setting.doc


def test_the_choices_of_progress_are_those_that_progress_knows() -> None:
    (setting,) = (one for one in SETTINGS if one.key == "progress")
    assert setting.choices == tuple(progress.MODES)


def test_the_page_documents_every_setting_and_no_other() -> None:
    page = PAGE.read_text()
    rows = re.findall(
        r"^\| `([a-z_.]+)` \| `(SMARTCORE_\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", page, re.M
    )
    documented = {(key, variable, kind, default, doc) for key, variable, kind, default, doc in rows}
    expected = {
        (one.key, one.variable, one.allowed, f"`{shown(one.default)}`", one.doc) for one in SETTINGS
    }
    assert documented == expected
    assert set(re.findall(r"SMARTCORE_\w*[A-Z]", page)) == {
        *(one.variable for one in SETTINGS),
        *OTHER_VARIABLES,
    }


def shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, int | float) else str(value or "") or '""'


def test_the_example_on_the_page_is_one_that_can_be_read(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    settings = read(example, home=tmp_path)
    keys = [setting.key for setting in SETTINGS if settings.origin(setting.key) != "default"]
    assert len(keys) > 4


def test_no_toml_is_imported_while_there_is_no_file() -> None:
    code = (
        "import sys; from smartcore import config; config.load({}); print('tomllib' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    if not config.SITE_FILE.exists() and not config.user_file({}).exists():
        assert done.stdout == "False\n"
