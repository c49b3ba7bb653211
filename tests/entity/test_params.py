from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.entity.params import param_lists, text_params
from smartcore.error import InputError, InputTypeError

SCALARS = st.one_of(st.text(), st.integers(), st.floats(), st.booleans())


@given(st.dictionaries(st.text(min_size=1), SCALARS))
def test_scalars_become_the_text_that_python_prints(params: dict[str, str | int | float]) -> None:
    texts = text_params("m", params)
    assert texts == {name: str(value) for name, value in params.items()}


def test_numbers_of_numpy_are_numbers() -> None:
    params = {"a": np.float32(0.1), "b": np.int64(3), "c": np.bool_(True), "d": np.array(2)}
    assert text_params("m", params) == {"a": "0.1", "b": "3", "c": "True", "d": "2"}


@pytest.mark.parametrize("value", [None, b"x", [1], {"a": 1}, 1j, object()])
def test_other_values_are_refused_by_name(value: object) -> None:
    with pytest.raises(InputTypeError, match="parameter 'viscosity' of 'm'"):
        text_params("'m'", {"viscosity": value})


def test_names_must_be_strings_and_not_empty() -> None:
    with pytest.raises(InputTypeError, match="name 3"):
        text_params("m", {3: "x"})  # type: ignore[dict-item]
    with pytest.raises(InputError, match="empty name"):
        text_params("m", {"": "x"})
    with pytest.raises(InputTypeError, match="dict"):
        text_params("m", [("a", 1)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        (1, 2, 3),
        range(1, 4),
        np.arange(1, 4),
        np.array([1, 2, 3], dtype=np.uint8),
        {"1": None, "2": None, "3": None}.keys(),
        (n for n in (1, 2, 3)),
        {3, 1, 2},
    ],
)
def test_anything_iterable_is_a_list_of_values(values: Iterable[object]) -> None:
    assert param_lists("e", {"k": values}) == {"k": ["1", "2", "3"]}


def test_one_value_stands_for_a_list_of_one() -> None:
    lists = param_lists("e", {"a": 0.5, "b": "text", "c": True})
    assert lists == {"a": ["0.5"], "b": ["text"], "c": ["True"]}


@pytest.mark.parametrize("values", [{"x": 1}, b"ab", None, object(), [[1, 2]], np.eye(2)])
def test_values_that_are_no_list_are_refused_by_name(values: object) -> None:
    with pytest.raises(InputTypeError, match="parameter 'k' of e"):
        param_lists("e", {"k": values})


def test_a_parameter_without_values_is_refused() -> None:
    with pytest.raises(InputError, match="parameter 'k' of e has no values"):
        param_lists("e", {"k": []})
