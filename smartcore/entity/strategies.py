"""How the lists of values of an ensemble's parameters become the parameters of its members."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from smartcore.error import InputError, UserStrategyError

from .params import scalar_text

if TYPE_CHECKING:
    import random

Strategy = Callable[[list[str], list[list[str]], int], Sequence[Mapping[str, object]]]
"""A strategy gets the parameters' names, for each the list of its values, and the number of models
asked for (0 if none was); it returns the parameters of each member."""


def create_all_permutations(
    param_names: list[str], param_values: list[list[str]], n_models: int = 0
) -> list[dict[str, str]]:
    """Every combination of the values; the last parameter changes fastest.

    ``n_models`` has no influence.
    """
    return [dict(zip(param_names, values, strict=True)) for values in product(*param_values)]


def step_values(
    param_names: list[str], param_values: list[list[str]], n_models: int = 0
) -> list[dict[str, str]]:
    """The first values of all parameters, then the second values, and so on.

    ``n_models`` has no influence.

    :raises InputError: the lists are not equally long; names their lengths
    """
    if len({len(values) for values in param_values}) > 1:
        lengths = ", ".join(
            f"{name}: {len(values)}" for name, values in zip(param_names, param_values, strict=True)
        )
        raise InputError(
            f"strategy 'step' needs lists of equal length, but got {lengths};"
            " make them equally long or use 'all_perm'"
        )
    return [
        dict(zip(param_names, values, strict=True)) for values in zip(*param_values, strict=True)
    ]


def random_permutations(
    param_names: list[str],
    param_values: list[list[str]],
    n_models: int = 0,
    *,
    seed: int | None = None,
) -> list[dict[str, str]]:
    """``n_models`` different combinations, drawn at random from all of them.

    :param seed: makes the draw repeatable
    :raises InputError: no number was given, or there are fewer combinations; names both numbers
    """
    total = prod(len(values) for values in param_values)
    if n_models < 1:
        raise InputError(
            f"strategy 'random' needs n_models, the number of combinations to draw out of {total}"
        )
    if n_models > total:
        raise InputError(
            f"strategy 'random' cannot draw n_models={n_models} different combinations out of"
            f" {total}; ask for fewer, give more values, or use replicas"
        )
    import random

    generator = random.Random(seed)
    return [
        dict(zip(param_names, _combination(param_values, index), strict=True))
        for index in _draw(generator, total, n_models)
    ]


def _draw(generator: random.Random, total: int, count: int) -> list[int]:
    if total <= sys.maxsize:
        return generator.sample(range(total), count)
    # sample() cannot look into a range that long, in which a double is next to impossible
    drawn: dict[int, None] = {}
    while len(drawn) < count:
        drawn[generator.randrange(total)] = None
    return list(drawn)


def _combination(param_values: list[list[str]], index: int) -> list[str]:
    chosen = []
    for values in reversed(param_values):
        index, place = divmod(index, len(values))
        chosen.append(values[place])
    return chosen[::-1]


_STRATEGIES: dict[str, Strategy] = {
    "all_perm": create_all_permutations,
    "step": step_values,
    "random": random_permutations,
}


def expand(
    strategy: str | Strategy,
    params: Mapping[str, list[str]],
    n_models: int = 0,
    seed: int | None = None,
) -> list[dict[str, str]]:
    """The parameters of each member of an ensemble.

    :param strategy: the name of one, or a callable of one's own
    :param params: for each parameter its values as text
    :param n_models: how many members; 0 if the user said nothing
    :param seed: for the strategy ``random`` only
    :raises UserStrategyError: an unknown name, or a callable that returned something else than
        a list of dictionaries
    :raises InputError: the numbers do not fit the strategy
    """
    names, values = list(params), [list(listed) for listed in params.values()]
    if seed is not None and strategy != "random":
        raise InputError("seed is for perm_strategy='random'; leave it out")
    if callable(strategy):
        return _checked(strategy, _called(strategy, names, values, n_models))
    if strategy == "random":
        return random_permutations(names, values, n_models, seed=seed)
    found = _STRATEGIES.get(strategy) if isinstance(strategy, str) else None
    if found is None:
        raise UserStrategyError(
            f"no permutation strategy {strategy!r}; use {', '.join(_STRATEGIES)} or a callable"
        )
    combinations = _checked(found, found(names, values, n_models))
    if n_models and n_models != len(combinations):
        raise InputError(
            f"perm_strategy={strategy!r} makes {len(combinations)} models, not"
            f" n_models={n_models}; leave n_models out or use 'random'"
        )
    return combinations


def _called(strategy: Strategy, names: list[str], values: list[list[str]], n_models: int) -> object:
    import inspect

    try:
        inspect.signature(strategy).bind(names, values, n_models)
    except (TypeError, ValueError) as error:
        name = getattr(strategy, "__name__", repr(strategy))
        raise UserStrategyError(
            f"strategy {name} must take three arguments: the parameters' names, the list of values"
            f" of each, and the number of models ({error})"
        ) from None
    return strategy(names, values, n_models)


def _checked(strategy: Strategy, result: object) -> list[dict[str, str]]:
    name = getattr(strategy, "__name__", repr(strategy))
    if not isinstance(result, list | tuple):
        raise UserStrategyError(
            f"strategy {name} returned a {type(result).__name__};"
            " it must return a list of dictionaries"
        )
    if not result:
        raise UserStrategyError(f"strategy {name} returned an empty list; no model would run")
    return [_member(name, index, member) for index, member in enumerate(result)]


def _member(strategy: str, index: int, member: object) -> dict[str, str]:
    complaint = partial("strategy {0} returned at index {1} {2}".format, strategy, index)
    if not isinstance(member, Mapping):
        raise UserStrategyError(
            complaint(f"a {type(member).__name__}; it must return a list of dictionaries")
        )
    checked = {}
    for key, value in member.items():
        text = scalar_text(value)
        if not isinstance(key, str) or text is None:
            raise UserStrategyError(
                complaint(f"{key!r}: {value!r}; names must be str, values str, int, float or bool")
            )
        checked[key] = text
    return checked
