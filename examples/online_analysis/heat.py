"""Simulate heat spreading in an insulated square plate, and stream the field into the database.

Explicit finite differences, second order in space and first in time (FTCS), for
dT/dt = D (d2T/dx2 + d2T/dy2) with no flux through the edges. Stable for D dt / dx2 <= 1/4.
"""

import math
import sys
import tomllib
from pathlib import Path

import numpy as np
from store import Store


def initial_field(size: int) -> np.ndarray:
    """A cold plate with a hot disc and a hot bar; temperatures in K, shape (size, size)."""
    y, x = np.mgrid[0:size, 0:size] / (size - 1)
    field = np.full((size, size), 300.0)
    field[(x - 0.3) ** 2 + (y - 0.35) ** 2 < 0.12**2] = 600.0
    field[(abs(x - 0.7) < 0.05) & (abs(y - 0.6) < 0.3)] = 500.0
    return field


def step(field: np.ndarray, number: float) -> np.ndarray:
    """One time step; ``number`` is D dt / dx2. The edge cells see themselves: no flux."""
    padded: np.ndarray = np.pad(field, 1, mode="edge")
    neighbours = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    new: np.ndarray = field + number * (neighbours - 4.0 * field)
    return new


def main() -> None:
    case = tomllib.loads(Path(sys.argv[1]).read_text())
    spacing = case["length"] / case["size"]
    between = case["end_time"] / case["frames"]
    steps = math.ceil(between * case["diffusivity"] / (0.2 * spacing**2))
    number = case["diffusivity"] * (between / steps) / spacing**2

    field = initial_field(case["size"])
    with Store() as store:
        for frame in range(case["frames"] + 1):
            if frame:
                for _ in range(steps):
                    field = step(field, number)
            store.put_frame(frame, frame * between, field)
            print(f"frame {frame}: t = {frame * between:.4f} s, max = {field.max():.1f} K")
        store.finish()


if __name__ == "__main__":
    main()
