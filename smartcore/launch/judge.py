"""Judges how a server next to a model took its settings, with the back end that configured it.

A program: ``python -I judge.py``. On its standard input it gets a line of :func:`about`, and then
what the server answered. It ends with code 0 if the back end is content; else what it says on
standard error is why not. Only what was set is judged, so only who set something waits for it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smartcore.spec import DatabaseBackend, ShardPlan

REFUSED = 1


def command() -> tuple[str, ...]:
    """What runs this program."""
    return (sys.executable, "-I", __file__)


def about(backend: DatabaseBackend, shard: ShardPlan) -> str:
    """What the program must know of a server; without passwords, but with its settings."""
    kind = type(backend)
    content = {
        "path": [entry for entry in sys.path if Path(entry).is_absolute()],
        "module": kind.__module__,
        "class": kind.__qualname__,
        "name": shard.name,
        "directory": str(shard.directory),
        "address": [shard.address.host, shard.address.port, shard.address.socket],
        "options": dict(shard.options),
    }
    return json.dumps(content)


def judge(line: str, answer: bytes) -> str:
    """What to tell of settings that could not be verified; "" if all could.

    :param line: as :func:`about` wrote it
    :raises DatabaseError: naming a setting that the server did not take as it was given
    """
    content = json.loads(line)
    # Plugins may be where only the driver looks.
    sys.path += [entry for entry in content["path"] if entry not in sys.path]
    from importlib import import_module

    from smartcore.spec import Credentials, ShardAddress, ShardPlan

    backend: DatabaseBackend = getattr(import_module(content["module"]), content["class"])()
    address = ShardAddress(*content["address"])
    shard = ShardPlan(
        content["name"],
        Path(content["directory"]),
        address,
        (address,),
        0,
        Credentials(""),
        content["options"],
    )
    left = backend.verify(shard, answer)
    return "\n".join(
        f"whether {shard.name} has taken {name} was not verified: {reason}"
        for name, reason in left.items()
    )


def main() -> int:
    """Judge; return the exit code."""
    line = sys.stdin.buffer.readline().decode()
    answer = sys.stdin.buffer.read()
    try:
        words = judge(line, answer)
    except Exception as error:  # noqa: BLE001 -- it is told with the model's errors
        words, code = str(error) or repr(error), REFUSED
    else:
        code = 0
    if words:
        sys.stderr.write(words)
    return code


if __name__ == "__main__":
    sys.exit(main())
