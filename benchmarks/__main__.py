"""Run the benchmarks: JSON lines as they come, a table at the end.

usage: python -m benchmarks [start_up] [launch] [files] [database] [throughput] [slurm]

Without names, all but slurm, which needs one.
"""

from __future__ import annotations

import importlib
import sys

from tabulate import tabulate

SCALES = {"ms": 1e3, "us": 1e6}
ALL = ["start_up", "launch", "files", "database", "throughput"]


def main(names: list[str]) -> None:
    rows = []
    for name in names or ALL:
        for result in importlib.import_module(f"benchmarks.{name}").results():
            print(result.to_json(), flush=True)
            budget = "" if result.budget is None else f"{result.budget:.1f}"
            rows.append(
                (
                    result.name,
                    shown(result.ours, result.unit),
                    shown(result.floor, result.unit),
                    f"{result.ratio:.2f}",
                    budget,
                    result.verdict,
                    result.note,
                )
            )
    headers = ("what", "ours", "floor", "ratio", "budget", "", "floor")
    print()
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))


def shown(value: float, unit: str) -> str:
    return f"{value * SCALES[unit]:.2f} {unit}" if unit in SCALES else f"{value:.3f}"


if __name__ == "__main__":
    main(sys.argv[1:])
