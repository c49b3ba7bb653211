"""Run the benchmarks: JSON lines as they come, a table at the end.

usage: python -m benchmarks [start_up] [launch] [files] [database]
"""

from __future__ import annotations

import importlib
import sys

from tabulate import tabulate

ALL = ["start_up", "launch", "files", "database"]


def main(names: list[str]) -> None:
    rows = []
    for name in names or ALL:
        for result in importlib.import_module(f"benchmarks.{name}").results():
            print(result.to_json(), flush=True)
            budget = "" if result.budget is None else f"{result.budget:.1f}"
            rows.append(
                (
                    result.name,
                    f"{result.ours * 1000:.2f}",
                    f"{result.floor * 1000:.2f}",
                    f"{result.ratio:.2f}",
                    budget,
                    result.verdict,
                    result.note,
                )
            )
    headers = ("what", "ours (ms)", "floor (ms)", "ratio", "budget", "", "floor")
    print()
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main(sys.argv[1:])
