"""Launching, hearing of ends, status and stop on this host."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.measure import Ears, Result, directories, experiment, interleaved, seconds
from smartcore import Experiment
from smartcore.entity import Ensemble

TRUE = "/bin/true"
# Prints the time at its very end; what follows is the interpreter's own leaving.
LAST_WORDS = "import os, time; os.write(1, str(time.monotonic_ns()).encode()); os._exit(0)"


def results() -> Iterator[Result]:
    """Launch rates, latency of ends, status and stop."""
    for count in (10, 100, 500):
        ours, floor = interleaved(partial(launch, count), partial(popen, count), 5)
        # Starting the keeper takes some twenty milliseconds, which a few processes do not outweigh.
        budget = 2.0 if count >= 100 else None
        name = f"start(block=True) of {count} x true"
        yield Result(name, ours, floor, budget, f"{count} Popen + wait")
    yield from latency()
    yield status()
    ours, floor = interleaved(stop, killpg, 5)
    yield Result("stop of 100", ours, floor, 3.0, "100 killpg + wait")


def launch(count: int) -> float:
    with experiment() as exp:
        ensemble = sleepers(exp, count, TRUE)
        return seconds(lambda: exp.start(ensemble))


def sleepers(exp: Experiment, count: int, exe: str, *args: str) -> Ensemble:
    settings = exp.create_run_settings(exe, list(args))
    ensemble = exp.create_ensemble("members", run_settings=settings, replicas=count)
    exp.generate(ensemble)
    return ensemble


def popen(count: int) -> float:
    with tempfile.TemporaryDirectory() as root:
        places = directories(Path(root), count)
        return seconds(lambda: [process.wait() for process in [spawn(p, TRUE) for p in places]])


def spawn(place: Path, *argv: str) -> subprocess.Popen[bytes]:
    with (place / "out").open("wb") as out, (place / "err").open("wb") as err:
        return subprocess.Popen(
            argv,
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )


def latency() -> Iterator[Result]:
    """From a program's last act to the return of ``start``, and to the callback."""
    returned, called, floors = [], [], []
    times: list[int] = []
    with experiment() as exp, tempfile.TemporaryDirectory() as root:
        ears = Ears(exp)
        settings = exp.create_run_settings(sys.executable, ["-S", "-c", LAST_WORDS])
        model = exp.create_model("m", settings)
        place = directories(Path(root), 1)[0]

        def start() -> None:
            exp.start(model)
            times.append(time.monotonic_ns())

        for _ in range(30):
            heard = ears.when(start)
            said = int((Path(model.path) / "m.out").read_text())
            returned.append((times[-1] - said) / 1e9)
            called.append((heard - said) / 1e9)
            spawn(place, sys.executable, "-S", "-c", LAST_WORDS).wait()
            floors.append((time.monotonic_ns() - int((place / "out").read_text())) / 1e9)
    floor = statistics.median(floors)
    note = "Popen.wait; the budget is 5 ms"
    for name, values in (("start returns", returned), ("callback", called)):
        yield Result(f"end -> {name}", statistics.median(values), floor, 0.005 / floor, note)


def status() -> Result:
    """The status of 500 running models."""
    with experiment(max_running=500) as exp:
        ensemble = sleepers(exp, 500, "/bin/sleep", "1000")
        exp.start(ensemble, block=False)
        pids: list[int] = []
        while len(pids) < 500:
            pids = [int(run.split(".")[0]) for run in started(exp)]
        ours, floor = interleaved(
            lambda: seconds(lambda: exp.get_status(ensemble)),
            lambda: seconds(lambda: ask_kernel(pids)),
            9,
        )
    return Result("get_status of 500", ours, floor, None, "500 kill(pid, 0)")


def ask_kernel(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, 0)


def started(exp: Experiment) -> list[str]:
    lines = exp.summary("tsv").splitlines()[1:]
    return [job for line in lines if (job := line.split("\t")[3].strip())]


def stop() -> float:
    with experiment(max_running=100) as exp:
        ensemble = sleepers(exp, 100, "/bin/sleep", "1000")
        exp.start(ensemble, block=False)
        while len(started(exp)) < 100:
            pass
        return seconds(lambda: exp.stop(ensemble))


def killpg() -> float:
    with tempfile.TemporaryDirectory() as root:
        running = [spawn(p, "/bin/sleep", "1000") for p in directories(Path(root), 100)]

        def end() -> None:
            for process in running:
                os.killpg(process.pid, signal.SIGTERM)
            for process in running:
                process.wait()

        return seconds(end)
