"""The same work with smartcore and with other launchers from PyPI; run by hand, not in CI.

usage: python -m benchmarks.peers [DIRECTORY]

Makes a virtual environment for each peer in DIRECTORY (default: a temporary one), runs
``peer_<name>.py`` in it, and prints seconds and ratios to a bare loop over Popen in the same run.
SmartSim's database needs RedisAI, which is not on PyPI: that row has no figure of its.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from functools import partial
from pathlib import Path

from tabulate import tabulate

from benchmarks.launch import launch, popen
from benchmarks.measure import interleaved

HERE = Path(__file__).parent
PEERS = {"smartsim": "smartsim==0.8.0", "psij": "psij-python"}
COUNTS = (10, 100)
TIMEOUT = 900


def prepare(root: Path, name: str, requirement: str) -> Path:
    """The interpreter of a virtual environment that has the peer."""
    python = root / name / "bin" / "python"
    if not python.exists():
        venv.create(root / name, with_pip=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", requirement],
            check=True,
            timeout=TIMEOUT,
        )
    return python


def ask(python: Path, name: str) -> dict[str, float]:
    """Run the peer's program; it prints one JSON object of seconds by case."""
    with tempfile.TemporaryDirectory() as work:
        done = subprocess.run(
            [str(python), str(HERE / f"peer_{name}.py"), *map(str, COUNTS)],
            cwd=work,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    if done.returncode != 0:
        print(f"{name} failed:\n{done.stderr[-2000:]}", file=sys.stderr)
        return {}
    answers: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answers


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    seconds: dict[str, dict[str, float]] = {"Popen": {}, "smartcore": {}}
    for count in COUNTS:
        ours, floor = interleaved(partial(launch, count), partial(popen, count), 3)
        seconds["Popen"][f"launch {count}"] = floor
        seconds["smartcore"][f"launch {count}"] = ours
    for name, requirement in PEERS.items():
        seconds[name] = ask(prepare(root, name, requirement), name)
    rows = []
    for case, floor in seconds["Popen"].items():
        for name, figures in seconds.items():
            if case in figures:
                ratio = figures[case] / floor
                rows.append((case, name, f"{figures[case]:.3f}", f"{ratio:.1f}"))
    print(tabulate(rows, ("case", "launcher", "seconds", "ratio to Popen"), tablefmt="github"))


if __name__ == "__main__":
    main()
