"""Launch N x true with SmartSim and wait for all; printed as JSON. Runs in its own environment."""

# mypy: ignore-errors

import json
import os
import sys
import time

os.environ["SMARTSIM_LOG_LEVEL"] = "quiet"
os.environ["SMARTSIM_FLAG_TELEMETRY"] = "0"

from smartsim import Experiment


def launch(count: int) -> float:
    exp = Experiment(f"peer_{count}", launcher="local")
    settings = exp.create_run_settings("/bin/true")
    ensemble = exp.create_ensemble("members", run_settings=settings, replicas=count)
    exp.generate(ensemble, overwrite=True)
    begun = time.perf_counter()
    exp.start(ensemble, block=True)
    return time.perf_counter() - begun


print(json.dumps({f"launch {count}": launch(int(count)) for count in sys.argv[1:]}))
