"""Launch N x true with PSI/J and wait for all; printed as JSON. Runs in its own environment."""

# mypy: ignore-errors

import json
import sys
import time
from pathlib import Path

from psij import Job, JobExecutor, JobSpec


def launch(count: int) -> float:
    executor = JobExecutor.get_instance("local")
    jobs = []
    for index in range(count):
        place = Path(f"peer_{count}_{index}").absolute()
        place.mkdir()
        spec = JobSpec(
            executable="/bin/true",
            directory=place,
            stdout_path=place / "out",
            stderr_path=place / "err",
        )
        jobs.append(Job(spec))
    begun = time.perf_counter()
    for job in jobs:
        executor.submit(job)
    for job in jobs:
        job.wait()
    return time.perf_counter() - begun


print(json.dumps({f"launch {count}": launch(int(count)) for count in sys.argv[1:]}))
