"""Read the fields of all simulations while they run; write statistics and a figure at the end."""

import csv
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from store import Frame, Store, sources

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def statistics(frame: Frame) -> dict[str, float | str | int]:
    """Mean, spread and maximum of one field, in K."""
    field = frame.field
    return {
        "source": frame.source,
        "frame": frame.number,
        "time": frame.time,
        "mean": float(field.mean()),
        "deviation": float(field.std()),
        "maximum": float(field.max()),
    }


def draw(last: Mapping[str, Frame], rows: list[dict[str, float | str | int]], path: Path) -> None:
    """The last field of each simulation above, the statistics of all over time below."""
    names = sorted(last)
    figure = plt.figure(figsize=(3.2 * len(names), 6.4), layout="constrained")
    grid = figure.add_gridspec(2, 2 * len(names))
    low = min(frame.field.min() for frame in last.values())
    high = max(frame.field.max() for frame in last.values())
    axes = []
    for index, name in enumerate(names):
        axis = figure.add_subplot(grid[0, 2 * index : 2 * index + 2])
        image = axis.imshow(last[name].field, vmin=low, vmax=high, cmap="inferno", origin="lower")
        axis.set_title(f"{name}, t = {last[name].time * 1000:.0f} ms")
        axis.set_xticks([])
        axis.set_yticks([])
        axes.append(axis)
    figure.colorbar(image, ax=axes, label="temperature (K)", shrink=0.9)
    for half, (quantity, label) in enumerate(
        [("maximum", "hottest point (K)"), ("deviation", "standard deviation (K)")]
    ):
        axis = figure.add_subplot(grid[1, half * len(names) : (half + 1) * len(names)])
        for name in names:
            own = sorted((row["time"], row[quantity]) for row in rows if row["source"] == name)
            times, values = np.array(own, dtype=float).T
            axis.plot(times * 1000, values, marker=".", label=name)
        axis.set_xlabel("time (ms)")
        axis.set_ylabel(label)
        axis.legend()
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    last: dict[str, Frame] = {}
    rows = []
    with Store() as store:
        for frame in store.frames(sources()):
            last[frame.source] = frame
            rows.append(statistics(frame))
            print(f"{frame.source} frame {frame.number}: max {rows[-1]['maximum']:.1f} K")
    with Path("statistics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    # No heat leaves the plate: the mean must not change but for rounding.
    means = np.array([row["mean"] for row in rows], dtype=float)
    print(f"mean temperature constant to {np.ptp(means):.1e} K")
    draw(last, rows, Path("figure.png"))


if __name__ == "__main__":
    main()
