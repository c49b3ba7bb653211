"""How this example's models exchange fields: a small layer over redis-py.

The launcher tells each model where the database is and under which prefix to write:

SSDB               addresses, ``host:port`` separated by commas
SR_DB_TYPE         ``Standalone`` or ``Clustered``
SMARTCORE_DB_AUTH  a JSON file with the user's name and password
SSKEYOUT           prefix of the keys that this model writes
SSKEYIN            prefixes that it reads, separated by commas
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import redis
from redis.cluster import RedisCluster

# All frames are announced in this one stream; the fields themselves stand under their own keys.
ANNOUNCEMENTS = "frames"
PATIENCE_MS = 60_000


@dataclass(frozen=True)
class Frame:
    """One field of one simulation: temperatures in K, shape (rows, columns), at a time in s."""

    source: str
    number: int
    time: float
    field: np.ndarray


class Store:
    """A connection to the experiment's database."""

    def __init__(self) -> None:
        self._client = connect()
        self._prefix = os.environ.get("SSKEYOUT", "")

    def put_frame(self, number: int, time: float, field: np.ndarray) -> None:
        """Store one field under this model's prefix, then announce it."""
        key = f"{self._prefix}.field.{number}"
        self._client.set(key, field.astype("<f8").tobytes())
        shape = json.dumps(field.shape)
        self._announce({"key": key, "number": number, "time": time, "shape": shape})

    def finish(self) -> None:
        """Announce that no more frames come from this model."""
        self._announce({"last": 1})

    def _announce(self, what: dict[str, Any]) -> None:
        self._client.xadd(ANNOUNCEMENTS, {"source": self._prefix, **what})

    def frames(self, sources: list[str]) -> Iterator[Frame]:
        """Yield the frames of all ``sources`` as they come, until each has finished."""
        waiting, seen = set(sources), "0"
        while waiting:
            answer = self._client.xread({ANNOUNCEMENTS: seen}, count=1, block=PATIENCE_MS)
            if not answer:
                raise TimeoutError(f"nothing for {PATIENCE_MS // 1000} s from {sorted(waiting)}")
            streams = answer.values() if isinstance(answer, dict) else [answer[0][1]]
            entries = next(iter(streams))
            # The reply's nesting differs between versions of the protocol.
            seen, fields = entries[0] if isinstance(entries[0], tuple | list) else entries
            if isinstance(seen, tuple | list):
                seen, fields = seen
            entry = {name.decode(): value for name, value in fields.items()}
            source = entry["source"].decode()
            if "last" in entry:
                waiting.discard(source)
            elif source in waiting:
                data = np.frombuffer(self._client.get(entry["key"].decode()), "<f8")
                field = data.reshape(json.loads(entry["shape"]))
                yield Frame(source, int(entry["number"]), float(entry["time"]), field)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()


def connect() -> Any:
    """Connect to the database that the launcher announced in the environment."""
    address = os.environ["SSDB"].split(",")[0]
    auth = json.loads(Path(os.environ["SMARTCORE_DB_AUTH"]).read_text())
    clustered = os.environ.get("SR_DB_TYPE") == "Clustered"
    client = RedisCluster if clustered else redis.Redis
    return client.from_url(f"redis://{address}", **auth)


def sources() -> list[str]:
    """The prefixes that this model was told to read."""
    return [name for name in os.environ.get("SSKEYIN", "").split(",") if name]
