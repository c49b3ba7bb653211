"""What is left in the driver after many jobs: nothing."""

# mypy: disable-error-code="type-abstract"

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

from smartcore.spec import Closes

from ..context import clean_up, launcher_context
from ..contract import case
from ..running import Bench, run_to_end, wait_until
from .base import LauncherCases, able, close

# What may grow once: a thread or a connection that is made when first needed.
SLACK = 3


class LeaksCases(LauncherCases):
    @case("F38")
    def test_descriptors_do_not_grow_with_jobs(self, bench: Bench) -> None:
        bench.run(bench.sh("exit 0"))
        before = descriptors()
        for _ in range(3):
            bench.run(*(bench.sh("exit 1") for _ in range(20)))
        bench.wait_until(lambda: descriptors() <= before + SLACK, "descriptors given back")

    @case("F38", "F34")
    def test_threads_do_not_grow_with_jobs(self, bench: Bench) -> None:
        bench.run(bench.sh("exit 0"))
        before = threading.active_count()
        ids = bench.start_up(*(bench.holding() for _ in range(20)))
        assert threading.active_count() <= before + SLACK
        bench.launcher.stop(ids)
        bench.ends(ids)
        bench.wait_until(lambda: threading.active_count() <= before + SLACK, "threads given back")

    @case("F38", "F34")
    def test_running_jobs_cost_no_more_than_a_descriptor_each(self, bench: Bench) -> None:
        bench.run(bench.sh("exit 0"))
        before = descriptors()
        ids = bench.start_up(*(bench.holding() for _ in range(20)))
        assert descriptors() <= before + 20 + SLACK
        bench.launcher.stop(ids)
        bench.ends(ids)

    @case("F38")
    def test_no_zombie_is_left(self, bench: Bench) -> None:
        bench.run(*(bench.sh("exit 1") for _ in range(30)))
        bench.wait_until(lambda: not zombies(), "the end of all zombies")

    @case("F38")
    def test_closing_gives_back_descriptors_and_threads(
        self, machine: None, experiment: Path
    ) -> None:
        def use(number: int) -> None:
            context = launcher_context(experiment)
            launcher = self.make(context)
            able(launcher, Closes)
            step = Bench(launcher, experiment.with_name(f"runs{number}")).sh("exit 0")
            run_to_end(launcher, [step], patience=self.patience)
            close(launcher, context)

        use(0)
        gc.collect()  # what earlier tests left must not hide what these leave
        threads, files = threading.active_count(), descriptors()
        for number in range(1, 11):
            use(number)
        for what, count, before in (
            ("descriptors", descriptors, files),
            ("threads", threading.active_count, threads),
        ):
            wait_until(lambda: count() <= before + SLACK, f"{what} given back", self.patience)  # noqa: B023
        clean_up(experiment)


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- names are enough


def zombies() -> list[int]:
    """Children of this process that have ended and that nobody has waited for."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdigit():
            continue
        try:
            fields = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just gone
        if fields[0] == "Z" and int(fields[1]) == os.getpid():
            found.append(int(name))
    return found
