"""An ensemble of heat-equation simulations, watched by an analysis while it runs.

Run it with ``python driver.py [RESULTS]``. Four simulations with different diffusivities stream
their temperature fields into an in-memory database; an analysis model reads all of them at once,
writes ``statistics.csv`` and draws ``figure.png``.
"""

import os
import sys
from pathlib import Path

from smartcore import Experiment

HERE = Path(__file__).resolve().parent
DIFFUSIVITIES = [0.2, 0.5, 1.0, 2.0]


def main() -> int:
    results = Path(sys.argv[1] if len(sys.argv) > 1 else "results").absolute()
    results.mkdir(parents=True, exist_ok=True)
    nodes = int(os.environ.get("DB_NODES", "1"))

    with Experiment("online_analysis", str(results), launcher="auto") as exp:
        database = exp.create_database(db_nodes=nodes)

        simulation = exp.create_run_settings(sys.executable, [str(HERE / "heat.py"), "heat.toml"])
        ensemble = exp.create_ensemble(
            "heat", params={"diffusivity": DIFFUSIVITIES}, run_settings=simulation
        )
        ensemble.attach_generator_files(to_configure=str(HERE / "heat.toml"))

        watcher = exp.create_run_settings(sys.executable, str(HERE / "analysis.py"))
        analysis = exp.create_model("analysis", watcher)
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
