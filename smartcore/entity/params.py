"""Parameters as users give them, turned into the text that goes into files and arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from numbers import Real

from smartcore.error import InputError, InputTypeError

ParamValue = str | int | float | bool


def scalar_text(value: object) -> str | None:
    """The text of a string, number or truth value, numpy's included; None for anything else."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Real):
        return str(value)
    # numpy's truth values and arrays without dimensions know the Python value they hold
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        held = item()
        return None if held is value else scalar_text(held)
    return None


def text_params(owner: str, params: Mapping[str, object] | None) -> dict[str, str]:
    """Parameters as text.

    :param owner: whose they are, for messages
    :raises InputTypeError: a name or a value is of the wrong type; names the parameter
    """
    texts: dict[str, str] = {}
    for name, value in _items(owner, params):
        text = scalar_text(value)
        if text is None:
            raise InputTypeError(
                f"parameter {name!r} of {owner} is of type {type(value).__name__};"
                " give a str, int, float or bool"
            )
        texts[name] = text
    return texts


def param_lists(owner: str, params: Mapping[str, object] | None) -> dict[str, list[str]]:
    """Parameters of an ensemble: for each the list of its values as text.

    One value stands for a list of one. Anything that can be iterated over is a list of values,
    but for strings, bytes and mappings; a set is taken in the order of its texts.

    :raises InputTypeError: a name or a value is of the wrong type; names the parameter
    :raises InputError: a parameter has no values
    """
    return {name: _values(owner, name, value) for name, value in _items(owner, params)}


def _items(owner: str, params: Mapping[str, object] | None) -> Iterable[tuple[str, object]]:
    if params is None:
        return ()
    if not isinstance(params, Mapping):
        raise InputTypeError(
            f"params of {owner} are of type {type(params).__name__}; give a dict of name and value"
        )
    for name in params:
        if not isinstance(name, str):
            raise InputTypeError(f"parameter name {name!r} of {owner} is not a str")
        if not name:
            raise InputError(f"{owner} has a parameter with an empty name")
    return params.items()


def _values(owner: str, name: str, value: object) -> list[str]:
    text = scalar_text(value)
    if text is not None:
        return [text]
    if isinstance(value, bytes | bytearray | Mapping) or not isinstance(value, Iterable):
        raise InputTypeError(
            f"parameter {name!r} of {owner} is of type {type(value).__name__};"
            " give a str, a number, a bool, or a list of such"
        )
    texts = [_element(owner, name, element) for element in value]
    if not texts:
        raise InputError(f"parameter {name!r} of {owner} has no values; give at least one")
    return sorted(texts) if isinstance(value, Set) else texts


def _element(owner: str, name: str, element: object) -> str:
    text = scalar_text(element)
    if text is None:
        raise InputTypeError(
            f"parameter {name!r} of {owner} has a value of type {type(element).__name__};"
            " give a str, int, float or bool"
        )
    return text
