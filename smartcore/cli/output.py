"""How commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import click

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_json(value: Json) -> None:
    """Print a value for programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(rows: Sequence[Mapping[str, Json]]) -> None:
    """Print rows that have the same keys, one line each, with the keys as headers."""
    from tabulate import tabulate

    texts = [[cell(value) for value in row.values()] for row in rows]
    click.echo(tabulate(texts, list(rows[0]) if rows else [], disable_numparse=True))


def print_facts(facts: Mapping[str, Json]) -> None:
    """Print facts about one thing, one line each."""
    from tabulate import tabulate

    rows = [[f"{name}:", cell(value)] for name, value in facts.items()]
    click.echo(tabulate(rows, tablefmt="plain", disable_numparse=True))


def cell(value: Json) -> str:
    """A value as one line; nothing is a dash."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        value = ", ".join(map(cell, value))
    return "-" if value is None else " ".join(str(value).split()) or "-"
