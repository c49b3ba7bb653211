from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.entity.strategies import (
    create_all_permutations,
    expand,
    random_permutations,
    step_values,
)
from smartcore.error import InputError, UserStrategyError

Params = dict[str, list[str]]
Members = list[dict[str, str]]

DISTINCT = st.lists(st.text(max_size=3), min_size=1, max_size=4, unique=True)
PARAMS = st.dictionaries(st.text(min_size=1, max_size=5), DISTINCT, min_size=1, max_size=4)


@given(PARAMS)
def test_all_perm_gives_each_combination_once_in_the_order_of_nested_loops(params: Params) -> None:
    members = expand("all_perm", params)
    assert len(members) == math.prod(map(len, params.values()))
    assert len({tuple(member.items()) for member in members}) == len(members)
    assert [tuple(member.values()) for member in members] == list(
        itertools.product(*params.values())
    )
    assert all(list(member) == list(params) for member in members)


@given(st.integers(1, 5), st.data())
def test_step_gives_the_values_of_one_index_to_one_member(length: int, data: st.DataObject) -> None:
    lists = st.lists(st.text(), min_size=length, max_size=length)
    params = data.draw(st.dictionaries(st.text(min_size=1), lists, min_size=1, max_size=4))
    members = expand("step", params)
    assert len(members) == length
    for name, values in params.items():
        assert [member[name] for member in members] == values


@given(PARAMS, st.data())
def test_random_gives_different_members_out_of_all_combinations(
    params: Params, data: st.DataObject
) -> None:
    everything = {tuple(member.items()) for member in expand("all_perm", params)}
    count = data.draw(st.integers(1, len(everything)))
    drawn = [tuple(member.items()) for member in expand("random", params, count)]
    assert len(set(drawn)) == len(drawn) == count
    assert set(drawn) <= everything


@given(PARAMS, st.integers(0, 2**40))
def test_random_with_a_seed_is_repeatable(params: Params, seed: int) -> None:
    assert expand("random", params, 1, seed) == expand("random", params, 1, seed)


def test_random_draws_from_more_combinations_than_fit_into_a_machine_word() -> None:
    params = {f"p{index}": [str(value) for value in range(10)] for index in range(25)}
    members = expand("random", params, 50, seed=1)
    assert len({tuple(member.items()) for member in members}) == 50


def test_unequal_lists_are_an_error_that_names_their_lengths() -> None:
    with pytest.raises(InputError, match="a: 2, b: 3"):
        step_values(["a", "b"], [["1", "2"], ["1", "2", "3"]])


def test_too_many_random_models_are_an_error_that_names_both_numbers() -> None:
    with pytest.raises(InputError, match="n_models=5 different combinations out of 4"):
        expand("random", {"a": ["1", "2"], "b": ["1", "2"]}, 5)


def test_random_needs_to_know_how_many() -> None:
    with pytest.raises(InputError, match="needs n_models"):
        random_permutations(["a"], [["1"]])


@pytest.mark.parametrize("name", ["all_perm", "step"])
def test_a_number_of_models_that_a_strategy_does_not_make_is_an_error(name: str) -> None:
    params = {"a": ["1", "2"]}
    assert len(expand(name, params, 2)) == 2
    with pytest.raises(InputError, match="makes 2 models, not n_models=3"):
        expand(name, params, 3)


def test_a_seed_is_refused_where_nothing_is_random() -> None:
    with pytest.raises(InputError, match="seed"):
        expand("step", {"a": ["1"]}, seed=1)


@pytest.mark.parametrize("strategy", ["all_prem", "", None, 3])
def test_an_unknown_strategy_is_an_error_that_lists_the_known(strategy: object) -> None:
    with pytest.raises(UserStrategyError, match="all_perm, step, random or a callable"):
        expand(strategy, {"a": ["1"]})  # type: ignore[arg-type]


def test_a_strategy_of_ones_own_gets_names_values_and_number() -> None:
    def last_values(names: list[str], values: list[list[str]], n_models: int) -> Members:
        assert n_models == 2
        return [{name: listed[-1] for name, listed in zip(names, values, strict=True)}] * n_models

    members = expand(last_values, {"a": ["1", "2"], "b": ["x"]}, 2)
    assert members == [{"a": "2", "b": "x"}, {"a": "2", "b": "x"}]


def test_numbers_from_a_strategy_of_ones_own_become_text() -> None:
    assert expand(lambda names, values, n_models: [{"a": 1.5}], {"a": ["1"]}) == [{"a": "1.5"}]


@pytest.mark.parametrize(
    "result", [None, [], {}, "abc", [1], [["a"]], [{"a": None}], [{1: "a"}], [{"a": [1]}]]
)
def test_a_strategy_that_returns_nonsense_is_an_error(result: object) -> None:
    def nonsense(names: list[str], values: list[list[str]], n_models: int) -> Members:
        return result  # type: ignore[return-value]

    with pytest.raises(UserStrategyError, match="strategy nonsense returned"):
        expand(nonsense, {"a": ["1"]})


def test_the_strategies_can_be_called_as_users_know_them() -> None:
    assert create_all_permutations(["a"], [["1", "2"]]) == [{"a": "1"}, {"a": "2"}]
    assert step_values(["a", "b"], [["1", "2"], ["3", "4"]], 0)[1] == {"a": "2", "b": "4"}
    assert random_permutations(["a"], [["1"]], 1) == [{"a": "1"}]
