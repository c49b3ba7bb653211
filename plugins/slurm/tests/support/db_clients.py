"""Models that use a database, on Slurm."""

from __future__ import annotations

import sys
from pathlib import Path

from smartcore import Experiment
from smartcore.entity import Model

CLIENT = """
import json, os, redis
auth = json.load(open(os.environ["SMARTCORE_DB_AUTH"]))
where = os.environ["SSDB"].split(",")[0]
make = redis.RedisCluster if os.environ["SR_DB_TYPE"] == "Clustered" else redis.Redis
if where.startswith("unix://"):
    client = redis.Redis(unix_socket_path=where.removeprefix("unix://"), **auth)
else:
    host, port = where.split(":")
    if "SMARTCORE_DB_CA" in os.environ:
        trusted = os.environ["SMARTCORE_DB_CA"]
        auth |= dict(ssl=True, ssl_ca_certs=trusted, ssl_check_hostname=False)
    client = make(host=host, port=int(port), **auth)
for number in range(20):
    client.set(f"key{number}", number)
above = open(f"/proc/{os.getppid()}/environ").read().split("\\0")
node = os.environ["SLURMD_NODENAME"]
print(client.get("key7").decode(), node, f"SLURMD_NODENAME={node}" in above)
"""
# The cores of the program, and those of its database.
CORES = """
import json, os, redis
def allowed(pid):
    lines = open(f"/proc/{pid}/status").read().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("Cpus_allowed_list"))
auth = json.load(open(os.environ["SMARTCORE_DB_AUTH"]))
client = redis.Redis(unix_socket_path=os.environ["SSDB"].removeprefix("unix://"), **auth)
print(allowed("self"), allowed(client.info("server")["process_id"]))
"""


def client(exp: Experiment, name: str, **batch: bool) -> Model:
    """One that writes and reads, and prints what it read, its node, and whether what is above it
    is there, too.
    """
    run = exp.create_run_settings(sys.executable, ["-c", CLIENT])
    settings = exp.create_batch_settings(nodes=1) if batch else None
    return exp.create_model(name, run, batch_settings=settings)


def said(model: Model) -> list[str]:
    """The words that it has printed."""
    path = Path(model.path) / model.name
    words = path.with_suffix(".out").read_text().split()
    assert words, path.with_suffix(".err").read_text()
    return words
