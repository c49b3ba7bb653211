"""Generating input files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Result, experiment, interleaved, seconds

MEMBERS = 1000
TEMPLATE = "".join(f"line {number} = {number}\n" for number in range(40)) + "k = ;k;\n"


def results() -> Iterator[Result]:
    """1000 members with one tagged file each."""
    ours, floor = interleaved(generate, write, 5)
    yield Result(
        f"generate of {MEMBERS}", ours, floor, 2.0, "mkdir + plain write of the same files"
    )


def generate() -> float:
    with experiment() as exp, tempfile.TemporaryDirectory() as root:
        template = Path(root) / "in.txt"
        template.write_text(TEMPLATE)
        settings = exp.create_run_settings("/bin/true")
        ensemble = exp.create_ensemble(
            "members", params={"k": list(range(MEMBERS))}, run_settings=settings
        )
        ensemble.attach_generator_files(to_configure=str(template))
        return seconds(lambda: exp.generate(ensemble))


def write() -> float:
    with tempfile.TemporaryDirectory() as root:

        def all_files() -> None:
            for number in range(MEMBERS):
                place = Path(root) / f"members_{number}"
                place.mkdir()
                (place / "in.txt").write_text(TEMPLATE.replace(";k;", str(number)))
                (place / "smartcore_params.txt").write_text(f"Model name: members_{number}\n")

        return seconds(all_files)
