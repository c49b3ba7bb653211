from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.error import InputError, InputTypeError
from smartcore.spec import format_walltime, parse_walltime
from smartcore.spec.values import (
    check_arguments,
    check_count,
    check_env_vars,
    check_hosts,
    check_options,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        (" 3600 ", 3600),
        ("01:02:03", 3723),
        ("1:2:3", 3723),
        ("120:00:00", 432000),
        ("2-01:30:00", 178200),
        ("2-01:30", 178200),
        ("1-0", 86400),
    ],
)
def test_a_walltime_is_read_in_each_documented_form(text: str, seconds: int) -> None:
    assert parse_walltime(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "1h", "-5", "1:2:3:4", "00:60:00", "00:00:60", "1-24:00:00", "1.5", "::", "٣"],
)
def test_a_walltime_of_no_form_is_an_error_that_shows_the_forms(text: str) -> None:
    with pytest.raises(InputError, match=r"HH:MM:SS, D-HH:MM:SS or a number of seconds"):
        parse_walltime(text)


def test_two_fields_are_refused_unless_the_scheduler_says_what_they_are() -> None:
    with pytest.raises(InputError, match="may mean hours and minutes or minutes and seconds"):
        parse_walltime("10:00")
    assert parse_walltime("90:00", two_fields="MM:SS") == timedelta(minutes=90)
    assert parse_walltime("10:00", two_fields="HH:MM") == timedelta(hours=10)
    with pytest.raises(InputError, match="over 59"):
        parse_walltime("1:99", two_fields="MM:SS")


def test_a_walltime_beyond_all_calendars_is_an_input_error() -> None:
    with pytest.raises(InputError, match="too long"):
        parse_walltime("9" * 30)


def test_a_walltime_that_is_no_text_is_a_type_error() -> None:
    with pytest.raises(InputTypeError, match="walltime must be text, not int: 60"):
        parse_walltime(60)  # type: ignore[arg-type]


@given(st.integers(0, 10**9))
def test_a_written_walltime_reads_as_itself(seconds: int) -> None:
    assert parse_walltime(format_walltime(timedelta(seconds=seconds))).total_seconds() == seconds


@given(st.text())
def test_reading_a_walltime_never_fails_but_by_its_own_error(text: str) -> None:
    with suppress(InputError):
        assert parse_walltime(text) >= timedelta(0)


def test_parts_of_a_second_count_as_one_and_negative_times_are_refused() -> None:
    assert format_walltime(timedelta(seconds=0.2)) == "00:00:01"
    with pytest.raises(InputError, match="negative"):
        format_walltime(timedelta(seconds=-1))


@pytest.mark.parametrize("value", [True, False, 1.0, "4", None, [1]])
def test_a_count_that_is_no_whole_number_is_a_type_error_naming_it(value: object) -> None:
    with pytest.raises(InputTypeError, match="nodes must be a whole number, not"):
        check_count(value, "nodes")


@pytest.mark.parametrize("value", [0, -1])
def test_a_count_below_one_is_an_input_error(value: int) -> None:
    with pytest.raises(InputError, match=f"nodes must be at least 1, not {value}"):
        check_count(value, "nodes")


def test_integers_of_other_libraries_are_counts() -> None:
    import numpy as np

    assert check_count(np.int64(3), "nodes") == 3


def test_a_text_of_arguments_is_split_and_a_list_is_kept() -> None:
    assert check_arguments("  a  b\tc ") == ["a", "b", "c"]
    assert check_arguments(["a b", "", "$HOME;x"]) == ["a b", "", "$HOME;x"]
    assert check_arguments(None) == []


def test_an_argument_that_is_no_text_is_named() -> None:
    with pytest.raises(InputTypeError, match="item 1 of exe_args must be text, not int: 3"):
        check_arguments(["a", 3])
    with pytest.raises(InputTypeError, match="not set"):
        check_arguments({"a"})


def test_a_nul_in_an_argument_is_refused() -> None:
    with pytest.raises(InputError, match="NUL"):
        check_arguments(["a\0b"])


def test_values_of_variables_become_text() -> None:
    given_values = {"A": 1, "B": 2.5, "C": True, "D": None, "E": "x"}
    assert check_env_vars(given_values) == {"A": "1", "B": "2.5", "C": "True", "D": None, "E": "x"}


@pytest.mark.parametrize("name", ["", "A=B", "A B", "A\n", "A\0"])
def test_a_name_that_no_variable_can_have_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        check_env_vars({name: "1"})


def test_a_variable_of_another_type_is_named_with_it() -> None:
    with pytest.raises(InputTypeError, match=r"environment variable A must be text.*not list"):
        check_env_vars({"A": [1]})
    with pytest.raises(InputTypeError, match="name of environment variable must be text"):
        check_env_vars({1: "a"})
    with pytest.raises(InputTypeError, match="env_vars must be a dictionary, not list"):
        check_env_vars(["A=1"])


@pytest.mark.parametrize("hosts", [[], "", ["a", ""], "-x", ["a b"]])
def test_hosts_that_cannot_be_names_are_refused(hosts: object) -> None:
    with pytest.raises(InputError):
        check_hosts(hosts)


def test_hosts_that_are_no_texts_are_a_type_error() -> None:
    with pytest.raises(InputTypeError):
        check_hosts([1, 2])
    with pytest.raises(InputTypeError):
        check_hosts(5)
    assert check_hosts(" n[1-3] ") == ["n[1-3]"]


def test_run_arguments_are_texts_numbers_or_none() -> None:
    assert check_options({"np": 2, "x": None, "y": "a b", "z": 1.5}) == {
        "np": 2,
        "x": None,
        "y": "a b",
        "z": 1.5,
    }
    with pytest.raises(InputTypeError, match="None for an argument without a value, not True"):
        check_options({"verbose": True})
    with pytest.raises(InputError, match="no name of an argument"):
        check_options({"--": "1"})
