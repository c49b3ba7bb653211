"""An ensemble of heat-equation simulations, watched by an analysis while it runs.

Run it with ``python driver.py [RESULTS] [--batch]``. Four simulations with different diffusivities
stream their temperature fields into an in-memory database; an analysis model reads all of them at
once, writes ``statistics.csv`` and draws ``figure.png``. With ``--batch`` all of them are jobs of
the workload manager; without, they run on this host, or in the allocation this is started in.
"""

import argparse
import os
import sys
from pathlib import Path

from smartcore import Experiment

HERE = Path(__file__).resolve().parent
DIFFUSIVITIES = [0.2, 0.5, 1.0, 2.0]


def main() -> int:
    options = argparse.ArgumentParser(description="An ensemble, watched while it runs.")
    options.add_argument("results", nargs="?", default="results", type=Path)
    options.add_argument("--batch", action="store_true", help="run everything as batch jobs")
    given = options.parse_args()
    results = given.results.absolute()
    results.mkdir(parents=True, exist_ok=True)
    nodes = int(os.environ.get("DB_NODES", "1"))

    with Experiment("online_analysis", str(results), launcher="auto") as exp:
        batch = exp.create_batch_settings(nodes=1) if given.batch else None
        database = exp.create_database(db_nodes=nodes, batch=given.batch)

        simulation = exp.create_run_settings(sys.executable, [str(HERE / "heat.py"), "heat.toml"])
        ensemble = exp.create_ensemble(
            "heat",
            params={"diffusivity": DIFFUSIVITIES},
            run_settings=simulation,
            batch_settings=batch,
        )
        ensemble.attach_generator_files(to_configure=str(HERE / "heat.toml"))

        watcher = exp.create_run_settings(sys.executable, str(HERE / "analysis.py"))
        analysis = exp.create_model("analysis", watcher, batch_settings=batch)
        for member in ensemble:
            analysis.register_incoming_entity(member)

        exp.generate(database, ensemble, analysis, overwrite=True)
        exp.start(database)
        print(f"database at {', '.join(database.get_address())}, launcher {exp.launcher}")
        exp.start(ensemble, analysis, block=True)
        failed = [
            name
            for name, status in exp.statuses(ensemble, analysis).items()
            if status.returncode != 0
        ]
        exp.stop(database)
        print(exp.summary())

    print(f"figure:     {results / 'analysis' / 'figure.png'}")
    print(f"statistics: {results / 'analysis' / 'statistics.csv'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
