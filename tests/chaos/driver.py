"""A driver that does what it is told, line by line: driver.py new|attach PATH.

Each line of its standard input is an order in JSON, each line that it prints an answer.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from smartcore import Experiment
from smartcore.entity import Ensemble, Model
from smartcore.error import SmartcoreError
from smartcore.spec import Status

# The log is written to standard output, too: answers have it for themselves.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
CHILD = str(Path(__file__).with_name("child.sh"))


class Order(TypedDict, total=False):
    """What to do: ``start`` (models, an ensemble, a database), ``stop``, ``wait``, ``statuses``."""

    do: str
    truth: str
    models: list[tuple[str, list[str]]]
    ensemble: tuple[str, int, list[str]]
    database: tuple[str, int]
    names: list[str]


def main(how: str, path: str) -> None:
    """Obey until the input ends."""
    make = Experiment.attach if how == "attach" else create
    exp = make(path)
    say({"ready": True})
    for line in sys.stdin:
        order: Order = json.loads(line)
        try:
            obey(exp, order)
            say({"statuses": {name: plain(one) for name, one in exp.statuses().items()}})
        except SmartcoreError as error:
            say({"error": f"{type(error).__name__}: {error}"})


def create(path: str) -> Experiment:
    """A new experiment in a directory that is there."""
    return Experiment(Path(path).name, path)


def obey(exp: Experiment, order: Order) -> None:
    """Do one thing."""
    if order["do"] == "stop":
        exp.stop(*order["names"])
    elif order["do"] == "wait":
        exp.wait(*order["names"], timeout=60)
    elif order["do"] == "start":
        if "database" in order:
            name, shards = order["database"]
            exp.start(exp.create_database(db_identifier=name, db_nodes=shards))
        exp.start(*entities(exp, order), block=False)


def entities(exp: Experiment, order: Order) -> Iterator[Model | Ensemble]:
    """The models and the ensemble of an order."""

    def settings(arguments: list[str]) -> object:
        return exp.create_run_settings("sh", [CHILD, order["truth"], *arguments])

    for name, arguments in order.get("models", []):
        yield exp.create_model(name, settings(arguments))  # type: ignore[arg-type]
    if "ensemble" in order:
        name, size, arguments = order["ensemble"]
        yield exp.create_ensemble(name, run_settings=settings(arguments), replicas=size)  # type: ignore[arg-type]


def plain(status: Status) -> list[object]:
    """State, exit code and reason."""
    return [status.state.name, status.returncode, status.reason]


def say(answer: dict[str, object]) -> None:
    """Print one line."""
    print(json.dumps(answer), file=ANSWERS, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
