"""Steps and jobs on a real Slurm, against what its own commands take.

``python -m benchmarks slurm`` needs a Slurm where this user may have four nodes, such as
``eval "$(ci/slurm/up)"`` makes.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.measure import Ears, Result, directories, interleaved, seconds
from smartcore import Experiment
from smartcore.entity import Ensemble
from smartcore_slurm import wlm as slurm

TRUE = "/bin/true"
NODES, CORES = 4, 8
LAST_WORDS = "import os, time; os.write(1, str(time.monotonic_ns()).encode()); os._exit(0)"


def results() -> Iterator[Result]:
    """Rates of steps and of arrays, and latencies of ends."""
    with allocation():
        for count in (100, 500):
            ours, floor = interleaved(partial(steps, count), partial(bare_steps, count), 3)
            yield Result(
                f"{count} srun steps", ours, floor, 1.2, f"{count} srun at once, waited for"
            )
        yield from step_latency()
    ours, floor = interleaved(partial(array, 1000), partial(bare_array, 1000), 3)
    yield Result("array of 1000", ours, floor, 1.25, "sbatch --array, until squeue is empty")
    yield commands_for_an_array()
    yield batch_latency()


@contextmanager
def allocation() -> Iterator[None]:
    """Four nodes, as inside of salloc."""
    job = slurm.get_allocation(nodes=NODES, options={"ntasks-per-node": str(CORES)})
    os.environ["SLURM_JOB_ID"] = job
    try:
        yield
    finally:
        del os.environ["SLURM_JOB_ID"]
        slurm.release_allocation(job)


@contextmanager
def experiment() -> Iterator[Experiment]:
    with tempfile.TemporaryDirectory() as path, Experiment("bench", path, launcher="slurm") as exp:
        yield exp


def steps(count: int) -> float:
    with experiment() as exp:
        settings = exp.create_run_settings(TRUE)
        settings.set_tasks(1)
        ensemble = exp.create_ensemble("e", run_settings=settings, replicas=count)
        exp.generate(ensemble)
        return seconds(lambda: exp.start(ensemble))


def bare_steps(count: int) -> float:
    command = ["srun", "--overlap", "--nodes=1", "--ntasks=1", TRUE]
    with tempfile.TemporaryDirectory() as root:
        places = directories(Path(root), count)

        def run() -> None:
            running = [subprocess.Popen(command, cwd=place) for place in places]
            for process in running:
                process.wait()

        return seconds(run)


def step_latency() -> Iterator[Result]:
    """From a step's last act to our callback, and to the end of its srun."""
    called, floors = [], []
    with experiment() as exp, tempfile.TemporaryDirectory() as root:
        ears = Ears(exp)
        settings = exp.create_run_settings("python3", ["-S", "-c", LAST_WORDS])
        settings.set_tasks(1)
        model = exp.create_model("m", settings)
        bare = ["srun", "--overlap", "--nodes=1", "--ntasks=1", "python3", "-S", "-c", LAST_WORDS]
        for _ in range(15):
            heard = ears.when(lambda: exp.start(model))
            called.append((heard - int((Path(model.path) / "m.out").read_text())) / 1e9)
            done = subprocess.run(bare, cwd=root, capture_output=True, check=True)
            floors.append((time.monotonic_ns() - int(done.stdout)) / 1e9)
    ours, floor = statistics.median(called), statistics.median(floors)
    budget = (floor + 0.050) / floor
    yield Result("step end -> callback", ours, floor, budget, "srun's own exit; 50 ms more allowed")


def array(count: int) -> float:
    with experiment() as exp:
        ensemble = array_ensemble(exp, count)
        return seconds(lambda: exp.start(ensemble))


def array_ensemble(exp: Experiment, count: int) -> Ensemble:
    batch = exp.create_batch_settings(nodes=1)
    batch.set_array()
    settings = exp.create_run_settings(TRUE, run_command="")
    ensemble = exp.create_ensemble("e", run_settings=settings, batch_settings=batch, replicas=count)
    exp.generate(ensemble)
    return ensemble


def bare_array(count: int) -> float:
    with tempfile.TemporaryDirectory() as root:
        script = Path(root, "job.sh")
        script.write_text(f"#!/bin/sh\n{TRUE}\n")
        command: list[str] = [
            "sbatch",
            "--parsable",
            "-N1",
            f"--array=0-{count - 1}",
            "-o",
            "/dev/null",
            str(script),
        ]

        def run() -> None:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            job = done.stdout.strip()
            # What sbatch --wait does is to ask, too, and rarely.
            while job in queue():
                time.sleep(0.1)

        return seconds(run)


def queue() -> str:
    asked = subprocess.run(["squeue", "-h", "-o", "%F"], capture_output=True, text=True, check=True)
    return asked.stdout


COMMANDS = ("sbatch", "squeue", "sacct", "scontrol", "scancel", "sinfo", "srun")


def commands_for_an_array() -> Result:
    """How many commands of Slurm an array of 1000 costs; each leaves a line when it is run."""
    with tempfile.TemporaryDirectory() as root:
        log = Path(root, "log")
        log.touch()
        for name in COMMANDS:
            real = shutil.which(name)
            shim = Path(root, name)
            shim.write_text(f'#!/bin/sh\necho {name} >>{log}\nexec {real} "$@"\n')
            shim.chmod(0o755)
        before = os.environ["PATH"]
        os.environ["PATH"] = f"{root}:{before}"
        try:
            array(1000)
        finally:
            os.environ["PATH"] = before
        issued = len(log.read_text().splitlines())
    return Result("commands for each job of it", issued / 1000, 1.0, 0.1, "one a job", "count")


def batch_latency() -> Result:
    """From a batch job's last act to our callback, and to the moment when squeue knows."""
    called, floors = [], []
    with experiment() as exp:
        ears = Ears(exp)
        settings = exp.create_run_settings("python3", ["-S", "-c", LAST_WORDS], run_command="")
        batch = exp.create_batch_settings(nodes=1)
        model = exp.create_model("m", settings, batch_settings=batch)
        for _ in range(5):
            heard = ears.when(lambda: exp.start(model))
            called.append((heard - int((Path(model.path) / "m.out").read_text())) / 1e9)
            floors.append(bare_batch())
    ours, floor = statistics.median(called), statistics.median(floors)
    return Result(
        "batch end -> callback", ours, floor, None, "end -> squeue says so, asked every 50 ms"
    )


def bare_batch() -> float:
    with tempfile.TemporaryDirectory() as root:
        script, out = Path(root, "job.sh"), Path(root, "out")
        script.write_text(f"#!/bin/sh\nexec python3 -S -c '{LAST_WORDS}'\n")
        command = ["sbatch", "--parsable", "-N1", "-o", str(out), str(script)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        states = ["squeue", "-h", "-t", "all", "-o", "%T", "-j", done.stdout.strip()]
        while True:
            asked = subprocess.run(states, capture_output=True, text=True, check=False).stdout
            if asked.strip() in {"COMPLETED", "COMPLETING"}:
                return (time.monotonic_ns() - int(out.read_text())) / 1e9
            time.sleep(0.05)
